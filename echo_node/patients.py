"""Whose an object is, and when objects are of several patients: one rule for the node and for a folder."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

_DATE = re.compile(r"([0-9]{4})([.\-/]?)([0-9]{2})\2([0-9]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """Who an object says that it is of."""

    PatientID: str
    PatientBirthDate: str | None  # YYYYMMDD; None where it is not known


def patient_of(PatientID: str, PatientBirthDate: str) -> Patient:
    """The patient by the values that a header states, without their padding."""
    return Patient(PatientID=PatientID.replace("\0", "").strip(), PatientBirthDate=date_of(PatientBirthDate))


def are_several(patients: Collection[Patient]) -> bool:
    """Do objects of one study name more than one patient?

    Names are not compared: marriage and spelling change them. An unknown birth date is nobody's.
    """
    births = {patient.PatientBirthDate for patient in patients} - {None}
    return len({patient.PatientID for patient in patients}) > 1 or len(births) > 1


def date_of(text: str) -> str | None:
    """A DA value as YYYYMMDD; None where it is no date, as carts' fillers are none.

    ACR-NEMA's form with full stops is still to be taken (PS3.5 6.2); carts write dashes and slashes too.
    """
    match = _DATE.fullmatch(text.replace("\0", "").strip())
    if match is None:
        return None
    digits = "".join(match.group(1, 3, 4))
    try:
        date.fromisoformat(digits)
    except ValueError:
        return None
    return digits
