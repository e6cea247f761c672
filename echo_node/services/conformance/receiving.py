"""Section 4.2.1 of the statement: the receiver."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from pydicom.uid import UID

from echo_node.config import Config, Receive
from echo_node.dicom import data_path, scp
from echo_node.dicom.clips import ULTRASOUND_IMAGES, is_readable
from echo_node.dicom.contexts import (
    ANY_OTHER,
    Known,
    accepted_for_storage,
    known_classes,
    known_transfer_syntaxes,
)
from echo_node.dicom.statuses import OUT_OF_RESOURCES
from echo_node.services import receive
from echo_node.services.conformance.markdown import table

_OF_A_REPORT = "what a person drew on a clip (docs/corrections.md), or a cart measured (docs/agreement.md)"


def receive_entity(config: Config) -> list[str]:
    """SOP classes, association policies and statuses of the receiver (PS3.2 A.4.2)."""
    return [
        f'#### 4.2.1 Storage SCP "receive" ({config.receive.ae_title})',
        *_classes(config.receive),
        *_policies(config.receive),
        *_acceptance(config),
        *_statuses(config.receive),
    ]


def _classes(settings: Receive) -> list[str]:
    accepted = accepted_for_storage()
    used = ULTRASOUND_IMAGES.union(receive.REPORTS)
    kept = [known for known in known_classes() if known.uid in accepted and known.uid not in used]
    return [
        "##### 4.2.1.1 SOP classes",
        "Table 4.2-1: SOP classes whose objects are analysed or read",
        table(
            ("SOP class", "UID", "transfer syntaxes", "role", "what of it"),
            [
                *((*row, "its frames") for row in _rows(_known(ULTRASOUND_IMAGES), role="SCP")),
                *((*row, _OF_A_REPORT) for row in _rows(_known(receive.REPORTS), role="SCP")),
            ],
        ),
        "Table 4.2-2: SOP classes whose objects are kept, neither analysed nor read",
        table(
            ("SOP class", "UID", "transfer syntaxes", "role"),
            [
                *_rows(kept, role="SCP"),
                *([("every class outside DICOM's own root", "any", _some(accepted[ANY_OTHER]), "SCP")]),
            ],
        ),
        "Classes of DICOM's own root that PS3.6 did not know yet are taken below 1.2.840.10008.5.1.4.1.1, where "
        "storage classes stand. A context of any other class is rejected (3, abstract syntax not supported), "
        "but for storage commitment from a destination with `commitment: request` (section 4.2.2.1).",
        "Table 4.2-3: transfer syntaxes",
        table(("transfer syntax", "UID", "accepted for storage", "frames are read"), _syntaxes()),
        "Of the transfer syntaxes of a context a compressed one whose frames are read is accepted before an "
        "uncompressed one, and either before any other; among equals the one that was proposed first, counted over "
        "all contexts of its class. Objects are kept in it, byte for byte.",
        "Table 4.2-4: Verification",
        table(
            ("SOP class", "UID", "transfer syntaxes", "role"),
            [
                (
                    _named(c.abstract_syntax),
                    str(c.abstract_syntax),
                    ", ".join(map(_named, c.transfer_syntax)),
                    "SCP",
                )
                for c in scp.application_entity(settings).supported_contexts
            ],
        ),
    ]


def _named(uid: str | None) -> str:
    return UID(str(uid)).name


def _known(uids: Collection[str]) -> list[Known]:
    return [known for known in known_classes() if known.uid in uids]


def _rows(classes: Iterable[Known], *, role: str) -> Iterator[tuple[str, str, str, str]]:
    accepted = accepted_for_storage()
    for known in classes:
        retired = " (retired)" if known.is_retired else ""
        yield f"{known.name}{retired}", known.uid, _some(accepted[known.uid]), role


def _some(syntaxes: frozenset[str]) -> str:
    """Transfer syntaxes in words where they are all there are."""
    if syntaxes == {*(known.uid for known in known_transfer_syntaxes()), ANY_OTHER}:
        return "every one that is proposed"
    return ", ".join(sorted(syntaxes))


def _syntaxes() -> Iterator[tuple[str, str, str, str]]:
    anywhere = frozenset.intersection(*accepted_for_storage().values())
    others = Known(uid=ANY_OTHER, name="every other, private ones too", is_retired=False)
    for known in (*known_transfer_syntaxes(), others):
        retired = " (retired)" if known.is_retired and "Retired" not in known.name else ""
        yield (
            f"{known.name}{retired}",
            "any" if known.uid == ANY_OTHER else known.uid,
            "Yes" if known.uid in anywhere else "No",
            "Yes" if is_readable(known.uid) else "No",
        )


def _policies(settings: Receive) -> list[str]:
    ae = scp.application_entity(settings)
    return [
        "##### 4.2.1.2 Association policies",
        table(
            ("policy", "value"),
            [
                ("application context name", "1.2.840.10008.3.1.1.1"),
                ("maximum length of a received PDU", f"{ae.maximum_pdu_size} bytes"),
                ("associations at once", str(settings.max_associations)),
                ("connections at once from one address", str(settings.max_associations_per_host)),
                ("asynchronous operations", "none: one operation at a time, an offered window is not answered"),
                ("implementation class UID", str(ae.implementation_class_uid)),
                ("implementation version name", str(ae.implementation_version_name)),
            ],
        ),
        "##### 4.2.1.3 Association initiation policy",
        "This AE initiates none.",
    ]


def _acceptance(config: Config) -> list[str]:
    settings, limit, title = config.receive, scp.LOCAL_LIMIT_EXCEEDED, scp.CALLED_AE_NOT_RECOGNISED
    return [
        "##### 4.2.1.4 Association acceptance policy",
        "An association is rejected for the first of these reasons that holds; each rejection is logged.",
        "Table 4.2-5: rejections (result, source, reason of PS3.8 table 9-21)",
        table(
            ("result", "source", "reason", "when"),
            [
                (*map(str, limit), "the node is stopping"),
                (*map(str, title), f"the called AE title is not {settings.ae_title}"),
                (
                    *map(str, scp.CALLING_AE_NOT_RECOGNISED),
                    "the calling AE title is blank or has characters that none may have, or no cart of section 7 "
                    "has it and the address",
                ),
                (*map(str, limit), f"{settings.max_associations} associations are there"),
                (*map(str, limit), f"less than {settings.min_free_disk_mib} MiB are free on the disk"),
            ],
        ),
        *_archives(config),
        f"A connection over {settings.max_associations_per_host} from its address is closed before anything is "
        "read. A connection is also closed, without an answer, by a PDU that is longer than announced, of no "
        f"known type, or not there within {settings.pdu_seconds:g} s ({settings.first_pdu_seconds:g} s before the "
        f"association stands), by an object of more than {2 * settings.max_object_mib} MiB, by a command inside a "
        f"data set, and after {settings.idle_seconds:g} s of silence or of less than 1 KiB of a data set.",
        "###### Extended negotiation",
        "None but role selection, for storage commitment alone. SOP Class Extended and Common Extended Negotiation "
        "are not answered: the node is SCP of what it stores. A user identity is neither asked for nor checked, "
        "and no response to it is sent.",
    ]


def _archives(config: Config) -> list[str]:
    """Who is let in beside the carts, and for what."""
    names = ", ".join(destination.name for destination in receive.asked_to_commit(config))
    called = " or ".join(dict.fromkeys((config.receive.ae_title, config.deliver.calling_ae_title)))
    return [
        "An archive that is no cart is let in too where its destination has `commitment: request` "
        f"({names or 'none has'}), by the destination's AE title and an address of its host, for N-EVENT-REPORT of "
        f"storage commitment and Verification alone. It may call {called}. Of the reasons above only that the node "
        f"is stopping holds for it, and that {config.receive.max_associations + 1} associations are there.",
    ]


def _statuses(settings: Receive) -> list[str]:
    success, full = f"{data_path.SUCCESS:04X}", f"{OUT_OF_RESOURCES:04X}"
    mismatch, unclear = f"{data_path.DOES_NOT_MATCH_SOP_CLASS:04X}", f"{data_path.CANNOT_UNDERSTAND:04X}"
    return [
        "###### Storage",
        "Conformance level 2 (full): every attribute is kept, private ones too. Success is answered only after "
        "the file is on the disk and its row in the database. Nothing is coerced.",
        "Table 4.2-6: C-STORE statuses that are returned",
        table(
            ("status", "service status", "when", "what becomes of the object"),
            [
                (success, "Success", "a new object", "kept; analysed or read where it is of table 4.2-1"),
                (success, "Success", "an object that is kept already, byte for byte", "nothing"),
                (success, "Success", "a known SOP Instance UID with other content", "set aside"),
                (success, "Success", "no Study or Series Instance UID, or a header that is cut short", "set aside"),
                (
                    success,
                    "Success",
                    "another patient in a known study",
                    "kept; no report until it is released",
                ),
                (full, "Refused: out of resources", "the disk or the database does not take it", "refused"),
                (
                    mismatch,
                    "Error: data set does not match SOP class",
                    "the command's class is not the context's, or class or instance differ in the data set",
                    "refused",
                ),
                (unclear, "Error: cannot understand", "the Affected SOP Instance UID is no UID", "refused"),
            ],
        ),
        "Objects stay under the node's storage folder. A study is complete, and is reported, by the rules of "
        f"`study` in section 4.4.2. At stop, stores in flight have {settings.drain_seconds:g} s to finish.",
    ]
