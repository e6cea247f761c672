"""Which presentation contexts the receiver accepts: one rule, asked by the receiver and by its statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydicom.uid import UID, UID_dictionary  # type: ignore[attr-defined]
from pynetdicom import AllStoragePresentationContexts, build_context, sop_class
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import ServiceClass
from pynetdicom.sop_class import uid_to_service_class

from echo_node.dicom.clips import is_readable
from echo_node.dicom.pixels import NATIVE

_STANDARD = "1.2.840.10008."  # the root of DICOM's own UIDs (PS3.5 9)
_STANDARD_STORAGE = "1.2.840.10008.5.1.4.1.1."  # below which new storage classes come (PS3.4 B.5)
ANY_OTHER = "2.25.1"  # stands for what no list holds, a class or a transfer syntax
_STORAGE = frozenset(str(context.abstract_syntax) for context in AllStoragePresentationContexts)


def stores(SOPClassUID: str) -> bool:
    """Is this a class whose objects are kept?

    Every class of the Storage Service, and every one that no list holds: carts have private and retired ones.
    Of DICOM's own UIDs that no list holds only those are taken that stand where storage classes do: a
    retired worklist would be accepted else, and then not answered.
    """
    if SOPClassUID in _STORAGE:
        return True
    if not SOPClassUID.startswith(_STANDARD):
        return True
    is_class = UID(SOPClassUID).type in ("", "SOP Class")  # well-known instances stand there too
    is_unlisted = uid_to_service_class(SOPClassUID) is ServiceClass
    return is_class and is_unlisted and SOPClassUID.startswith(_STANDARD_STORAGE)


def storage_contexts(proposed: Iterable[PresentationContext]) -> list[PresentationContext]:
    """A context for each proposed class that stores, in every transfer syntax that it is proposed in.

    Of several in one context a compressed one is taken whose frames the node reads: a cart that could send
    both has the object so, and would decompress it for us.

    pynetdicom's own unrestricted storage service would accept worklists too, and then not answer.
    """
    offered: dict[str, dict[str, None]] = {}
    for context in proposed:
        if stores(str(context.abstract_syntax)):
            offered.setdefault(str(context.abstract_syntax), {}).update(dict.fromkeys(context.transfer_syntax))
    return [build_context(kind, sorted(syntaxes, key=_preference)) for kind, syntaxes in offered.items()]


def _preference(TransferSyntaxUID: str) -> int:
    """Compressed and readable first, then what is not compressed; sorting leaves the proposed order else."""
    if TransferSyntaxUID in NATIVE:
        return 1
    return 0 if is_readable(TransferSyntaxUID) else 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A UID as the standard lists it."""

    uid: str
    name: str
    is_retired: bool


def known_classes() -> tuple[Known, ...]:
    """Every SOP class of PS3.6, those of services other than storage too, by UID."""
    named = {str(uid): keyword for keyword, uid in vars(sop_class).items() if isinstance(uid, UID)}
    newer = [Known(uid=uid, name=named[uid], is_retired=False) for uid in _STORAGE if uid not in UID_dictionary]
    return tuple(sorted((*_of_type("SOP Class"), *_of_type("Meta SOP Class"), *newer), key=_order))


def known_transfer_syntaxes() -> tuple[Known, ...]:
    """Every transfer syntax of PS3.6, by UID."""
    return tuple(sorted(_of_type("Transfer Syntax"), key=_order))


def accepted_for_storage() -> Mapping[str, frozenset[str]]:
    """Which transfer syntaxes of each known class the receiver accepts when it is proposed in all of them.

    A class that is not accepted is not there. ``ANY_OTHER`` stands among the classes, and among the transfer
    syntaxes, for all that are not known.
    """
    syntaxes = [*(known.uid for known in known_transfer_syntaxes()), ANY_OTHER]
    classes = [*(known.uid for known in known_classes()), ANY_OTHER]
    accepted = storage_contexts([build_context(uid, syntaxes) for uid in classes])
    return {str(c.abstract_syntax): frozenset(map(str, c.transfer_syntax)) for c in accepted}


def _of_type(kind: str) -> list[Known]:
    return [
        Known(uid=uid, name=name or "(no name)", is_retired=bool(retired))
        for uid, (name, type_, _, retired, _) in UID_dictionary.items()
        if type_ == kind
    ]


def _order(known: Known) -> list[int]:
    return [int(part) for part in known.uid.split(".")]
