"""What a person does about what is set aside: objects are acknowledged, studies released from quarantine.

For whatever asks on a person's behalf: the command line, a page. Nothing is printed here.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from echo_node.dicom.header import read_header
from echo_node.errors import DecisionError, StoreError
from echo_node.patients import date_of, patient_of
from echo_node.records import Instance
from echo_node.store import InstanceOutcome, Release, Store

_log = logging.getLogger(__name__)


def acknowledge(
    store: Store, numbers: Collection[int] | None, *, by: str, reason: str = ""
) -> tuple[InstanceOutcome, ...]:
    """Note who has looked at objects that are set aside: ``status`` tells of them no more. All of them stay.

    Parameters
    ----------
    store : Store
        The node's.
    numbers : collection of int or None
        Which; None: all at which nobody has looked.
    by, reason : str
        Who, and why, in words.

    Returns
    -------
    tuple of InstanceOutcome
        What is known of them by now. Where somebody was there before, that one stands.

    Raises
    ------
    DecisionError
        Nobody is named, or a number is none of an object that is set aside.
    """
    return store.aside.acknowledge(numbers, by=_named(by), reason=_plain(reason))


def release(
    store: Store, StudyInstanceUID: str, *, PatientID: str, PatientBirthDate: str | None, by: str, reason: str
) -> Release:
    """Let a study out of quarantine as one patient's: the objects of all others are kept and not used.

    It closes anew, and its next report is made of this patient's clips alone. Who comes later under another
    PatientID or birth date puts it into quarantine again.

    Parameters
    ----------
    store : Store
        The node's.
    StudyInstanceUID : str
        A study in quarantine.
    PatientID : str
        Whose it is.
    PatientBirthDate : str or None
        YYYYMMDD, where objects of two birth dates came under this PatientID. What states none is not used then.
    by, reason : str
        Who found out, and how, in words.

    Returns
    -------
    Release
        Which objects are the patient's, and which are not.

    Raises
    ------
    DecisionError
        No object is this patient's, or who it is stays open; nothing is changed.
    StoreError
        A kept file cannot be read, or the store refuses.
    """
    by, reason = _named(by), _plain(reason)
    if not reason:
        raise DecisionError(f"study {StudyInstanceUID}: no reason is given for its release")
    wanted = patient_of(PatientID, "").PatientID
    study = store.study(StudyInstanceUID)
    stated = {i.SOPInstanceUID: _birth_date(i) for i in study.instances if i.PatientID == wanted}
    if not stated:
        of_all = f"none of its {len(study.instances)} objects is of the PatientID that was given"
        raise DecisionError(f"study {StudyInstanceUID}: {of_all}")
    born = _chosen(StudyInstanceUID, stated, PatientBirthDate)
    is_one = len(_dates(stated)) < 2
    chosen = frozenset(uid for uid, date in stated.items() if date == born or (date is None and is_one))
    made = Release(
        StudyInstanceUID=StudyInstanceUID,
        PatientID=wanted,
        PatientBirthDate=born,
        chosen=chosen,
        others=frozenset(i.SOPInstanceUID for i in study.instances) - chosen,
        by=by,
        reason=reason,
    )
    store.aside.release(made)
    _log.info("study %s: released, %d objects set out", StudyInstanceUID, len(made.others))
    return made


def _chosen(StudyInstanceUID: str, stated: Mapping[str, str | None], given: str | None) -> str | None:
    """The patient's birth date; None where no object states one."""
    dates = _dates(stated)
    if given is None:
        if len(dates) > 1:
            raise DecisionError(
                f"study {StudyInstanceUID}: its objects of this PatientID state {len(dates)} birth dates; "
                "give the one that is meant"
            )
        return next(iter(dates), None)
    born = date_of(given)
    if born is None:
        raise DecisionError("the birth date that was given is no date as YYYYMMDD")
    if born not in dates:
        raise DecisionError(f"study {StudyInstanceUID}: no object of this PatientID states this birth date")
    return born


def _dates(stated: Mapping[str, str | None]) -> set[str]:
    return {date for date in stated.values() if date is not None}


def _birth_date(instance: Instance) -> str | None:
    try:
        return date_of(read_header(instance.path).PatientBirthDate)
    except OSError as error:
        raise StoreError(f"{instance.path}: cannot be read: {error.strerror}") from error


def _named(by: str) -> str:
    name = _plain(by)
    if not name:
        raise DecisionError("nobody is named who says so")
    return name


def _plain(text: str) -> str:
    """On one line, and without what a terminal would take for a command."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())
