"""``echo-node train``: train, calibrate, export, evaluate, and write the engine package."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from echo_node.config import Backend
from echo_node.export.package import INTENDED_USE, Calibration, Contents, write_package
from echo_node.inference.engine import load_engine
from echo_node.models.assemble import EchoModel
from echo_node.training import data
from echo_node.training.calibrate import calibrate
from echo_node.training.evaluate import evaluate
from echo_node.training.train import Recipe, train

NAME = "echoapex-tiny-phantom"
VERSION = "0.1.0"
_CALIBRATION_CLIPS = 420
_PATIENTS = 100  # of the final evaluation


def train_and_ship(run: Path, engine: Path, *, patients: int = _PATIENTS) -> Mapping[str, float]:
    """Everything from phantoms to a package; each step goes on where an earlier call stopped.

    Parameters
    ----------
    run : Path
        Folder of shards, checkpoint and metrics.
    engine : Path
        Folder of the package.
    patients : int
        Unseen ones for the figures in the manifest and on the card.
    """
    recipe = Recipe()
    model = train(run, recipe)
    unseen = data.load(run / "phantoms", seed=2, clips=_CALIBRATION_CLIPS, frames=recipe.frames)
    calibration = calibrate(model, unseen)
    with tempfile.TemporaryDirectory() as folder:  # the figures come from the package itself
        write_package(_contents(model, calibration, {}), Path(folder))
        draft = load_engine(Path(folder), backend=Backend.ONNXRUNTIME_CPU, threads=0)
        measured = evaluate(draft, patients=patients)
    difference = write_package(_contents(model, calibration, measured), engine)
    print(f"{engine}: graphs equal torch within {difference:.1e}")
    for name, value in measured.items():
        print(f"{name:32} {value:8.3f}")
    return measured


def _contents(model: EchoModel, calibration: Calibration, measured: Mapping[str, float]) -> Contents:
    return Contents(
        name=NAME,
        version=VERSION,
        model=model,
        views=data.LABELS,
        structures=data.STRUCTURES,
        mean=data.MEAN,
        std=data.STD,
        calibration=calibration,
        measured=measured,
        card=_card(calibration, measured),
    )


def _card(calibration: Calibration, measured: Mapping[str, float]) -> str:
    figures = "\n".join(f"| {name} | {value} |" for name, value in measured.items())
    return f"""# {NAME} {VERSION}

{INTENDED_USE}

## What it does
Names the view of a clip ({", ".join(v.name for v in data.LABELS)}), and outlines on request
{", ".join(s.name for s in data.STRUCTURES)}, with points, a box or an earlier mask as further prompts. EF, EDV and ESV
follow from the outlines by the method of disks.

## Model
A vision transformer (width 192, depth 6, 3 heads, patch 14, 112 x 112 pixels, one grey channel), a linear view head over
the frames of a clip, and a two-way prompt decoder. Views are believed from a probability of {calibration.threshold} on
(temperature {calibration.temperature}, fitted on unseen phantoms).

## Data
Simulated clips of `echo_node.phantom` only; no patient, no public archive, no pretrained weights. EF 15 to 75 %, EDV 60
to 250 ml, wall 6 to 20 mm, heart rate 45 to 120, apical planes little foreshortened.

## Figures on unseen phantoms
From `echo-node train`, which evaluates the finished package through the code that serves. Dice is per frame; EF errors
are points against the solid's own EF, over the clips that were measured.

| figure | value |
| --- | --- |
{figures}

## Limits
Never evaluated on labelled patients. Six of the eighteen standard views; the others are not known to it and may be
taken for one of the six. No contrast, no regional wall-motion disorder, no arrhythmia, no inverted probe in its data.
Its uncertainty is repeatability over frames and beats, not accuracy.
"""
