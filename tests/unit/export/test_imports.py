"""Bring your own graphs: what fits becomes a package that serves; what does not is refused with what differs."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper

from echo_node.codes import View
from echo_node.config import Backend
from echo_node.errors import EngineError
from echo_node.evaluation.phantoms import phantoms
from echo_node.export.foreign import describe, read_foreign, without_notes
from echo_node.export.imports import import_package
from echo_node.inference.engine import load_engine
from echo_node.inference.manifest import load_manifest
from echo_node.inference.preprocess import Letterbox

SHIPPED = Path(__file__).parents[3] / "engines" / "echoapex-tiny-phantom"
WRITTEN: dict[str, Any] = {
    "name": "my-engine",
    "version": "1.2.3",
    "intended_use": "Research use, not for diagnosis.",
    "graphs": {name: f"{name}-from-elsewhere.onnx" for name in ("encoder", "view", "segment")},
    "preprocess": {"size": 112, "channels": 3, "mean": 0.2, "std": 0.2, "margin": 1.5},
    "views": [view.name for view in View],
    "structures": ["LV_CAVITY", "LV_MYOCARDIUM", "LA", "RV", "RA", "AORTIC_ROOT"],
    "view": {"temperature": 1.0, "threshold": 0.9},
}


@pytest.fixture
def write(tmp_path):
    """A function that writes the user's files and returns the YAML's path."""

    def write(**changes) -> Path:
        for name in WRITTEN["graphs"]:
            shutil.copy(SHIPPED / f"{name}.onnx", tmp_path / f"{name}-from-elsewhere.onnx")
        path = tmp_path / "engine.yaml"
        path.write_text(yaml.safe_dump(WRITTEN | changes))
        return path

    return write


def test_graphs_from_elsewhere_become_an_engine(write, tmp_path):
    (tmp_path / "mine.md").write_text("# Mine\n")
    manifest = import_package(write(card="mine.md", measured={"view_accuracy": 0.9}), tmp_path / "out")
    assert manifest.tasks == ("view", "segmentation", "ejection fraction by the method of disks")
    shipped = load_manifest(SHIPPED)[0].graphs
    assert manifest.graphs == {name: shipped[name] for name in WRITTEN["graphs"]}
    assert manifest.structures[1].meaning == "Myocardium of left ventricle"
    assert (tmp_path / "out" / "card.md").read_text() == "# Mine\n"
    engine = load_engine(tmp_path / "out", backend=Backend.ONNXRUNTIME_CPU, threads=1)
    assert (engine.identity.name, engine.identity.version) == ("my-engine", "1.2.3")
    with np.load(tmp_path / "out" / "golden-segment.npz") as golden:
        assert golden["in_structure"].max() == 5, "the last prompt is asked for"


def test_the_same_files_make_the_same_package(write, tmp_path):
    source = write()
    import_package(source, tmp_path / "a")
    import_package(source, tmp_path / "b")
    assert load_manifest(tmp_path / "a")[1] == load_manifest(tmp_path / "b")[1]
    with pytest.raises(EngineError, match="is there already"):
        import_package(source, tmp_path / "a")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"surprise": 1}, "surprise: Extra inputs"),
        ({"version": "one"}, r"engine\.yaml: version: "),
        ({"batch_buckets": [0]}, r"batch_buckets\.0"),
        (
            {"views": WRITTEN["views"][:-1]},
            r"graph view: logits: .*\['batch', 19\]; the node .*\['free', 18\]",
        ),
        ({"views": ["NOWHERE"]}, "'NOWHERE' is no view; known are"),
        ({"structures": [*WRITTEN["structures"], "RA"]}, "graph segment: ONNX Runtime fails"),
        ({"preprocess": WRITTEN["preprocess"] | {"size": 224}}, "graph encoder: frames: the manifest says float32"),
        ({"graphs": {"encoder": "encoder-from-elsewhere.onnx"}}, "view is missing"),
        ({"graphs": WRITTEN["graphs"] | {"view": "none.onnx"}}, r"none\.onnx: cannot be read"),
        ({"graphs": WRITTEN["graphs"] | {"view": "encoder-from-elsewhere.onnx"}}, "graph view: the manifest says"),
        ({"graphs": WRITTEN["graphs"] | {"view": "engine.yaml"}}, "is no ONNX"),
        ({"card": "none.md"}, "the card cannot be read"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(write, tmp_path, changes, words):
    source = write(**changes)
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(EngineError, match=words):
        import_package(source, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == before


def graph_file(path, nodes, *, shape=("batch", 4), opsets=(("", 23),), weights=(), dtype=TensorProto.FLOAT):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", dtype, shape)],
        list(weights),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*o) for o in opsets], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


def outside(name="w"):
    weight = numpy_helper.from_array(np.ones(4, np.float32), name)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../etc/passwd")
    return weight


def test_data_outside_the_file_are_refused_wherever_they_hide(tmp_path):
    add = helper.make_node("Add", ["x", "w"], ["y"])
    path = graph_file(tmp_path / "g.onnx", [add], weights=[outside()])
    with pytest.raises(EngineError, match="w lies outside the file"):
        read_foreign(path)
    constant = helper.make_node("Constant", [], ["w"], value=outside("hidden"))
    branch = helper.make_graph([constant], "b", [], [helper.make_tensor_value_info("w", TensorProto.FLOAT, (4,))])
    yes = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True)))
    choice = helper.make_node("If", ["yes"], ["w"], then_branch=branch, else_branch=branch)
    path = graph_file(tmp_path / "h.onnx", [yes, choice, add])
    with pytest.raises(EngineError, match="hidden lies outside the file"):
        read_foreign(path)


def test_operators_of_others_are_refused(tmp_path):
    node = helper.make_node("Harm", ["x"], ["y"], domain="com.example")
    path = graph_file(tmp_path / "g.onnx", [node], opsets=(("", 23), ("com.example", 1)))
    with pytest.raises(EngineError, match=r"operators of com\.example"):
        read_foreign(path)


def test_functions_are_refused(tmp_path):
    path = graph_file(tmp_path / "g.onnx", [helper.make_node("Relu", ["x"], ["y"])])
    model = onnx.load(path)
    body = [helper.make_node("Relu", ["a"], ["b"])]
    opsets = [helper.make_opsetid("", 23)]
    model.functions.append(helper.make_function("", "Mine", ["a"], ["b"], body, opsets))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(EngineError, match="functions of its own"):
        read_foreign(path)


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        (("batch", None), TensorProto.FLOAT, "x has a dimension without size and name"),
        (("batch", 4), TensorProto.DOUBLE, "x is DOUBLE; the node knows float32, int64, uint8"),
    ],
)
def test_a_signature_that_cannot_be_stated_is_refused(tmp_path, shape, dtype, words):
    path = graph_file(tmp_path / "g.onnx", [helper.make_node("Abs", ["x"], ["y"])], shape=shape, dtype=dtype)
    with pytest.raises(EngineError, match=words):
        describe(path, read_foreign(path), "g.onnx")


def test_notes_of_the_exporter_are_left_out(tmp_path):
    path = graph_file(tmp_path / "g.onnx", [helper.make_node("Relu", ["x"], ["y"], doc_string="at /home/someone")])
    model = onnx.load(path)
    model.graph.node[0].metadata_props.add(key="stack_trace", value="/home/someone/model.py")
    model.graph.metadata_props.add(key="made", value="/home/someone")
    model.metadata_props.add(key="made", value="/home/someone")
    assert b"someone" not in without_notes(model).SerializeToString()
    assert len(model.metadata_props) == 1, "a copy"


def test_rows_that_see_each_other_are_refused(write, tmp_path):
    source = write()
    path = tmp_path / "view-from-elsewhere.onnx"
    model = onnx.load(path)
    model.graph.output[0].name = "mixed"
    mean = helper.make_node("ReduceMean", ["logits", "axis"], ["centre"], keepdims=1)
    model.graph.node.extend([mean, helper.make_node("Sub", ["logits", "centre"], ["mixed"])])
    model.graph.initializer.append(numpy_helper.from_array(np.array([0]), "axis"))
    onnx.save(model, path)
    with pytest.raises(EngineError, match="graph view: a row differs by"):
        import_package(source, tmp_path / "out")


class Grey(torch.nn.Module):
    """As docs/engines.md has it."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None])

    def forward(self, frames):
        return self.encoder((frames - self.mean) / self.std)


class Patches(torch.nn.Module):
    """Somebody's RGB encoder."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 16, stride=16)

    def forward(self, rgb):
        return self.stem(rgb).flatten(2).transpose(1, 2)


class Mean(torch.nn.Module):
    """Somebody's view head."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(8, 3)

    def forward(self, tokens):
        return self.linear(tokens.mean(dim=(1, 2)))


class Everything(torch.nn.Module):
    """A decoder that outlines nothing of sense."""

    def forward(self, tokens, frames, structure, points, kinds, previous):
        said = structure + points.sum(dim=(1, 2)) + kinds.sum(dim=1) + tokens.mean(dim=(1, 2))
        larger = torch.nn.functional.interpolate(previous, scale_factor=2.0, mode="bilinear")
        return frames + larger + said[:, None, None, None]


def test_an_rgb_encoder_exported_from_torch_names_views_of_grey_clips(tmp_path):
    torch.manual_seed(0)
    encoder, view = Grey(Patches()).eval(), Mean().eval()
    frames, batch, time = torch.rand(2, 1, 64, 64), torch.export.Dim("batch"), torch.export.Dim("time")
    prompts = {
        "structure": torch.ones(2, dtype=torch.int64),
        "points": torch.rand(2, 8, 2),
        "kinds": torch.ones(2, 8, dtype=torch.int64),
        "previous": torch.rand(2, 1, 32, 32),
    }
    for name, module, given, axes in (
        ("encoder", encoder, {"frames": frames}, {0: batch}),
        ("view", view, {"tokens": torch.rand(2, 3, 16, 8)}, {0: batch, 1: time}),
        ("segment", Everything(), {"tokens": torch.rand(2, 16, 8), "frames": frames, **prompts}, {0: batch}),
    ):
        torch.onnx.export(
            module,
            tuple(given.values()),
            tmp_path / f"{name}.onnx",
            input_names=list(given),
            dynamic_shapes=(axes,) * len(given),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    written = WRITTEN | {
        "graphs": {name: f"{name}.onnx" for name in ("encoder", "view", "segment")},
        "preprocess": {"size": 64, "mean": 0.0, "std": 1.0, "margin": 1.5},
        "views": ["A4C", "PLAX", "OTHER"],
    }
    (tmp_path / "rgb.yaml").write_text(yaml.safe_dump(written))
    import_package(tmp_path / "rgb.yaml", tmp_path / "out")
    clip = next(iter(phantoms((View.A4C,), patients=1, seed=5).cases)).clip
    found = load_engine(tmp_path / "out", backend=Backend.ONNXRUNTIME_CPU, threads=1).classify(clip)
    squares = torch.from_numpy(Letterbox.around(clip.sector, 64).apply(clip.frames))[:, None].float() / 255
    with torch.no_grad():
        logits = view(encoder(squares)[None])[0]
    assert found.view.name == written["views"][int(logits.argmax())]
    assert found.probability == pytest.approx(logits.softmax(dim=0).max().item(), abs=1e-5)
