"""UIDs derived from what an object is made from, so that the same input gives the same UID.

A UID is 2.25 and a UUID as a decimal integer (PS3.5 B.2); the UUID is a version 5 one, a hash of a
name. So a worker that was killed and does its job again makes the same objects, not a second set.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import echo_node
from echo_node.edits import Edit
from echo_node.records import EngineIdentity

_NAMESPACE = uuid.UUID("5b1d5d0e-3c62-5a3f-9d0b-6b3f2c0a7e11")


def derived_uid(*parts: object) -> str:
    """The UID of a thing that these parts name; at most 44 characters.

    Parameters
    ----------
    parts : object
        UIDs, digests, numbers and words, in a fixed order. ``str`` of each counts.
    """
    return f"2.25.{uuid.uuid5(_NAMESPACE, '|'.join(str(part) for part in parts)).int}"


def after_rejections(count: int) -> tuple[object, ...]:
    """What is made after a person's rejection is never the object that was rejected, even where it looks alike."""
    return (f"after rejection {count}",) if count else ()


def after_edits(edits: Sequence[Edit]) -> tuple[object, ...]:
    """What rests on persons' reports names them, so that it is another object even where it looks alike."""
    return tuple(dict.fromkeys(f"after {edit.SOPInstanceUID} by {edit.observer}" for edit in edits))


def series_uid(StudyInstanceUID: str, kind: str, engine: EngineIdentity) -> str:
    """The UID of a study's one series of a kind of object.

    The versions are part of it: all objects of a series come from the same equipment (PS3.3 A.1.2.3).
    """
    return derived_uid(StudyInstanceUID, kind, engine.digest, echo_node.__version__)


def device_uid(engine: EngineIdentity) -> str:
    """The UID of the node as a device that observes: another one with each engine and version."""
    return derived_uid("device", engine.digest, echo_node.__version__)


def tracking_uid(*parts: object) -> str:
    """The UID under which a region or a finding is followed from a SEG to an SR, and over revisions."""
    return derived_uid("tracking", *parts)
