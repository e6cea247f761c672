"""Codes of SNOMED RT in place of those of SNOMED CT, for receivers that know no others (PS3.16 8.1.1)."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.sr._snomed_dict import mapping  # PS3.16 Annex O; pydicom offers it under no public name

import echo_node.reports.coded as coded
from echo_node.reports.retired import every_item

_SRT = mapping["SCT"]
_SCT = mapping["SRT"]
_FINDINGS = "121070"


def to_srt(ds: Dataset) -> None:
    """Replace every SNOMED CT code that has an older one, in place; the meanings stay.

    So is the heading of a section, which had DICOM's own code in those days (PS3.16 TID 5202, earlier editions).
    """
    _replace(ds, _SRT, of="SCT", by="SRT")
    _replace(ds, {coded.FINDINGS.value: _FINDINGS}, of=coded.FINDINGS.scheme, by="DCM")


def to_sct(ds: Dataset) -> None:
    """Replace every SNOMED RT code by the one that succeeded it, in place."""
    _replace(ds, _SCT, of="SRT", by="SCT")


def _replace(ds: Dataset, codes: dict[str, str], *, of: str, by: str) -> None:
    for item in every_item(ds):
        if item.get("CodingSchemeDesignator") == of and item.get("CodeValue") in codes:
            item.CodeValue, item.CodingSchemeDesignator = codes[item.CodeValue], by
