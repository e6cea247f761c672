"""ClipAnalysis to JSON and arrays and back, bit for bit, by the records' own type hints.

Enums stand as their names; arrays stand as keys of an .npz, boolean ones packed 8 to the byte. A row of an
earlier version lacks later fields: their defaults stand in.
"""

from __future__ import annotations

import dataclasses
import enum
import io
import json
import types
import typing
import zipfile
import zlib
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from echo_node.errors import DamagedError
from echo_node.records import ClipAnalysis

_Arrays = dict[str, npt.NDArray[Any]]


def encode(analysis: ClipAnalysis) -> tuple[str, bytes | None]:
    """A record as JSON and the .npz of its arrays (None where it has none)."""
    arrays: _Arrays = {}
    scalars = json.dumps(_encode(analysis, arrays), ensure_ascii=False)
    if not arrays:
        return scalars, None
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return scalars, stream.getvalue()


def decode(scalars: str, content: bytes | None) -> ClipAnalysis:
    """The record that :func:`encode` took.

    Raises
    ------
    DamagedError
        The text or the arrays are damaged, or of another version of the record.
    """
    try:
        arrays = {} if content is None else dict(np.load(io.BytesIO(content), allow_pickle=False))
        analysis = _decode(json.loads(scalars), ClipAnalysis, arrays)
    except (LookupError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DamagedError(f"a stored analysis cannot be read: {type(error).__name__}") from error
    assert isinstance(analysis, ClipAnalysis)
    return analysis


def _encode(value: object, arrays: _Arrays) -> Any:
    if isinstance(value, np.ndarray):
        key = f"a{len(arrays)}"
        if value.dtype == np.bool_:
            arrays[key] = np.packbits(value)
            return {"bits": key, "shape": list(value.shape)}
        arrays[key] = value
        return {"array": key}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value):
        return {f.name: _encode(getattr(value, f.name), arrays) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_encode(item, arrays) for item in value]
    # NumPy's scalars are not JSON's; a float64 and a float are the same bits.
    return value.item() if isinstance(value, np.generic) else value


def _decode(value: Any, hint: Any, arrays: _Arrays) -> Any:
    if value is None:
        return None
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:  # each union here is "something or None"
        return _decode(value, next(a for a in args if a is not types.NoneType), arrays)
    if origin is tuple:
        kinds = [args[0]] * len(value) if args[-1] is Ellipsis else list(args)
        return tuple(_decode(item, kind, arrays) for item, kind in zip(value, kinds, strict=True))
    if origin is np.ndarray:
        return _decode_array(value, arrays)
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        assert isinstance(hint, type)
        return hint(**{name: _decode(item, hints[name], arrays) for name, item in value.items()})
    if hint is datetime:
        return datetime.fromisoformat(value)
    return hint[value] if issubclass(hint, enum.Enum) else value


def _decode_array(value: dict[str, Any], arrays: _Arrays) -> npt.NDArray[Any]:
    if "array" in value:
        return arrays[value["array"]]
    shape = tuple(value["shape"])
    bits = np.unpackbits(arrays[value["bits"]], count=int(np.prod(shape)))
    return bits.astype(np.bool_).reshape(shape)
