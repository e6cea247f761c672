"""C-FIND at IMAGE level: does an archive have an object? (PS3.4 annex C)"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import Dataset
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
)

from echo_node.dicom.header import read_header
from echo_node.dicom.scu import Outgoing, Peer, application_entity, associated
from echo_node.errors import DeliveryRefused, DeliveryUnreachable

_PENDING = (0xFF00, 0xFF01)


def find(
    objects: Sequence[Outgoing],
    *,
    to: Peer,
    calling_ae: str,
    connect_seconds: float = 10,
    response_seconds: float = 60,
) -> frozenset[str]:
    """The SOP Instance UIDs of those objects that an archive has; one whose own file is lost is not looked for.

    Raises
    ------
    DeliveryError
        It does not answer, or not to such questions.
    """
    ae = application_entity(calling_ae, connect_seconds, response_seconds)
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    with associated(ae, to) as assoc:
        if not assoc.is_established:
            raise DeliveryRefused("the peer does not take queries (Study Root FIND)")
        return frozenset(item.SOPInstanceUID for item in objects if _has(assoc, item))


def _has(assoc: Association, item: Outgoing) -> bool:
    try:
        header = read_header(item.path)
    except OSError:
        return False
    ds = Dataset()
    ds.QueryRetrieveLevel = "IMAGE"
    ds.StudyInstanceUID = header.StudyInstanceUID
    ds.SeriesInstanceUID = header.SeriesInstanceUID
    ds.SOPInstanceUID = item.SOPInstanceUID
    if not assoc.is_established:
        raise DeliveryUnreachable("the association ended in the middle of the queries")
    has = False
    for status, found in assoc.send_c_find(ds, StudyRootQueryRetrieveInformationModelFind):
        if "Status" not in status:
            raise DeliveryUnreachable("no answer to C-FIND")
        if status.Status in _PENDING:
            has |= found is not None and found.get("SOPInstanceUID") == item.SOPInstanceUID
        elif status.Status != 0:
            raise DeliveryUnreachable(f"C-FIND answered {int(status.Status):04X}")
    return has
