"""MetaImage files (.mhd beside .raw), as CAMUS was first published: one volume of bytes, uncompressed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from echo_node.errors import LabelError

_NEEDED = ("DimSize", "ElementSpacing", "ElementType", "ElementDataFile")


@dataclass(frozen=True, slots=True)
class Volume:
    """Frames and the size of their pixels."""

    frames: npt.NDArray[np.uint8]  # [T,H,W]
    spacing_mm: tuple[float, float]  # (row, column)


def read_metaimage(path: Path) -> Volume:
    """A volume of bytes.

    Raises
    ------
    LabelError
        Keys are missing, the type is another, or the data has another size.
    """
    lines = (line.partition("=") for line in path.read_text(encoding="ascii", errors="replace").splitlines())
    header = {key.strip(): value.strip() for key, _, value in lines}
    missing = [key for key in _NEEDED if key not in header]
    if missing:
        raise LabelError(f"{path}: {', '.join(missing)} is missing")
    if header["ElementType"] != "MET_UCHAR" or header.get("CompressedData", "False") == "True":
        raise LabelError(f"{path}: only uncompressed MET_UCHAR is read, not {header['ElementType']}")
    try:
        cols, rows, *rest = (int(size) for size in header["DimSize"].split())
        across, down, *_ = (float(size) for size in header["ElementSpacing"].split())
    except ValueError as error:
        raise LabelError(f"{path}: DimSize or ElementSpacing does not hold its numbers: {error}") from error
    data = np.frombuffer((path.parent / header["ElementDataFile"]).read_bytes(), np.uint8)
    count = rest[0] if rest else 1
    if data.size != count * rows * cols:
        raise LabelError(f"{path}: {data.size} bytes for {count} frames of {rows} x {cols}")
    return Volume(data.reshape(count, rows, cols), (down, across))
