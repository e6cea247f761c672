"""Time to read a clip's frames to grey, against pydicom's own ways.

Run: ``python -m benchmarks.decode``. A phantom's clip as a cart writes it (JPEG baseline, on a vendor's
screen); 16 frames spread over it, then all. "echo-node" opens the file, finds the sector and the fragments,
and decodes to grey inside the sector; pydicom decodes to colour with the decoder it finds installed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pydicom
from pydicom.pixels.utils import iter_pixels

from benchmarks.timing import race
from echo_node.dicom.clips import open_clip
from echo_node.inference.sampling import spread
from echo_node.services.simulate import known_exam

SAMPLED = 16


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    _, exam = known_exam(1, start=datetime.now(UTC))
    ds = max((item.ds for item in exam), key=lambda ds: int(ds.get("NumberOfFrames", 1)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.dcm"
        pydicom.dcmwrite(path, ds, enforce_file_format=True)
        for count in (SAMPLED, ds.NumberOfFrames):
            print(f"{count} of {ds.NumberOfFrames} frames, {ds.Rows} x {ds.Columns}")
            race(_ways(path, spread(ds.NumberOfFrames, count)), repeats=repeats)


def _ways(path: Path, wanted: tuple[int, ...]) -> dict[str, Callable[[], object]]:
    return {
        "echo-node": lambda: open_clip(path).read(wanted),
        "pydicom, the wanted frames": lambda: list(iter_pixels(path, indices=list(wanted))),
        "pydicom, pixel_array": lambda: pydicom.dcmread(path).pixel_array,
    }


if __name__ == "__main__":
    main()
