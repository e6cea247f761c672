"""Headers of stored objects, as far as they can be read."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from pydicom import Dataset

from echo_node.errors import ReportError
from echo_node.records import Instance
from echo_node.reports import read_source

_log = logging.getLogger(__name__)


def readable_source(path: Path) -> Dataset | None:
    """An object's header for the reports, or None where it cannot be read."""
    try:
        return read_source(path)
    except ReportError as error:
        _log.warning("left out of the report: %s", error)
        return None


def readable_sources(instances: Iterable[Instance]) -> dict[str, Dataset]:
    """Headers of the objects that can be read, by SOPInstanceUID."""
    found = ((instance.SOPInstanceUID, readable_source(instance.path)) for instance in instances)
    return {uid: ds for uid, ds in found if ds is not None}
