"""DIMSE command sets as bytes (PS3.7 6.3.1 and Annex E): the little that storing needs."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

C_STORE_RQ, C_STORE_RSP = 0x0001, 0x8001  # Command Field
NO_DATA_SET = 0x0101  # Command Data Set Type

_GROUP_LENGTH = 0x0000
_AFFECTED_SOP_CLASS_UID = 0x0002
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
_COMMAND_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_ERROR_COMMENT = 0x0902
_AFFECTED_SOP_INSTANCE_UID = 0x1000
_LONGEST_COMMENT = 64  # VR LO


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The fields of a command set that decide what happens with it."""

    CommandField: int
    MessageID: int
    AffectedSOPClassUID: str
    AffectedSOPInstanceUID: str
    has_data: bool

    @property
    def is_store(self) -> bool:
        """Is it a C-STORE request with its data set to come?"""
        return self.CommandField == C_STORE_RQ and self.has_data


def decode(content: bytes) -> Command:
    """Read a command set (Implicit VR Little Endian).

    Raises
    ------
    ValueError
        It is cut short or holds another group.
    """
    values: dict[int, bytes] = {}
    position = 0
    while position < len(content):
        if position + 8 > len(content):
            raise ValueError("a command set ends inside an element")
        group, element, length = struct.unpack_from("<HHI", content, position)
        position += 8
        if group != 0 or position + length > len(content):
            raise ValueError("a command set holds what is none of it")
        values[element] = content[position : position + length]
        position += length
    return Command(
        CommandField=_number(values, _COMMAND_FIELD),
        MessageID=_number(values, _MESSAGE_ID),
        AffectedSOPClassUID=_text(values, _AFFECTED_SOP_CLASS_UID),
        AffectedSOPInstanceUID=_text(values, _AFFECTED_SOP_INSTANCE_UID),
        has_data=_number(values, _COMMAND_DATA_SET_TYPE) != NO_DATA_SET,
    )


def store_response(request: Command, status: int, comment: str) -> bytes:
    """A C-STORE response's command set (PS3.7 9.3.1.2)."""
    fields = [
        (_AFFECTED_SOP_CLASS_UID, _padded(request.AffectedSOPClassUID)),
        (_COMMAND_FIELD, struct.pack("<H", C_STORE_RSP)),
        (_MESSAGE_ID_BEING_RESPONDED_TO, struct.pack("<H", request.MessageID)),
        (_COMMAND_DATA_SET_TYPE, struct.pack("<H", NO_DATA_SET)),
        (_STATUS, struct.pack("<H", status)),
    ]
    if comment:
        fields.append((_ERROR_COMMENT, _padded(comment[:_LONGEST_COMMENT], b" ")))
    fields.append((_AFFECTED_SOP_INSTANCE_UID, _padded(request.AffectedSOPInstanceUID)))
    body = b"".join(struct.pack("<HHI", 0, element, len(value)) + value for element, value in fields)
    return struct.pack("<HHII", 0, _GROUP_LENGTH, 4, len(body)) + body


def data_pdu(context_id: int, control: int, content: bytes | memoryview) -> bytes:
    """A P-DATA-TF PDU with one presentation data value (PS3.8 9.3.5)."""
    head = struct.pack(">BBIIBB", 4, 0, len(content) + 6, len(content) + 2, context_id, control)
    return head + bytes(content)


def _number(values: Mapping[int, bytes], element: int) -> int:
    raw = values.get(element, b"")
    if len(raw) != 2:
        return 0
    return int(struct.unpack("<H", raw)[0])


def _text(values: Mapping[int, bytes], element: int) -> str:
    return values.get(element, b"").decode("ascii", "replace").strip(" \0")


def _padded(text: str, pad: bytes = b"\0") -> bytes:
    raw = text.encode("ascii", "replace")
    return raw + pad if len(raw) % 2 else raw
