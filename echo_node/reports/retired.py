"""Sources of retired ultrasound classes: highdicom knows only their successors.

An SR is built as if its sources were of the successor's class, and then refers to them as what they are.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

from pydicom import Dataset
from pydicom.uid import UID, UltrasoundImageStorage, UltrasoundMultiFrameImageStorage

_SUCCESSORS: Mapping[str, UID] = {  # PS3.6 Annex A
    "1.2.840.10008.5.1.4.1.1.6": UltrasoundImageStorage,
    "1.2.840.10008.5.1.4.1.1.3": UltrasoundMultiFrameImageStorage,
}


def as_successors(sources: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """Headers by SOPInstanceUID, those of a retired class copied into its successor's."""
    return {uid: _as_successor(ds) if ds.SOPClassUID in _SUCCESSORS else ds for uid, ds in sources.items()}


def refer_to(ds: Dataset, sources: Mapping[str, Dataset]) -> None:
    """Give every reference of an object the class that its source has, in place."""
    retired = {uid: source.SOPClassUID for uid, source in sources.items() if source.SOPClassUID in _SUCCESSORS}
    for item in every_item(ds) if retired else ():
        if item.get("ReferencedSOPInstanceUID") in retired:
            item.ReferencedSOPClassUID = retired[item.ReferencedSOPInstanceUID]


def _as_successor(ds: Dataset) -> Dataset:
    copied = copy.deepcopy(ds)
    copied.SOPClassUID = _SUCCESSORS[ds.SOPClassUID]
    return copied


def every_item(ds: Dataset) -> Iterator[Dataset]:
    """A dataset and every item below it."""
    yield ds
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield from every_item(item)
