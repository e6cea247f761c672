"""Who drew what a report says, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from pydicom import Dataset
from pydicom.valuerep import DA, TM

import echo_node.reports.coded as coded
from echo_node.codes import Code

PERSON_NAME = Code("121008", "DCM", "Person Observer Name")


def person(item: Dataset) -> str:
    """The first person whom a document or a group names as its observer, author or verifier; empty without one."""
    for observer in coded.named(item, PERSON_NAME):
        if str(observer.get("PersonName") or "").strip("^ "):
            return str(observer.PersonName)
    for sequence, keyword in (
        ("AuthorObserverSequence", "PersonName"),
        ("VerifyingObserverSequence", "VerifyingObserverName"),
    ):
        for observer in item.get(sequence) or []:
            if str(observer.get(keyword) or "").strip("^ "):
                return str(observer[keyword].value)
    return ""


def made_at(ds: Dataset) -> datetime | None:
    """When a document was made, in UTC; by the node's own zone where it names none (PS3.3 C.12.1.1.8)."""
    try:
        date, time = DA(ds.get("ContentDate")), TM(ds.get("ContentTime"))
        if not date or not time:
            return None
        local = datetime.combine(date, time)
        offset = str(ds.get("TimezoneOffsetFromUTC") or "")
        return _aware(local, offset).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _aware(local: datetime, offset: str) -> datetime:
    if not offset:
        return local.astimezone()
    sign = -1 if offset[0] == "-" else 1
    return local.replace(tzinfo=timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5]))))
