"""Who was examined, as far as normal values go by it (PS3.16 TID 5201)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from highdicom import sr
from pydicom import Dataset

import echo_node.reports.coded as coded
from echo_node.codes import Code
from echo_node.records import Body, ClipAnalysis
from echo_node.reports.coded import concept
from echo_node.reports.items import CONTAINED, INFERRED, container

_AGE = Code("121033", "DCM", "Subject Age")
_SEX = Code("121032", "DCM", "Subject Sex")
_HEIGHT = Code("8302-2", "LN", "Patient Height")
_WEIGHT = Code("29463-7", "LN", "Patient Weight")
_SURFACE = Code("8277-6", "LN", "Body Surface Area")
_FORMULA = Code("8278-4", "LN", "Body Surface Area Formula")
_DU_BOIS = Code("122241", "DCM", "BSA = 0.007184*WT^0.425*HT^0.725")
_SEXES = {  # of PatientSex (PS3.16 CID 7455)
    "F": Code("F", "DCM", "Female"),
    "M": Code("M", "DCM", "Male"),
    "O": Code("121102", "DCM", "Other sex"),
}
_YEAR = Code("a", "UCUM", "year")
_METRE = Code("m", "UCUM", "meter")
_KILOGRAM = Code("kg", "UCUM", "kilogram")
_SQUARE_METRE = Code("m2", "UCUM", "square meter")


def patient_characteristics(source: Dataset, clips: Iterable[ClipAnalysis]) -> list[sr.ContainerContentItem]:
    """Age, sex, height, weight and body surface area, those that are known; empty where none is.

    Parameters
    ----------
    source : Dataset
        A normalised header of the study.
    clips : iterable of ClipAnalysis
        The study's: height and weight are those that the mass index went by.
    """
    body = _body(clips)
    items: list[sr.ContentItem] = []
    age = _age(str(source.get("PatientBirthDate") or ""), str(source.get("StudyDate") or ""))
    if age is not None:
        items.append(_number(_AGE, age, _YEAR))
    if source.get("PatientSex") in _SEXES:
        sex = _SEXES[source.PatientSex]
        items.append(sr.CodeContentItem(concept(_SEX), concept(sex), relationship_type=CONTAINED))
    if body.height_m is not None:
        items.append(_number(_HEIGHT, body.height_m, _METRE))
    if body.weight_kg is not None:
        items.append(_number(_WEIGHT, body.weight_kg, _KILOGRAM))
    if body.surface_m2 is not None:
        surface = _number(_SURFACE, body.surface_m2, _SQUARE_METRE)
        formula = sr.CodeContentItem(concept(_FORMULA), concept(_DU_BOIS), relationship_type=INFERRED)
        surface.ContentSequence = sr.ContentSequence([formula])
        items.append(surface)
    return [container(coded.PATIENT_CHARACTERISTICS, items)] if items else []


def _body(clips: Iterable[ClipAnalysis]) -> Body:
    """The first clip's that knows most."""
    bodies = [clip.body for clip in clips if clip.body is not None]
    known = [(body.height_m is not None) + (body.weight_kg is not None) for body in bodies]
    return bodies[known.index(max(known))] if bodies else Body()


def _age(born: str, examined: str) -> int | None:
    """Full years between two dates of DICOM, or None where either is none, or they are the wrong way round."""
    first, last = _date(born), _date(examined)
    if first is None or last is None or last < first:
        return None
    return last.year - first.year - ((last.month, last.day) < (first.month, first.day))


def _date(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:  # 30 February, say
        return None


def _number(name: Code, value: float, unit: Code) -> sr.NumContentItem:
    return sr.NumContentItem(concept(name), value, concept(unit), relationship_type=CONTAINED)
