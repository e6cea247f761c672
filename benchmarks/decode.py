"""Time to read a clip's frames to grey, against pydicom's own ways.

Run: ``python -m benchmarks.decode``. A phantom's clip as a cart writes it (JPEG baseline, on a vendor's
screen); 16 frames spread over it, then all. "echo-node" opens the file, finds the sector and the fragments,
and decodes to grey inside the sector; pydicom decodes to colour with the decoder it finds installed.

"libjpeg-turbo" is the decoding alone, whole and at half the sides: what scaled decoding could save where the
encoder's 112 pixels would do. Beside it the time that the shipped engine takes to name the clip's view.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import simplejpeg
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import iter_pixels

from benchmarks.timing import race
from echo_node.config import Backend
from echo_node.dicom.clips import open_clip
from echo_node.inference.engine import load_engine
from echo_node.inference.sampling import spread
from echo_node.services.simulate import known_exam

SAMPLED = 16
SHIPPED = Path(__file__).parents[1] / "engines" / "echoapex-tiny-phantom"


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
            wanted = spread(ds.NumberOfFrames, count)
            race(_ways(path, wanted) | _alone(ds, wanted) | _engine(path, wanted), repeats=repeats)


def _ways(path: Path, wanted: tuple[int, ...]) -> dict[str, Callable[[], object]]:
    return {
        "echo-node": lambda: open_clip(path).read(wanted),
        "pydicom, the wanted frames": lambda: list(iter_pixels(path, indices=list(wanted))),
        "pydicom, pixel_array": lambda: pydicom.dcmread(path).pixel_array,
    }


def _alone(ds: pydicom.Dataset, wanted: tuple[int, ...]) -> dict[str, Callable[[], object]]:
    frames = list(generate_frames(ds.PixelData, number_of_frames=ds.NumberOfFrames))
    coded = [frames[index] for index in wanted]
    half = {"min_height": ds.Rows // 2, "min_width": ds.Columns // 2}

    def decode(**scaled: int) -> list[npt.NDArray[np.uint8]]:
        return [simplejpeg.decode_jpeg(frame, colorspace="GRAY", **scaled) for frame in coded]

    assert decode(**half)[0].shape[:2] == (-(-ds.Rows // 2), -(-ds.Columns // 2))
    return {"libjpeg-turbo": decode, "libjpeg-turbo, half the sides": lambda: decode(**half)}


def _engine(path: Path, wanted: tuple[int, ...]) -> dict[str, Callable[[], object]]:
    engine = load_engine(SHIPPED, backend=Backend.ONNXRUNTIME_CPU, threads=1)
    clip = open_clip(path).read(wanted)
    uids = itertools.count()  # what an engine has seen of a clip it does not encode again
    return {"the engine's view": lambda: engine.classify(replace(clip, SOPInstanceUID=f"1.{next(uids)}"))}


if __name__ == "__main__":
    main()
