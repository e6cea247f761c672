"""``echo-node train``: train, then the ejection head, calibrate, export, evaluate, and write the engine package."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from echo_node.config import Backend
from echo_node.evaluation.command import PHANTOM_PATIENTS, SEED, evaluate_source
from echo_node.evaluation.phantoms import phantoms
from echo_node.evaluation.report import as_mapping, for_card
from echo_node.evaluation.results import Results
from echo_node.export.package import INTENDED_USE, Calibration, Contents, write_package
from echo_node.inference.engine import load_engine
from echo_node.models.assemble import EchoModel
from echo_node.models.starting_point import read_origin
from echo_node.models.vit import Stem, ViTShape
from echo_node.training import data
from echo_node.training.augment import MARGIN
from echo_node.training.calibrate import calibrate
from echo_node.training.ejection import EjectionRecipe, train_ejection
from echo_node.training.place import Place
from echo_node.training.recipe import UNSEEN, Recipe
from echo_node.training.train import train

CALIBRATION_CLIPS = 420
HEADLINES = (  # of an evaluation's figures, those that a package's manifest keeps
    "patients",
    "view_all_labelled_views_balanced_accuracy",
    "segmentation_lv_cavity_dice",
    "segmentation_lv_myocardium_dice",
    "segmentation_la_dice",
    "segmentation_rv_dice",
    "segmentation_ra_dice",
    "segmentation_aortic_root_dice",
    "ejection_fraction_ef_disks_biplane_measured_share",
    "ejection_fraction_ef_disks_biplane_mae_points",
    "ejection_fraction_ef_disks_biplane_bias_points",
    "ejection_fraction_ef_disks_a4c_mae_points",
    "ejection_fraction_ef_disks_a2c_mae_points",
    "ejection_fraction_ef_ef_head_mae_points",
    "ejection_fraction_ef_ef_head_bias_points",
    "wall_measure_ivsd_as_the_node_measures_mae_mm",
    "wall_measure_lvidd_as_the_node_measures_mae_mm",
    "wall_measure_lvpwd_as_the_node_measures_mae_mm",
    "phase_ed_disks_a4c_mae_frames",
    "phase_es_disks_a4c_mae_frames",
    "view_calibration_error",
    "no_heart_measured_share",
    "no_heart_auroc",
)


def train_and_ship(
    run: Path, engine: Path, *, recipe: Recipe, version: str, patients: int = PHANTOM_PATIENTS
) -> Mapping[str, float]:
    """Everything from phantoms to a package; each step goes on where an earlier call stopped.

    Parameters
    ----------
    run : Path
        Folder of shards, checkpoint and metrics.
    engine : Path
        Folder of the package, which is named as it is.
    recipe : Recipe
        Of the training.
    version : str
        Of the package.
    patients : int
        Unseen ones for the figures in the manifest and on the card.

    Returns
    -------
    mapping
        The figures; nothing in all but the first of several processes.
    """
    model = train(run, recipe)
    if Place.find().rank:
        return {}  # one process does the rest
    if recipe.measuring_steps:  # else its encoder is as it was
        train_ejection(model, run, EjectionRecipe(own=recipe.own))
    start = _start(recipe)
    return ship(model, run, engine, start=start, frames=recipe.frames, version=version, patients=patients)


def ship(
    model: EchoModel,
    run: Path,
    engine: Path,
    *,
    start: str,
    frames: int,
    version: str,
    patients: int = PHANTOM_PATIENTS,
) -> Mapping[str, float]:
    """Calibrate a trained model, export it, evaluate the package and write it; returns the figures.

    Parameters
    ----------
    model : EchoModel
        Complete.
    run, engine, version, patients
        As of :func:`train_and_ship`.
    start : str
        How the weights came to be, after "Simulated clips", for the card.
    frames : int
        Of a phantom clip that the view's temperature is fitted on.
    """
    unseen = data.load(run / "phantoms", seed=UNSEEN, clips=CALIBRATION_CLIPS, frames=frames)
    calibration = calibrate(model, unseen)
    called = engine.resolve().name, version
    with tempfile.TemporaryDirectory() as folder:  # the figures come from the package itself
        write_package(_contents(called, model, start, calibration), Path(folder))
        draft = load_engine(Path(folder), backend=Backend.ONNXRUNTIME_CPU, threads=0)
        results = evaluate_source(draft, phantoms(draft.views, patients=patients, seed=SEED))
    figures = as_mapping(results)
    difference = write_package(_contents(called, model, start, calibration, results), engine)
    print(f"{engine}: graphs equal torch within {difference:.1e}")
    for name, value in figures.items():
        print(f"{name:64} {value:8.3f}")
    return figures


def _contents(
    name: tuple[str, str],
    model: EchoModel,
    start: str,
    calibration: Calibration,
    results: Results | None = None,
) -> Contents:
    """What a package of a name and version holds; without results it is a draft."""
    figures = {} if results is None else as_mapping(results)
    return Contents(
        name=name[0],
        version=name[1],
        model=model,
        views=data.LABELS,
        structures=data.STRUCTURES,
        mean=data.MEAN,
        std=data.STD,
        margin=MARGIN,
        calibration=calibration,
        measured={name: figures[name] for name in HEADLINES if name in figures},
        card=_card(name, model.shape, start, calibration, "" if results is None else for_card(results)),
    )


def _card(name: tuple[str, str], shape: ViTShape, start: str, calibration: Calibration, figures: str) -> str:
    return _CARD.format(
        name=name[0],
        version=name[1],
        intended_use=INTENDED_USE,
        views=", ".join(view.name for view in data.LABELS),
        structures=", ".join(structure.name for structure in data.STRUCTURES),
        shape=shape,
        sees=_SEES[shape.channels],
        stem=_STEMS[shape.stem],
        start=start,
        calibration=calibration,
        figures=figures,
    )


def _start(recipe: Recipe) -> str:
    """How the weights came to be, after "Simulated clips"."""
    if recipe.encoder is None:
        return _PHANTOMS_ALONE if recipe.own is None else _BESIDE_OWN
    origin = read_origin(recipe.encoder)
    before = f"; the encoder was {origin} before" if origin else _FROM_AN_ENCODER
    return before if recipe.own is None else _BESIDE_OWN + before


_SEES = {1: "one grey channel", 3: "a grey frame beside its clip's mean and deviation"}
_STEMS = {Stem.CONVOLUTION: "behind a stem of strided convolutions", Stem.PATCH: "each a linear map of its pixels"}
_PHANTOMS_ALONE = " only; no patient, no public archive, no pretrained weights"
_BESIDE_OWN = ", and labelled clips of its maker's own beside them"
_FROM_AN_ENCODER = "; the encoder started from weights that were given, whose data its maker knows"
_CARD = """# {name} {version}

{intended_use}

## What it does
Names the view of a clip ({views}), and outlines on request {structures},
with points, a box or an earlier mask as further prompts. EF, EDV and ESV follow from the outlines by the
method of disks. It finds the four points between which the walls of a parasternal long axis are measured, and
estimates EF from an apical cine without outlines, with an uncertainty.

## Model
A vision transformer (width {shape.width}, depth {shape.depth}, {shape.heads} heads) on {sees} of
{shape.image_size} x {shape.image_size} pixels, with a token per {shape.patch_size} x {shape.patch_size} pixels
{stem}; once for views, and tuned from there for all that is measured, in windows.
A linear view head over the frames of a clip; a two-way prompt decoder; a convolutional decoder with a heat map per
wall point; queries in space and a transformer in time for EF.
A view is believed from a probability of {calibration.threshold} on (temperature {calibration.temperature},
fitted on unseen phantoms).

## Data
Simulated clips of `echo_node.phantom`{start}.
EF 10 to 75 %, EDV 46 to 300 ml, wall 6 to 22 mm, heart rate 45 to 140; dilated, hypertrophic, small hearts and such
with a wall that hardly moves; contrast, zoom, foreshortening, mirrored probes, poor windows (docs/phantom.md).

## Figures on unseen phantoms
From `echo-node train`, which evaluates the package through the code that serves, on vendors' screens;
docs/evaluation.md says what each figure means. They are figures on simulated hearts, not clinical ones.

{figures}

## Limits
Never evaluated on labelled patients. Neighbouring planes are taken for each other: levels of the short axis, and
four-, five-, three- and two-chamber views; the table says how often. It learned from regular beats only. The
uncertainty of outlines is repeatability over frames and beats, not accuracy; that of the EF estimate is scaled to
its errors on cines that it did not learn from: phantoms, and its maker's own where some were kept for that.
"""
