"""From a published checkpoint to a folder that training starts from."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from echo_node.errors import EngineError
from echo_node.models.assemble import SHAPES, EchoModel
from echo_node.models.checkpoints import save_weights
from echo_node.models.pretrained import _renamed, load_pretrained, published_shape
from echo_node.models.starting_point import (
    ARCHITECTURE,
    WEIGHTS,
    architecture,
    load_heads,
    read_encoder,
    widened,
    write_encoder,
)
from echo_node.models.vit import Positions, Stem, VisionTransformer, ViTShape
from echo_node.training.dino.pretrain import DinoRecipe, Pretraining
from echo_node.training.start import import_encoder
from tests.unit.models import test_pretrained


@pytest.fixture
def checkpoint(monkeypatch):
    """A function that makes a checkpoint of two heads of the published width."""
    monkeypatch.setattr(test_pretrained, "WIDTH", 128)
    monkeypatch.setattr(test_pretrained, "HEADS", 2)

    def make(version: int, **changes: Tensor | None) -> dict[str, Tensor]:
        weights = test_pretrained.checkpoint(version) | changes
        return {name: weight for name, weight in weights.items() if weight is not None}

    return make


@pytest.mark.parametrize(("version", "positions"), [(2, Positions.LEARNED), (3, Positions.ROTARY)])
@torch.no_grad()
def test_a_published_checkpoint_becomes_a_start(checkpoint, tmp_path, version, positions):
    torch.save(checkpoint(version), tmp_path / "w.pth")
    assert import_encoder(tmp_path / "w.pth", tmp_path / "start") == 0
    encoder = read_encoder(tmp_path / "start").eval()
    shape = ViTShape(
        width=128,
        depth=2,
        heads=2,
        image_size=64,
        patch_size=4,
        registers=4,
        layer_scale=1e-5,
        positions=positions,
        norm_epsilon=1e-6 if positions is Positions.LEARNED else 1e-5,
    )
    assert encoder.shape == published_shape(tmp_path / "w.pth") == shape
    whole = VisionTransformer(shape).eval()
    load_pretrained(whole, tmp_path / "w.pth", mean=0.2, std=0.2)
    frames = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(3))
    assert (encoder(frames) - whole(frames)).abs().max() < 2e-2, "kept in half precision"


@pytest.mark.parametrize(
    ("version", "width", "depth", "patch"), [(2, 384, 12, 14), (3, 768, 12, 16), (2, 1024, 24, 14)]
)
def test_published_sizes_are_told_by_their_tensors(tmp_path, monkeypatch, version, width, depth, patch):
    for name, value in (("WIDTH", width), ("DEPTH", depth), ("HEADS", width // 64), ("PATCH", patch)):
        monkeypatch.setattr(test_pretrained, name, value)
    monkeypatch.setattr(test_pretrained.torch, "randn", lambda *size, generator: torch.zeros(1).expand(size))
    weights = test_pretrained.checkpoint(version, grid=37)  # 518 pixels of DINOv2
    monkeypatch.undo()
    torch.save(weights, tmp_path / "w.pth")
    shape = published_shape(tmp_path / "w.pth")
    assert (shape.width, shape.depth, shape.heads, shape.patch_size) == (width, depth, width // 64, patch)
    assert shape.image_size == 16 * patch
    with torch.device("meta"):
        wanted = {name: value.shape for name, value in VisionTransformer(shape).state_dict().items()}
    found = {name: value.shape for name, value in _renamed(weights).items() if not name.endswith("bias_mask")}
    differing = {name for name in wanted if wanted[name] != found.get(name)}
    assert differing == {"patches.weight", *(["positions"] if version == 2 else [])}, "colour, and another grid"


def test_pretraining_starts_from_it(checkpoint, tmp_path):
    torch.save(checkpoint(2), tmp_path / "w.pth")
    import_encoder(tmp_path / "w.pth", tmp_path / "start")
    recipe = DinoRecipe(encoder=tmp_path / "start", prototypes=8, hidden=8, bottleneck=4)
    run = Pretraining.start(recipe, torch.device("cpu"))
    kept = read_encoder(tmp_path / "start").eval()
    frames = torch.randn(2, 3, kept.shape.image_size, kept.shape.image_size)
    for learner in (run.student, run.teacher):
        found = learner.encoder.eval()(frames)
        assert torch.allclose(found, kept(frames[:, :1]), atol=1e-5), (
            "what the encoder sees beside a frame counts nothing yet"
        )


def test_without_registers_and_without_layer_scale(checkpoint, tmp_path):
    plain = {f"blocks.{i}.ls{j}.gamma": None for i in (0, 1) for j in (1, 2)}
    torch.save(checkpoint(2, register_tokens=None, **plain), tmp_path / "w.pth")
    shape = published_shape(tmp_path / "w.pth")
    assert (shape.registers, shape.layer_scale) == (0, None)
    load_pretrained(VisionTransformer(shape), tmp_path / "w.pth", mean=0.2, std=0.2)


def test_what_is_no_published_encoder_is_refused(tmp_path):
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "resnet.pth")
    with pytest.raises(EngineError, match="is no encoder of DINOv2 or DINOv3"):
        import_encoder(tmp_path / "resnet.pth", tmp_path / "start")
    assert not (tmp_path / "start").exists()


def test_a_gated_giant_is_refused_by_what_differs(checkpoint, tmp_path):
    torch.save(checkpoint(2, **{"blocks.0.mlp.w12.weight": torch.zeros(4, 4)}), tmp_path / "w.pth")
    with pytest.raises(EngineError, match=r"blocks\.0\.mlp\.w12\.weight: \(4, 4\), not wanted"):
        import_encoder(tmp_path / "w.pth", tmp_path / "start")


def test_a_folder_that_is_there_is_kept(tmp_path):
    with pytest.raises(EngineError, match="is there already"):
        write_encoder(VisionTransformer(published_tiny()), tmp_path, origin="drawn")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda values: values.update(width=256), "does not fit architecture.yaml"),
        (lambda values: values.update(stem="bark"), "describes no encoder"),
        (lambda values: values.pop("positions"), "describes no encoder"),
        (lambda values: values.update(surprise=1), "describes no encoder"),
    ],
)
def test_files_that_do_not_fit_each_other_are_refused(tmp_path, edit, words):
    write_encoder(VisionTransformer(published_tiny()), tmp_path / "start", origin="drawn")
    path = tmp_path / "start" / "architecture.yaml"
    values = yaml.safe_load(path.read_text())
    edit(values)
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(EngineError, match=words):
        read_encoder(tmp_path / "start")
    with pytest.raises(EngineError, match="holds no encoder"):
        read_encoder(tmp_path)


def published_tiny() -> ViTShape:
    return ViTShape(width=64, depth=1, heads=1, image_size=32, patch_size=8, stem=Stem.CONVOLUTION)


def test_an_engine_package_is_a_start_too():
    shipped = Path(__file__).parents[3] / "engines" / "echoapex-tiny-phantom"
    assert read_encoder(shipped).shape == replace(SHAPES["tiny"], channels=3)


SMALL = ViTShape(width=32, depth=1, heads=2, image_size=32, patch_size=8, stem=Stem.CONVOLUTION)


def package(folder: Path, *, views: int) -> EchoModel:
    """What training reads of an engine package."""
    torch.manual_seed(5)
    model = EchoModel(SMALL, views=views, structures=6)
    save_weights(model, folder / WEIGHTS)
    (folder / ARCHITECTURE).write_text(yaml.safe_dump(architecture(SMALL)))
    return model


def test_a_package_gives_its_heads_too(tmp_path):
    kept = package(tmp_path, views=3)
    torch.manual_seed(6)
    model = EchoModel(SMALL, views=3, structures=6)
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    load_heads(model, tmp_path)
    for name, value in model.state_dict().items():
        is_encoder = name.startswith("encoder.")
        expected = before[name.removeprefix("encoder.")] if is_encoder else kept.state_dict()[name]
        assert torch.allclose(value, expected, atol=2e-3, rtol=2e-3), name  # kept in half precision


@torch.no_grad()
def test_a_model_that_sees_frames_in_their_clip_begins_as_one_that_sees_them_alone(tmp_path):
    kept = package(tmp_path, views=3).eval()
    model = EchoModel(replace(SMALL, channels=3), views=3, structures=6).eval()
    model.encoder.load_state_dict(widened(read_encoder(tmp_path).state_dict(), model.encoder.state_dict()))
    load_heads(model, tmp_path)
    frames = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(7))
    alone = kept.encoder(frames[:, :1])
    assert torch.allclose(model.encoder(frames), alone, atol=2e-2)  # kept in half precision
    assert torch.allclose(model.walls(alone, frames), kept.walls(alone, frames[:, :1]), atol=2e-2)


@torch.no_grad()
def test_a_decoder_that_sees_clicks_as_maps_begins_as_one_that_did_not(tmp_path):
    kept = package(tmp_path, views=3)
    weights = {name: value.half() for name, value in kept.state_dict().items()}
    name = "segment.refine.detail.0.weight"
    weights[name] = weights[name][:, :1].clone()
    save_file(weights, tmp_path / WEIGHTS)
    model = EchoModel(SMALL, views=3, structures=6)
    load_heads(model, tmp_path)
    found = model.segment.refine.detail[0].weight
    assert torch.equal(found[:, :1], weights[name].float())
    assert not found[:, 1:].any()


def test_a_package_of_one_encoder_leaves_the_second_as_it_is(tmp_path):
    kept = package(tmp_path, views=3).state_dict()
    of_one = {name: value.half() for name, value in kept.items() if not name.startswith("measuring.")}
    save_file(of_one, tmp_path / WEIGHTS)
    model = EchoModel(SMALL, views=3, structures=6)
    before = {name: value.clone() for name, value in model.measuring.state_dict().items()}
    load_heads(model, tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in model.measuring.state_dict().items())
    assert torch.equal(model.view.linear.weight, kept["view.linear.weight"].half().float())


def test_heads_of_other_labels_are_refused(tmp_path):
    package(tmp_path, views=4)
    with pytest.raises(EngineError, match="has other heads than are trained"):
        load_heads(EchoModel(SMALL, views=3, structures=6), tmp_path)


def test_an_encoder_alone_gives_no_heads(tmp_path):
    write_encoder(VisionTransformer(SMALL), tmp_path / "alone", origin="drawn")
    model = EchoModel(SMALL, views=3, structures=6)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_heads(model, tmp_path / "alone")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_weights_can_be_read_by_whom_the_umask_allows(tmp_path):
    before = os.umask(0o027)
    try:
        write_encoder(VisionTransformer(SHAPES["tiny"]), tmp_path / "start", origin="drawn")
    finally:
        os.umask(before)
    assert (tmp_path / "start" / WEIGHTS).stat().st_mode & 0o777 == 0o640
