"""Text out of bytes in any character set (PS3.5 6.1), also where the set is not said, or said wrongly.

Carts leave SpecificCharacterSet out and send Latin-1, or name one set and send another. A name that is
decoded with replacement characters is lost, so bytes that are not in the first set that was said are tried
in the other ones, and then in those that carts use unsaid, the strictest first: bytes that happen to be UTF-8
are UTF-8, and in the last set every byte is a character.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

from pydicom.charset import CODES_TO_ENCODINGS, convert_encodings, decode_bytes, default_encoding
from pydicom.config import strict_reading
from pydicom.valuerep import TEXT_VR_DELIMS

_ESC = 0x1B
_EVERY_BYTE = "iso8859"
# Escape sequences of PS3.3 tables C.12-3 and C.12-4. pydicom leaves that of ISO 2022 IR 58 in the text.
_ESCAPE = re.compile("\x1b(?:[()\\-]|\\$[()]?)[A-Z]")


def decoded(value: bytes, terms: Sequence[str]) -> str:
    """The text of a value, with its padding and its backslashes.

    Parameters
    ----------
    value : bytes
        As it stands in the file.
    terms : sequence of str
        Values of SpecificCharacterSet (0008,0005); empty where there is none.
    """
    if value.isascii() and _ESC not in value:
        return value.decode("ascii")
    for encodings in _candidates(value, terms):
        # of a term that does not exist, an escape sequence out of place, and bytes that are of another set
        with suppress(LookupError, ValueError), strict_reading():
            return _ESCAPE.sub("", decode_bytes(value, encodings, TEXT_VR_DELIMS))
    return value.decode(_EVERY_BYTE)


def _candidates(value: bytes, terms: Sequence[str]) -> Iterator[list[str]]:
    """Python's encodings as pydicom takes them: the first, then those that an escape sequence can switch to."""
    declared = _declared(terms)
    yield declared
    if _ESC in value:
        yield [declared[0], *CODES_TO_ENCODINGS.values()]
    for encoding in (*declared[1:], "utf8", "cp1252"):
        yield [encoding]


def _declared(terms: Sequence[str]) -> list[str]:
    """Python's encodings; ASCII for the default character set, in whose place pydicom puts all of Latin-1."""
    try:
        with strict_reading():
            encodings = convert_encodings([*terms])
    except LookupError:
        return ["ascii"]
    return ["ascii", *encodings[1:]] if encodings[0] == default_encoding else encodings
