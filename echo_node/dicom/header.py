"""What the receiver needs to know of an object: who and what it is, read with bounds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from echo_node.codes import Reason
from echo_node.dicom.elements import Elements, open_elements
from echo_node.errors import ClipError

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_LONGEST_UID = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """An object's identity. What it lacks is empty."""

    SOPClassUID: str = ""
    SOPInstanceUID: str = ""
    StudyInstanceUID: str = ""
    SeriesInstanceUID: str = ""
    PatientID: str = ""
    PatientBirthDate: str = ""
    TransferSyntaxUID: str = ""
    reason: Reason | None = None  # why it cannot be analysed


def read_header(path: Path) -> Header:
    """Read an object's identity; what is wrong with it becomes the reason, never an exception.

    Parameters
    ----------
    path : Path
        A Part 10 file.
    """
    try:
        with open_elements(path) as elements:
            return _identity(elements)
    except ClipError as error:
        return Header(reason=error.reason)


def is_uid(text: str) -> bool:
    """Is this a UID as PS3.5 9.1 allows? Leading zeros are met in practice and let pass."""
    return len(text) <= _LONGEST_UID and _UID.fullmatch(text) is not None


def _identity(elements: Elements) -> Header:
    uids = {
        keyword: elements.text(keyword)
        for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    }
    good = {keyword: uid if is_uid(uid) else "" for keyword, uid in uids.items()}
    return Header(
        **good,
        PatientID=elements.text("PatientID"),
        PatientBirthDate=elements.text("PatientBirthDate"),
        TransferSyntaxUID=elements.TransferSyntaxUID,
        reason=None if all(good.values()) else Reason.MISSING_UID,
    )
