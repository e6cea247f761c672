"""Destinations and deliveries as those who send take them."""

from __future__ import annotations

from collections.abc import Iterable

from echo_node.config import Destination
from echo_node.dicom import recode, scu, stow
from echo_node.records import Delivery


def peer_of(destination: Destination) -> scu.Peer:
    """The application entity of a destination that has no url."""
    assert destination.ae_title is not None, "config.py sees to it"
    assert destination.host is not None
    assert destination.port is not None
    return scu.Peer(ae_title=destination.ae_title, host=destination.host, port=destination.port)


def web_service(destination: Destination, url: str) -> stow.Service:
    """The DICOMweb service of a destination that has a url."""
    return stow.Service(
        url=url,
        user=destination.user,
        password_file=destination.password_file,
        token_file=destination.token_file,
        ca_file=destination.ca_file,
    )


def outgoing(deliveries: Iterable[Delivery], destination: Destination) -> list[scu.Outgoing]:
    """The files of deliveries, and how the destination would rather have them."""
    wanted = destination.seg_transfer_syntax
    return [
        scu.Outgoing(d.SOPClassUID, d.SOPInstanceUID, d.path, recode.preferred(d.SOPClassUID, wanted))
        for d in deliveries
    ]
