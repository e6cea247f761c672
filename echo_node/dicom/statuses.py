"""What an archive's failure means for the outbox: the same by C-STORE as by STOW-RS."""

from __future__ import annotations

from echo_node.errors import ClassRefused, DeliveryError, DeliveryRefused, DeliveryUnreachable, ProcessingFailed

# C-STORE statuses and STOW-RS failure reasons (PS3.7 annex C, PS3.4 table B.2-1, PS3.18 table I.2-2)
PROCESSING_FAILURE = 0x0110
DUPLICATE = 0x0111
_NO_SUCH_CLASS = 0x0122
_NOT_AUTHORIZED = 0x0124
OUT_OF_RESOURCES = 0xA700
_ANY_OUT_OF_RESOURCES = range(OUT_OF_RESOURCES, 0xA800)


def failure(status: int, text: str) -> DeliveryError | None:
    """The error that a failure is; None where the archive has the object already.

    A duplicate is no failure of ours: an object goes out under its UID with the same content ever, so that what
    the archive has is what it was sent before, by a process that was killed before it could note that.

    Parameters
    ----------
    status : int
        Of C-STORE, or STOW-RS's failure reason.
    text : str
        The error's message.
    """
    if status == DUPLICATE:
        return None
    if status == PROCESSING_FAILURE:
        return ProcessingFailed(text)
    if status == _NOT_AUTHORIZED or status in _ANY_OUT_OF_RESOURCES:  # that says something of us, or of the moment
        return DeliveryUnreachable(text)
    return ClassRefused(text) if status == _NO_SUCH_CLASS else DeliveryRefused(text)


def may_be_of_the_syntax(error: DeliveryError | None) -> bool:
    """Is it worth a try to send the object in another transfer syntax at once?"""
    return isinstance(error, (DeliveryRefused, ProcessingFailed))
