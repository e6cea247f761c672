"""How the phantom looks: a sheet of all views, and its grey levels and speckle beside those of real cines.

    python -m benchmarks.phantom --out phantom-look

Writes ``views.png`` and ``beside-real.png``, and prints where the real apical cines under ``tests/data`` lie
among as many simulated ones. Two real cines prove nothing; a figure far outside says what to mend first.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from echo_node.codes import View
from echo_node.dicom.clips import open_clip
from echo_node.inference.preprocess import Letterbox
from echo_node.phantom import sample_patient, simulate_clip
from echo_node.phantom.planes import VIEWS

_REAL = ("acuson-a4c-65f-jpeg.dcm", "examples_ybr_color.dcm")
_DATA = Path(__file__).parents[1] / "tests" / "data" / "ultrasound"
_SIZE = 208  # pixels of a square, as training stores them
_COLUMNS, _SIMULATED = 6, 60

Squares = npt.NDArray[np.uint8]


def simulated(view: View, seed: int) -> Squares:
    """Three frames u8 [3,208,208] of a phantom patient."""
    rng = np.random.default_rng([seed, list(View).index(view)])
    clip = simulate_clip(sample_patient(rng), view, rng=rng, frames=3, size=_SIZE)
    return Letterbox.around(clip.sector, _SIZE).apply(clip.frames)


def real(name: str) -> Squares:
    """Three frames u8 [3,208,208] of a real cine."""
    source = open_clip(_DATA / name)
    clip = source.read([0, source.NumberOfFrames // 3, 2 * source.NumberOfFrames // 3])
    return Letterbox.around(clip.sector, _SIZE).apply(clip.frames)


def figures(squares: Squares) -> Mapping[str, float]:
    """What a clip's grey levels are like, inside what is lit."""
    frame = squares[0].astype(np.float64)
    inside = frame > 0
    rows = np.array([frame[r][inside[r]].mean() if inside[r].any() else np.nan for r in range(_SIZE)])
    thirds = [float(np.nanmean(part)) for part in np.array_split(rows, 3)]
    fine = frame - cv2.GaussianBlur(frame, (0, 0), 4)
    along, across = (_width(fine, inside, axis) for axis in (0, 1))
    still = np.abs(np.diff(squares.astype(np.float64), axis=0))[:, inside].mean()
    return {
        "mean grey level": float(frame[inside].mean()),
        "deviation of grey levels": float(frame[inside].std()),
        "share darker than 20": float((frame[inside] < 20).mean()),
        "share brighter than 200": float((frame[inside] > 200).mean()),
        "lower third over upper third": thirds[2] / max(thirds[0], 1e-6),
        "fine texture, grey levels": float(fine[inside].std()),
        "speckle along the beam, pixels": along,
        "speckle across the beam, pixels": across,
        "change between thirds of a beat": float(still),
    }


def _width(fine: npt.NDArray[np.float64], inside: npt.NDArray[np.bool_], axis: int) -> float:
    """Shift at which the texture's autocorrelation falls to a half, pixels."""
    texture = np.where(inside, fine, 0)
    power = float((texture**2).sum())
    values = [float((texture * np.roll(texture, k, axis=axis)).sum()) / power for k in range(8)]
    return float(np.interp(-0.5, -np.array(values), np.arange(8.0)))


def _sheet(rows: Mapping[str, list[Squares]]) -> npt.NDArray[np.uint8]:
    """One row of pictures per name."""
    lines = []
    for name, clips in rows.items():
        line = np.hstack([np.pad(clip[0], 2) for clip in clips])
        cv2.putText(line, name, (6, _SIZE - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1, cv2.LINE_AA)
        lines.append(line)
    return np.vstack(lines)


def main() -> None:
    """Draw both sheets and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("phantom-look"), help="folder (default: %(default)s)")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    views = {view.name: [simulated(view, seed) for seed in range(_COLUMNS)] for view in VIEWS}
    cv2.imwrite(str(out / "views.png"), _sheet(views))
    clips = [simulated(View.A4C, 100 + seed) for seed in range(_SIMULATED)]
    cines = {name: real(name) for name in _REAL}
    beside = {f"real: {name}": [clip[[t % 3]] for t in range(_COLUMNS)] for name, clip in cines.items()}
    beside |= {f"simulated {k}": clips[k * _COLUMNS : (k + 1) * _COLUMNS] for k in range(3)}
    cv2.imwrite(str(out / "beside-real.png"), _sheet(beside))
    tables = [figures(clip) for clip in clips]
    print(f"{'A4C':34} {'simulated: 5 %':>14} {'median':>8} {'95 %':>8}   real")
    for name in tables[0]:
        low, middle, high = np.percentile([table[name] for table in tables], (5, 50, 95))
        found = "  ".join(f"{figures(clip)[name]:8.2f}" for clip in cines.values())
        print(f"{name:34} {low:14.2f} {middle:8.2f} {high:8.2f}   {found}")


if __name__ == "__main__":
    main()
