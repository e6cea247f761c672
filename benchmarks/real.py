"""An engine on the two real four-chamber cines of the tests: the view, and Dice against outlines drawn by eye.

    python -m benchmarks.real engines/echoapex-tiny-phantom --out real-cines

The outlines of the left ventricle, on three frames of each, were drawn by eye by one of the authors, who is no
cardiologist, who had seen 0.7.0's and no later ones'. Two patients prove nothing; they show what phantoms do not.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from echo_node.codes import Structure
from echo_node.config import Backend
from echo_node.dicom.clips import open_clip
from echo_node.evaluation.scores import dice
from echo_node.inference.engine import Engine, load_engine
from echo_node.inference.sampling import pick, spread
from echo_node.records import Clip

_DATA = Path(__file__).parents[1] / "tests" / "data" / "ultrasound"
_SIDE = 500  # of the square that the sector's box is drawn in
Outline = Sequence[tuple[int, int]]  # x, y in that square
OUTLINES: Mapping[str, Mapping[int, Outline]] = {  # by file, by index of the frame
    "acuson-a4c-65f-jpeg.dcm": {
        5: [(235, 315), (222, 250), (218, 180), (215, 120), (228, 80), (255, 60),
            (290, 68), (320, 105), (345, 160), (360, 215), (358, 260), (340, 295)],
        20: [(238, 305), (233, 250), (235, 190), (238, 130), (250, 95), (270, 85),
             (295, 95), (320, 140), (338, 190), (350, 240), (350, 285)],
        33: [(228, 300), (230, 250), (232, 190), (235, 130), (248, 95), (268, 82),
             (300, 90), (330, 140), (348, 195), (358, 240), (347, 268)],
    },
    "examples_ybr_color.dcm": {
        7: [(232, 320), (228, 260), (225, 200), (225, 160), (250, 140), (290, 140),
            (325, 170), (342, 220), (345, 270), (338, 310)],
        12: [(240, 325), (225, 270), (220, 210), (222, 165), (245, 135), (285, 125),
             (325, 150), (348, 200), (352, 260), (345, 320)],
        24: [(245, 295), (237, 240), (235, 180), (238, 130), (262, 108), (300, 108),
             (335, 145), (358, 200), (362, 255), (345, 290)],
    },
}  # fmt: skip


def main() -> None:
    """Print views and Dice, and write ``outlines.png``: by eye in green, the engine's in yellow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", type=Path)
    parser.add_argument("--out", type=Path, default=Path("real-cines"))
    chosen = parser.parse_args()
    engine = load_engine(chosen.engine, backend=Backend.ONNXRUNTIME_CPU, threads=0)
    scores, rows = [], []
    for name, outlines in OUTLINES.items():
        clip = open_clip(_DATA / name).read()
        found, tiles = judged(engine, clip, outlines)
        scores += found
        rows.append(np.hstack(tiles))
        view = engine.classify(pick(clip, spread(clip.NumberOfFrames)))
        each = ", ".join(f"{score:.2f}" for score in found)
        print(f"{name:26} {view.view.name} {view.probability:.2f}, Dice {each}")
    print(f"mean Dice of {len(scores)} frames: {np.mean(scores):.3f}")
    chosen.out.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(chosen.out / "outlines.png"), np.vstack(rows))


def judged(
    engine: Engine, clip: Clip, outlines: Mapping[int, Outline]
) -> tuple[list[float], list[npt.NDArray[np.uint8]]]:
    """Dice of each frame that is outlined, and its picture."""
    (cavity,) = engine.segment(clip, [Structure.LV_CAVITY])
    rows, cols = (np.flatnonzero(clip.sector.any(axis=axis)) for axis in (1, 0))
    top, left, height, width = rows[0], cols[0], rows[-1] - rows[0] + 1, cols[-1] - cols[0] + 1
    scores, tiles = [], []
    for frame, outline in outlines.items():
        places = np.array(outline) * [width / _SIDE, height / _SIDE] + [left, top]
        by_eye = np.zeros(clip.sector.shape, np.uint8)
        cv2.fillPoly(by_eye, [places.round().astype(np.int32)], 1)
        scores.append(dice(cavity.masks[frame], by_eye > 0))
        picture = cv2.cvtColor(clip.frames[frame], cv2.COLOR_GRAY2BGR)
        for mask, colour in ((by_eye, (0, 255, 0)), (cavity.masks[frame].astype(np.uint8), (0, 255, 255))):
            edges, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, edges, -1, colour, 1)
        tiles.append(np.asarray(cv2.resize(picture[top : top + height, left : left + width], (400, 400)), np.uint8))
    return scores, tiles


if __name__ == "__main__":
    main()
