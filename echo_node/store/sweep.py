"""Tidying up after killed processes: no file without a row, no temporary file without an owner."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

import sqlalchemy as sa

import echo_node.store.instances as instances
from echo_node.store.database import Database
from echo_node.store.files import Files, as_store_errors
from echo_node.store.schema import analyses, instances_aside, reports
from echo_node.store.schema import instances as instance_rows

_log = logging.getLogger(__name__)

_AT_ONCE = 500  # bound parameters of a statement; SQLite takes 32,766


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep found, in files."""

    temporary: int  # of dead processes, removed
    unacknowledged: int  # received but cut short before the answer, set aside
    superfluous: int  # named by no row, and held elsewhere or made again: removed


def sweep(files: Files, db: Database, *, at: datetime) -> Swept:
    """Tidy up, or put it off where other processes write without a gap."""
    with files.sweeping() as is_alone:
        if not is_alone:
            _log.warning("sweep put off: other processes are writing")
            return Swept(temporary=0, unacknowledged=0, superfluous=0)
        with as_store_errors():
            temporary = files.clear_abandoned()
            unacknowledged, copies = _sweep_spool(files, db, at=at)
            results = _sweep_results(files, db)
    return Swept(temporary=temporary, unacknowledged=unacknowledged, superfluous=copies + results)


def _sweep_spool(files: Files, db: Database, *, at: datetime) -> tuple[int, int]:
    unacknowledged = copies = 0
    for names in files.names("spool"):
        for name in _unnamed(db, names, (instance_rows.c.path, instances_aside.c.path)):
            size = (files.root / name).stat().st_size
            with db.write() as conn:
                is_aside = instances.set_aside_unacknowledged(conn, name, size=size, at=at)
            if is_aside:
                unacknowledged += 1
                _log.warning("%s was cut short in receipt; set aside", name)
            else:
                copies += 1
                files.drop(name)
    return unacknowledged, copies


def _sweep_results(files: Files, db: Database) -> int:
    count = 0
    for names in files.names("results"):
        for name in _unnamed(db, names, (analyses.c.path, reports.c.path)):
            files.drop(name)
            count += 1
    return count


def _unnamed(db: Database, names: list[Path], columns: Collection[sa.Column[str]]) -> list[Path]:
    """The files that none of these columns names."""
    unnamed = {str(name): name for name in names}
    remaining = iter(names)
    with db.read() as conn:
        while some := [str(name) for name in islice(remaining, _AT_ONCE)]:
            for column in columns:
                for known in conn.scalars(sa.select(column).where(column.in_(some))):
                    unnamed.pop(known, None)
    return list(unnamed.values())
