"""Sections 4.2.2 and 4.2.3 of the statement: the sender, and who asks the receiver whether it is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from pydicom.uid import UID

from echo_node.codes import BY_PERSONS, FALLBACKS, ObjectKind
from echo_node.config import Config, Deliver, Destination
from echo_node.dicom import recode, scu
from echo_node.dicom.contexts import known_classes
from echo_node.errors import DeliveryRefused
from echo_node.services import deliver
from echo_node.services.conformance.markdown import table
from echo_node.services.conformance.objects import Made

_STATUSES = range(0x10000)
_TREATMENTS = {
    "sent": "the destination has it; it is not sent again",
    "again": "sent again later",
    "given up": "not sent again; a person must look",
}


def deliver_entity(config: Config, made: Made) -> list[str]:
    """SOP classes, association policies and treatment of statuses of the sender (PS3.2 A.4.2)."""
    settings = config.deliver
    return [
        f'#### 4.2.2 Storage SCU "deliver" ({settings.calling_ae_title})',
        "##### 4.2.2.1 SOP classes",
        "Table 4.2-7: proposed presentation contexts, by destination",
        *_contexts(settings.destinations, made),
        "A context is proposed only where an object of its class waits for the destination. Of an object that is "
        "not compressed each transfer syntax has a context of its own, in the order of preference: the next is "
        "used where the peer does not take the one before, or refuses a segmentation that was compressed, or "
        "fails at it (0110).",
        "Comprehensive SR is proposed in the place of Comprehensive 3D SR to a destination that has refused that "
        "(table 4.2-9).",
        "Where a destination has `commitment: request`, the Storage Commitment Push Model SOP Class "
        "(1.2.840.10008.1.20.1) is proposed as SCU after the objects were sent: N-ACTION type 1, and "
        "N-EVENT-REPORT types 1 and 2, taken on the same association for a while, later on an association of "
        "the destination's own to the receiver, with role selection.",
        "Where it has `commitment: find`, Study Root Query/Retrieve - FIND (1.2.840.10008.5.1.4.1.2.2.1) is "
        "proposed as SCU, at IMAGE level with the three UIDs as keys.",
        "Key Object Selection is proposed once a person has rejected results that the destination was sent: the "
        'document (113001, DCM, "Rejected for Quality Reasons", PS3.16 TID 2010) names them.',
        *_policies(settings),
        *_initiation(settings),
        "##### 4.2.2.4 Association acceptance policy",
        "This AE accepts none.",
        *_web(settings.destinations, made),
    ]


def _contexts(destinations: Sequence[Destination], made: Made) -> list[str]:
    """What is proposed; where no destination is configured, what one would be by default."""
    named = {d.name: d for d in destinations if d.url is None}
    if not named and destinations:
        return ["None: no destination is sent to by C-STORE, all have a `url` (section 4.2.2.5)."]
    by_default = Destination(name="default", ae_title="ANY", host="any", port=104)
    rows = _sent(named or {"(none is configured; by default)": by_default}, made)
    proposed = [
        (*row, syntax.name, syntax, "SCU", "none")
        for row, own, preferred in rows
        for syntax in map(UID, scu.encodings(own, preferred))
    ]
    heads = ("destination", "SOP class", "UID", "transfer syntax", "UID", "role", "extended negotiation")
    return [table(heads, dict.fromkeys(proposed))]


def _web(destinations: Sequence[Destination], made: Made) -> list[str]:
    """What is sent by STOW-RS."""
    rows = _sent({d.name: d for d in destinations if d.url is not None}, made)
    stored = [
        (*row, syntax.name, syntax)
        for row, own, preferred in rows
        for syntax in map(UID, (own,) if preferred is None else (preferred, own))
    ]
    return [
        "##### 4.2.2.5 STOW-RS",
        "A destination with `url` is sent the same objects by STOW-RS (PS3.18 10.5) in place of C-STORE: POST to "
        "`studies` below the URL, one object in a request, as multipart/related of application/dicom; the answer "
        "is asked for as application/dicom+json. User and password (Basic) or a bearer token go along where they "
        "are configured. Pauses are those of section 4.2.2.3; docs/design.md says how each answer is treated. Of "
        "several transfer syntaxes the next is used where the service refuses the one before, or fails at it "
        "(0110).",
        "Table 4.2-10: what is stored by STOW-RS, by destination",
        table(("destination", "SOP class", "UID", "transfer syntax", "UID"), dict.fromkeys(stored))
        if stored
        else "None: no destination has a `url`.",
    ]


def _sent(destinations: Mapping[str, Destination], made: Made) -> Iterator[tuple[tuple[str, ...], str, str | None]]:
    """Name, SOP class and its UID, then the object's own transfer syntax and the preferred one."""
    names = {known.uid: known.name for known in known_classes()}
    for name, destination in destinations.items():
        for kind in _kinds(destination):
            uid = made[kind].SOPClassUID
            preferred = recode.preferred(uid, destination.seg_transfer_syntax)
            yield (name, names[uid], uid), made[kind].TransferSyntaxUID, preferred


def _kinds(destination: Destination) -> Iterator[ObjectKind]:
    """What a destination may be sent: what it asks for, older forms of that, persons' rejections and edits."""
    for kind in destination.objects:
        yield kind
        if kind in FALLBACKS:
            yield FALLBACKS[kind]
    yield from BY_PERSONS


def _policies(settings: Deliver) -> list[str]:
    ae = scu.application_entity(settings.calling_ae_title, settings.connect_seconds, settings.response_seconds)
    return [
        "##### 4.2.2.2 Association policies",
        table(
            ("policy", "value"),
            [
                ("application context name", "1.2.840.10008.3.1.1.1"),
                ("maximum length of a received PDU", f"{ae.maximum_pdu_size} bytes"),
                ("associations at once", "1 to each destination"),
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
                (
                    "the same, or status 0122, of a Comprehensive 3D SR",
                    "the same report goes as Comprehensive SR in its place, unless the destination took it before",
                ),
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
