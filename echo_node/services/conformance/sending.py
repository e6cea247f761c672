"""Sections 4.2.2 and 4.2.3 of the statement: the sender, and who asks the receiver whether it is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from pydicom.uid import UID

from echo_node.config import Config, Deliver, Destination, ObjectKind
from echo_node.dicom import scu
from echo_node.errors import DeliveryRefused
from echo_node.reports.contents import Contents
from echo_node.services import deliver
from echo_node.services.conformance.markdown import table

_STATUSES = range(0x10000)
_TREATMENTS = {
    "sent": "the destination has it; it is not sent again",
    "again": "sent again later",
    "given up": "not sent again; a person must look",
}


def deliver_entity(config: Config, made: Sequence[Contents]) -> list[str]:
    """SOP classes, association policies and treatment of statuses of the sender (PS3.2 A.4.2)."""
    settings = config.deliver
    return [
        f'#### 4.2.2 Storage SCU "deliver" ({settings.calling_ae_title})',
        "##### 4.2.2.1 SOP classes",
        "Table 4.2-7: proposed presentation contexts, by destination",
        table(
            ("destination", "SOP class", "UID", "transfer syntax", "UID", "role", "extended negotiation"),
            _proposed(settings.destinations, made),
        ),
        "A context is proposed only where an object of its class waits for the destination.",
        *_policies(settings),
        *_initiation(settings),
        "##### 4.2.2.4 Association acceptance policy",
        "This AE accepts none.",
    ]


def _proposed(destinations: Sequence[Destination], made: Sequence[Contents]) -> Iterator[tuple[str, ...]]:
    kinds = dict(zip((ObjectKind.SR, ObjectKind.SEG), made, strict=True))
    wanted = [(d.name, d.objects) for d in destinations]
    every: tuple[ObjectKind, ...] = Destination.model_fields["objects"].default
    for name, objects in wanted or [("(none is configured; by default)", every)]:
        for kind in objects:
            held, syntax = UID(kinds[kind].SOPClassUID), UID(kinds[kind].TransferSyntaxUID)
            yield name, held.name, held, syntax.name, syntax, "SCU", "none"


def _policies(settings: Deliver) -> list[str]:
    ae = scu.application_entity(settings.calling_ae_title, settings.connect_seconds, settings.response_seconds)
    return [
        "##### 4.2.2.2 Association policies",
        table(
            ("policy", "value"),
            [
                ("application context name", "1.2.840.10008.3.1.1.1"),
                ("maximum length of a received PDU", f"{ae.maximum_pdu_size} bytes"),
                ("associations at once", "1: one destination after the other"),
                ("objects in one association", f"up to {deliver.BATCH}"),
                ("asynchronous operations", "none: one operation at a time"),
                ("implementation class UID", str(ae.implementation_class_uid)),
                ("implementation version name", str(ae.implementation_version_name)),
                ("time to connect, and for the association's answer", f"{settings.connect_seconds:g} s each"),
                ("time for an answer to C-STORE", f"{settings.response_seconds:g} s"),
            ],
        ),
    ]


def _initiation(settings: Deliver) -> list[str]:
    return [
        "##### 4.2.2.3 Association initiation policy",
        "An association is opened when an object is due for a destination, and released when all that were due "
        "have been tried. Bytes and SOP Instance UID of an object never change between tries.",
        "Table 4.2-8: what a C-STORE status means",
        table(
            ("status", "treatment"),
            [(statuses, _TREATMENTS[treatment]) for treatment, statuses in _ranges()],
        ),
        "Table 4.2-9: other outcomes",
        table(
            ("outcome", "treatment"),
            [
                ("no connection, association rejected or aborted, no answer in time", _TREATMENTS["again"]),
                ("the object's context is not accepted", _TREATMENTS["given up"]),
                ("the object's file is lost or damaged", _TREATMENTS["given up"]),
            ],
        ),
        f"The pause before another try is {settings.first_retry_seconds:g} s and doubles up to "
        f"{settings.max_retry_seconds:g} s, a tenth more or less; after {settings.max_attempts} tries the object "
        "is given up. `echo-node status` names what was given up.",
    ]


def _ranges() -> Iterator[tuple[str, str]]:
    """Treatments with their statuses, in the order of the statuses, as the sender judges each."""
    for treatment, run in groupby(_STATUSES, key=_treatment):
        statuses = list(run)
        ends = dict.fromkeys((statuses[0], statuses[-1]))
        yield treatment, " to ".join(f"{status:04X}" for status in ends)


def _treatment(status: int) -> str:
    error = scu.judged(status)
    if error is None:
        return "sent"
    return "given up" if isinstance(error, DeliveryRefused) else "again"


def status_entity(config: Config) -> list[str]:
    """The echo of ``echo-node status``."""
    return [
        '#### 4.2.3 Verification SCU "status"',
        f"`echo-node status` asks the receiver on port {config.receive.port} by C-ECHO whether it answers, and "
        "nobody else. It proposes Verification (1.2.840.10008.1.1), waits 5 s, and otherwise negotiates as in "
        "section 4.2.2.2.",
    ]
