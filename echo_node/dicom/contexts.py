"""Which presentation contexts the receiver accepts: one rule, asked by the receiver and by its statement."""

from __future__ import annotations

from collections.abc import Iterable

from pynetdicom import AllStoragePresentationContexts, build_context
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import ServiceClass
from pynetdicom.sop_class import uid_to_service_class

_STANDARD = "1.2.840.10008."  # the root of DICOM's own UIDs (PS3.5 9)
_STANDARD_STORAGE = "1.2.840.10008.5.1.4.1.1."  # below which new storage classes come (PS3.4 B.5)
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
    return SOPClassUID.startswith(_STANDARD_STORAGE) and uid_to_service_class(SOPClassUID) is ServiceClass


def storage_contexts(proposed: Iterable[PresentationContext]) -> list[PresentationContext]:
    """A context for each proposed class that stores, in every transfer syntax that it is proposed in.

    pynetdicom's own unrestricted storage service would accept worklists too, and then not answer.
    """
    offered: dict[str, dict[str, None]] = {}
    for context in proposed:
        if stores(str(context.abstract_syntax)):
            offered.setdefault(str(context.abstract_syntax), {}).update(dict.fromkeys(context.transfer_syntax))
    return [build_context(kind, list(syntaxes)) for kind, syntaxes in offered.items()]
