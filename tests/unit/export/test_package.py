"""A package with every head: written, loaded by the code that serves, asked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from echo_node.codes import ImageMode, Structure, View, WallPoint
from echo_node.config import Backend
from echo_node.export.package import Calibration, Contents, write_package
from echo_node.inference.engine import load_engine
from echo_node.inference.manifest import NEEDED, load_manifest
from echo_node.models.assemble import EchoModel
from echo_node.models.vit import Stem, ViTShape
from echo_node.records import Clip

SHAPE = ViTShape(width=32, depth=1, heads=2, image_size=32, patch_size=8, stem=Stem.CONVOLUTION)


@pytest.fixture(scope="module", params=[1, 3], ids=["frames alone", "frames in their clip"])
def package(request, tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("engine")
    contents = Contents(
        name="tiny",
        version="0.0.1",
        model=EchoModel(replace(SHAPE, channels=request.param), views=2, structures=1),
        views=(View.A4C, View.PLAX),
        structures=(Structure.LV_CAVITY,),
        mean=0.2,
        std=0.2,
        margin=1.5,
        calibration=Calibration(temperature=1.0, threshold=0.5),
        measured={},
        card="# tiny",
    )
    write_package(contents, folder)
    return folder


def test_the_manifest_names_what_the_engine_can_do(package):
    manifest, _ = load_manifest(package)
    assert list(manifest.graphs) == ["encoder", "measuring", "view", "segment", "walls", "ejection"]
    assert list(manifest.tasks) == list(NEEDED)


def test_every_head_answers_for_every_frame(package):
    engine = load_engine(package, backend=Backend.ONNXRUNTIME_CPU, threads=1)
    assert engine.finds_walls
    assert engine.estimates_ejection
    frames = np.random.default_rng(0).integers(1, 255, (37, 90, 120), np.uint8)
    clip = Clip(
        SOPInstanceUID="1.2.3",
        frames=frames,
        frame_numbers=tuple(range(1, 38)),
        times_ms=np.arange(37, dtype=np.float64) * 25,
        spacing_mm=None,
        sector=np.ones((90, 120), bool),
        mode=ImageMode.TWO_D,
        NumberOfFrames=37,
    )
    walls = engine.find_walls(clip)
    assert [landmarks.frame_number for landmarks in walls] == list(clip.frame_numbers)
    assert [point for point, _, _ in walls[0].points] == list(WallPoint)
    assert all(0 < landmarks.probability <= 1 for landmarks in walls)
    (cavity,) = engine.segment(clip, [Structure.LV_CAVITY])
    estimate = engine.estimate_ejection(clip, cavity)
    assert 0 <= estimate.ef <= 100
    assert estimate.uncertainty > 0
    assert {estimate.ed_frame, estimate.es_frame} <= set(clip.frame_numbers)
