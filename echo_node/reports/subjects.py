"""What a measurement group is about: a structure or a length that the node knows, by code or by label."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.sr.coding import Code as SRCode

import echo_node.reports.coded as coded
from echo_node.codes import Code, Quantity, Structure
from echo_node.edits import Shape
from echo_node.reports.precoordinated import NAMES

_FINDING = Code("121071", "DCM", "Finding")
_FINDING_SITES = (Code("363698007", "SCT", "Finding Site"), Code("G-C0E3", "SRT", "Finding Site"))
_TRACKING_IDENTIFIER = Code("112039", "DCM", "Tracking Identifier")

LENGTHS = (Quantity.IVSD, Quantity.LVIDD, Quantity.LVPWD, Quantity.LVIDS)
_PRECOORDINATED: Mapping[str, Quantity] = {  # LOINC, of 2D images (PS3.16 CID 12300)
    **{name.code.value: quantity for (quantity, *_), name in NAMES.items() if quantity in LENGTHS},
    "80031-8": Quantity.LVPWD,  # its meaning names no mode: viewers may take either of the two for a line in 2D
}
_LABELS: Mapping[str, Structure | Quantity] = {
    **{member.name.replace("_", " ").lower(): member for member in (*Structure, *LENGTHS)},
    **{member.code.meaning.lower(): member for member in (*Structure, *LENGTHS)},
    "lv": Structure.LV_CAVITY,
    "left ventricular cavity": Structure.LV_CAVITY,
    "myocardium": Structure.LV_MYOCARDIUM,
    "lvedd": Quantity.LVIDD,
    "lvesd": Quantity.LVIDS,
}
_OUTSIDE = re.compile(r"\bbackground\b|\bnot\b")
_VALUE = re.compile(r"\s*\([^()]*\)$")
_TOOL = re.compile(r".*@[\^~\d].*:.*")  # a viewer's name and version and its tool's: no label


@dataclass(frozen=True, slots=True)
class Subject:
    """What a drawing is of. A point may say where the structure is not."""

    of: Structure | Quantity
    is_outside: bool


def subject_of(group: Dataset, shape: Shape) -> Subject | None:
    """What a shape in a group is of, by the group's codes or else by its labels; None where it is nothing known.

    A line measures a length; every other shape is of a structure.
    """
    kind = LENGTHS if shape is Shape.LINE else tuple(Structure)
    labels = [_plain(text) for text in _labels(group)]
    by_code = (member for item in _codes(group) for member in kind if _is(item, member))
    by_label = (_LABELS.get(" ".join(_OUTSIDE.sub(" ", label).split())) for label in labels)
    for member in (*by_code, *by_label):
        if member is not None and member in kind:
            return Subject(member, any(_OUTSIDE.search(label) for label in labels))
    return None


def remarks_in(group: Dataset) -> str:
    """A group's comments that are no labels: what the person says of the drawing."""
    texts = (str(item.get("TextValue") or "").strip() for item in coded.named(group, coded.COMMENT))
    return "; ".join(dict.fromkeys(" ".join(text.split()) for text in texts if text and not _is_label(text)))


def _is_label(text: str) -> bool:
    words = _plain(text)
    return words in _LABELS or " ".join(_OUTSIDE.sub(" ", words).split()) in _LABELS


def _codes(group: Dataset) -> Iterator[Dataset]:
    """Codes that may name the subject: of the finding, its sites, and the numbers."""
    for item in group.get("ContentSequence") or []:
        if item.get("ValueType") == "NUM":
            yield from item.get("ConceptNameCodeSequence") or []
    for name in (_FINDING, *_FINDING_SITES):
        for item in coded.named(group, name):
            yield from item.get("ConceptCodeSequence") or []


def _is(item: Dataset, member: Structure | Quantity) -> bool:
    """By the code or by SNOMED's older one for the same."""
    value, scheme = str(item.get("CodeValue") or ""), str(item.get("CodingSchemeDesignator") or "")
    if scheme == "LN" and value in _PRECOORDINATED:
        return _PRECOORDINATED[value] is member
    return bool(SRCode(value, scheme, "") == SRCode(member.code.value, member.code.scheme, ""))


def _labels(group: Dataset) -> Iterator[str]:
    """Texts that may name the subject: comments, meanings of a viewer's own codes, the tracking identifier."""
    for item in coded.named(group, coded.COMMENT):
        yield str(item.get("TextValue") or "")
    for name in (_FINDING, *_FINDING_SITES):
        for item in coded.named(group, name):
            for code in item.get("ConceptCodeSequence") or []:
                yield str(code.get("CodeMeaning") or "")
    for item in coded.named(group, _TRACKING_IDENTIFIER):
        text = str(item.get("TextValue") or "")
        if not _TOOL.fullmatch(text):
            yield text


def _plain(text: str) -> str:
    """A label as it is compared: a value in brackets at its end is none of its words."""
    words = _VALUE.sub("", text.strip().lower())
    return " ".join(re.split(r"[\s_\-]+", words))
