"""The shipped package: whole, refused when tampered with, and as good as its card says."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import yaml

from echo_node.codes import Structure, View
from echo_node.config import Backend
from echo_node.errors import EngineError, ManifestError
from echo_node.evaluation.phantoms import as_clip
from echo_node.evaluation.scores import dice
from echo_node.inference.engine import Engine, load_engine
from echo_node.inference.manifest import FileEntry, load_manifest
from echo_node.inference.onnxruntime_backend import OnnxRuntime
from echo_node.inference.preprocess import Letterbox, scaled
from echo_node.inference.prompts import Point, PointKind, Prompts
from echo_node.phantom import sample_patient, simulate_clip
from tests.unit.inference.engines import ENCODERS, SHIPPED


@pytest.fixture(scope="module")
def engine():
    return load_engine(SHIPPED, backend=Backend.ONNXRUNTIME_CPU, threads=1)


@pytest.fixture
def copy(tmp_path) -> Path:
    shutil.copytree(SHIPPED, tmp_path / "engine")
    return tmp_path / "engine"


def change(folder: Path, edit) -> None:
    path = folder / "manifest.yaml"
    manifest = yaml.safe_load(path.read_text())
    edit(manifest)
    path.write_text(yaml.safe_dump(manifest))


def test_the_package_is_whole_and_small():
    manifest, digest = load_manifest(SHIPPED)
    assert manifest.name == SHIPPED.name
    assert len(digest) == 64
    assert sum(p.stat().st_size for p in SHIPPED.iterdir()) <= 25_000_000


def test_golden_values_are_met():
    manifest, _ = load_manifest(SHIPPED)
    runtime = OnnxRuntime(SHIPPED, manifest, threads=1, on_gpu=False)
    for name, graph in manifest.graphs.items():
        with np.load(SHIPPED / f"golden-{name}.npz") as golden:
            inputs = {n: golden[f"in_{n}"] for n in graph.inputs}
            (output,) = graph.outputs
            assert np.abs(runtime.run(name, inputs) - golden[f"out_{output}"]).max() < 2e-4


def test_a_changed_byte_is_refused(copy):
    content = bytearray((copy / "encoder.onnx").read_bytes())
    content[5000] ^= 1
    (copy / "encoder.onnx").write_bytes(content)
    with pytest.raises(ManifestError, match=r"encoder\.onnx: sha256 is"):
        load_manifest(copy)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda m: m.update(schema=2), "schema 2"),
        (lambda m: m.update(extra=1), "extra"),
        (lambda m: m["files"].pop("view.onnx"), "graph view"),
        (lambda m: m["graphs"].pop("segment"), "task 'segmentation' needs the graph segment"),
        (lambda m: m["files"].update({"../x.onnx": {"size": 1, "sha256": "0" * 64}}), "leaves the package"),
        (lambda m: m["files"].update({"x.pt": {"size": 1, "sha256": "0" * 64}}), r"is none of \.onnx"),
        (lambda m: m["views"][0].update(code="1"), "PLAX is 1"),
        (lambda m: m["views"][1].update(m["views"][0]), "'PLAX' stands twice"),
        (lambda m: m["views"][0].update(name="NOWHERE"), "NOWHERE"),
    ],
)
def test_a_manifest_that_does_not_fit_says_what_differs(copy, edit, words):
    change(copy, edit)
    with pytest.raises(ManifestError, match=words):
        load_manifest(copy)


@pytest.mark.parametrize(
    "edit",
    [
        lambda m: m["graphs"]["view"]["inputs"]["tokens"].update(dtype="int64"),
        lambda m: m["graphs"]["encoder"]["inputs"]["frames"].update(shape=["batch", 1, 224, 224]),
        lambda m: m["graphs"]["segment"]["inputs"].pop("points"),
    ],
)
def test_a_graph_that_differs_from_its_manifest_is_refused(copy, edit):
    change(copy, edit)
    with pytest.raises(ManifestError, match="the manifest says"):
        load_engine(copy, backend=Backend.ONNXRUNTIME_CPU, threads=1)


def test_a_package_without_a_graph_that_serving_needs_is_refused(copy):
    change(copy, lambda m: (m["graphs"].pop("segment"), m.update(tasks=["view"])))
    with pytest.raises(ManifestError, match="needs the graphs encoder, view, segment; segment is missing"):
        load_engine(copy, backend=Backend.ONNXRUNTIME_CPU, threads=1)


def test_a_graph_that_the_runtime_refuses_is_named(copy):
    (copy / "encoder.onnx").write_bytes(b"no graph")
    entry = FileEntry.of(copy / "encoder.onnx").model_dump()
    change(copy, lambda m: m["files"].update({"encoder.onnx": entry}))
    with pytest.raises(EngineError, match=r"encoder\.onnx: ONNX Runtime refuses it"):
        load_engine(copy, backend=Backend.ONNXRUNTIME_CPU, threads=1)


def test_a_run_that_fails_names_its_graph():
    manifest, _ = load_manifest(SHIPPED)
    runtime = OnnxRuntime(SHIPPED, manifest, threads=1, on_gpu=False)
    with pytest.raises(EngineError, match="graph encoder: ONNX Runtime fails"):
        runtime.run("encoder", {"frames": np.zeros((1, 1, 8, 8), np.float32)})


def test_grey_levels_are_normalised_by_the_runtime():
    manifest, _ = load_manifest(SHIPPED)
    runtime = OnnxRuntime(SHIPPED, manifest, threads=1, on_gpu=False)
    shape = (2, manifest.preprocess.channels, 112, 112)
    levels = np.random.default_rng(2).integers(0, 256, shape).astype(np.uint8)
    frames = scaled(levels, mean=manifest.preprocess.mean, std=manifest.preprocess.std)
    found = runtime.run("encoder", {"frames": levels})
    assert np.array_equal(found, runtime.run("encoder", {"frames": frames}))


@pytest.mark.parametrize("backend", [Backend.TENSORRT, Backend.ONNXRUNTIME_CUDA])
def test_a_runtime_that_is_not_there_is_an_error_and_no_fallback(backend):
    with pytest.raises(EngineError):
        load_engine(SHIPPED, backend=backend, threads=1)


def test_a_provider_that_cannot_be_loaded_is_an_error_and_no_fallback(monkeypatch):
    """ONNX Runtime then goes on with another, and says so in its log alone."""
    backend = "echo_node.inference.onnxruntime_backend"
    monkeypatch.setattr(f"{backend}.onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    real = onnxruntime.InferenceSession
    on_cpu = ["CPUExecutionProvider"]
    monkeypatch.setattr(
        f"{backend}.onnxruntime.InferenceSession", lambda model, options, **_: real(model, options, on_cpu)
    )
    with pytest.raises(EngineError, match="CUDAExecutionProvider cannot be loaded, and no other is used instead"):
        load_engine(SHIPPED, backend=Backend.ONNXRUNTIME_CUDA, threads=1)


@pytest.fixture(scope="module")
def a4c():
    rng = np.random.default_rng(11)
    simulated = simulate_clip(sample_patient(rng), View.A4C, rng=rng, frames=6, size=200)
    return simulated, as_clip(simulated, uid="1.2.3")


def test_unseen_phantoms_are_recognised(engine):
    right = 0
    for number in range(19):
        rng = np.random.default_rng([77, number])
        view = engine.views[number % len(engine.views)]
        simulated = simulate_clip(sample_patient(rng), view, rng=rng, frames=6, size=200)
        right += engine.classify(as_clip(simulated, uid=f"1.{number}")).view is view
    assert right >= 15


def test_the_ventricle_is_outlined_inside_the_sector(engine, a4c):
    simulated, clip = a4c
    (cavity,) = engine.segment(clip, [Structure.LV_CAVITY])
    assert cavity.masks.shape == clip.frames.shape
    assert dice(cavity.masks, simulated.masks[Structure.LV_CAVITY]) > 0.85
    assert not cavity.masks[:, ~clip.sector].any()


def test_prompts_change_the_answer(engine, a4c):
    simulated, clip = a4c
    (alone,) = engine.segment(clip, [Structure.LV_CAVITY])
    r, c = np.argwhere(simulated.masks[Structure.LV_CAVITY][0]).mean(axis=0)
    against = Prompts(points=(Point(r, c, PointKind.BACKGROUND),))
    (refused,) = engine.segment(clip, [Structure.LV_CAVITY], against)
    previous = Prompts(previous=simulated.masks[Structure.LV_CAVITY][0])
    (carried,) = engine.segment(clip, [Structure.LV_CAVITY], previous)
    assert refused.masks[0].sum() != alone.masks[0].sum()
    assert (carried.masks != alone.masks).any()
    with pytest.raises(ValueError, match="at most 8"):
        engine.segment(clip, [Structure.LV_CAVITY], Prompts(points=against.points * 9))


class Counting:
    """The real runtime, counting what it encodes."""

    name = "counting"

    def __init__(self, manifest):
        self.inner, self.encoded = OnnxRuntime(SHIPPED, manifest, threads=1, on_gpu=False), []

    def run(self, graph, inputs):
        if graph in ENCODERS:
            self.encoded += [(graph, frame.tobytes()) for frame in inputs["frames"]]
        return self.inner.run(graph, inputs)


def test_no_frame_is_made_or_encoded_twice_in_the_same_window(a4c, monkeypatch):
    made, apply = [], Letterbox.apply
    monkeypatch.setattr(Letterbox, "apply", lambda box, frames: made.append(box) or apply(box, frames))
    manifest, digest = load_manifest(SHIPPED)
    runtime = Counting(manifest)
    engine = Engine(manifest, digest, runtime)
    _, clip = a4c
    engine.classify(clip)
    engine.classify(clip)
    assert len(runtime.encoded) == len(clip.frames)
    again = len(clip.frames) if "measuring" in manifest.graphs else 0  # the whole sector, by the other encoder
    engine.segment(clip, [Structure.LV_CAVITY, Structure.LV_MYOCARDIUM])
    assert len(runtime.encoded) == 2 * len(clip.frames) + again, "the cavity's window holds the myocardium too"
    engine.segment(clip, [Structure.LA])
    assert len(runtime.encoded) == 3 * len(clip.frames) + again
    assert len(set(runtime.encoded)) == len(runtime.encoded)
    assert len(made) == len(set(made)) == 3


def test_clicks_correct_an_outline_in_the_window_that_it_was_found_in(a4c):
    manifest, digest = load_manifest(SHIPPED)
    runtime = Counting(manifest)
    engine = Engine(manifest, digest, runtime)
    _, clip = a4c
    engine.segment(clip, [Structure.LV_CAVITY])
    before = len(runtime.encoded)
    box = engine._windows["1.2.3", Structure.LV_CAVITY]
    inside = [(r, c) for r, c in np.argwhere(clip.sector) if box.top <= r < box.top + box.height]
    inside = [(r, c) for r, c in inside if box.left <= c < box.left + box.width]
    for place in inside[:: len(inside) // 5]:
        for kind in (PointKind.FOREGROUND, PointKind.BACKGROUND):
            engine.segment(clip, [Structure.LV_CAVITY], Prompts(points=(Point(*place, kind),)))
    assert len(runtime.encoded) == before, "the same windows"
    (corner,) = np.argwhere(clip.sector)[-1:].tolist()
    for kind, expected in ((PointKind.BACKGROUND, before), (PointKind.FOREGROUND, before + len(clip.frames))):
        engine.segment(clip, [Structure.LV_CAVITY], Prompts(points=(Point(*corner, kind),)))
        assert len(runtime.encoded) == expected


def test_both_walls_of_a_long_axis_are_myocardium(engine):
    rng = np.random.default_rng(14)
    simulated = simulate_clip(sample_patient(rng), View.PLAX, rng=rng, frames=4, size=200)
    (muscle,) = engine.segment(as_clip(simulated, uid="1.2.4"), [Structure.LV_MYOCARDIUM])
    count, labels = cv2.connectedComponents(simulated.masks[Structure.LV_MYOCARDIUM][0].astype(np.uint8))
    assert count == 3, "septum and posterior wall, which the plane cuts apart"
    for wall in (labels == 1, labels == 2):
        assert (muscle.masks[0] & wall).sum() > 0.8 * wall.sum()


class Blind(Counting):
    """The real runtime, but that no structure is ever seen."""

    def run(self, graph, inputs):
        found = super().run(graph, inputs)
        return np.full_like(found, -9.0) if graph == "segment" else found


def test_a_structure_that_is_not_seen_is_looked_for_in_the_whole_sector(a4c):
    manifest, digest = load_manifest(SHIPPED)
    runtime = Blind(manifest)
    _, clip = a4c
    (cavity,) = Engine(manifest, digest, runtime).segment(clip, [Structure.LV_CAVITY])
    assert cavity.masks.shape == clip.frames.shape
    assert not cavity.masks.any()
    assert len(runtime.encoded) == len(clip.frames), "there was nothing to go closer to"


class Deaf(Counting):
    """The real runtime, but that no structure is seen without a point, or none at all in the whole sector."""

    def __init__(self, manifest, *, looks: int):
        super().__init__(manifest)
        self.looks = looks  # in the sector, before the first answer

    def run(self, graph, inputs):
        found = super().run(graph, inputs)
        if graph != "segment":
            return found
        self.looks -= 1
        return found if self.looks < 0 and inputs["kinds"].any() else np.full_like(found, -9.0)


@pytest.mark.parametrize(("looks", "windows"), [(0, 1), (2, 0)], ids=["by the point", "not even then"])
def test_what_is_found_by_a_point_alone_is_outlined_around_that(a4c, looks, windows):
    manifest, digest = load_manifest(SHIPPED)
    runtime, (simulated, clip) = Deaf(manifest, looks=looks), a4c
    truth = simulated.masks[Structure.LV_CAVITY]
    point = Prompts(points=(Point(*np.argwhere(truth[0]).mean(axis=0), PointKind.FOREGROUND),))
    (cavity,) = Engine(manifest, digest, runtime).segment(clip, [Structure.LV_CAVITY], point)
    assert len(runtime.encoded) == (1 + windows) * len(clip.frames)
    assert dice(cavity.masks, truth) > (0.8 if windows else 0.3)


def test_a_click_beside_the_sector_is_no_place_to_go_closer_to(a4c):
    manifest, digest = load_manifest(SHIPPED)
    _, clip = a4c
    framed = replace(
        clip,
        SOPInstanceUID="1.2.4",
        frames=np.pad(clip.frames, ((0, 0), (0, 60), (0, 60))),
        sector=np.pad(clip.sector, ((0, 60), (0, 60))),
    )
    row, col = (float(size - 2) for size in framed.sector.shape)
    beside = Prompts(points=(Point(row, col, PointKind.FOREGROUND),))
    blind = Engine(manifest, digest, Blind(manifest))
    (cavity,) = blind.segment(framed, [Structure.LV_CAVITY], beside)
    assert not cavity.masks.any()
