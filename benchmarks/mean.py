"""The mean of the weights of an engine and of one that was trained on from it (WiSE-FT, Wortsman et al. 2022).

Run: ``python -m benchmarks.mean EARLIER LATER``, of two engine packages. Prints what each share of the later one
gives on unseen phantoms and, with ``--clip``, how sure it is of the view of a clip at hand. ``--write ENGINE
--share S`` trains the mean's EF head on, calibrates, evaluates and writes the package, as ``echo-node train`` does.

Where the later one is deeper, ``--new`` says which of its blocks the earlier one does not have. They had begun as
the identity, so of what their branches add the share is taken.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from echo_node.dicom.clips import open_clip
from echo_node.evaluation.command import PHANTOM_PATIENTS
from echo_node.inference.preprocess import Letterbox
from echo_node.inference.sampling import spread
from echo_node.models.assemble import EchoModel
from echo_node.models.starting_point import ARCHITECTURE, WEIGHTS, read_shape
from echo_node.records import Clip
from echo_node.training import data
from echo_node.training.calibrate import calibrate
from echo_node.training.ejection import EjectionRecipe, train_ejection
from echo_node.training.inputs import encoder_input
from echo_node.training.recipe import UNSEEN, Recipe
from echo_node.training.ship import CALIBRATION_CLIPS, ship
from echo_node.training.validate import validate

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
# A mean of two heads fits neither encoder: how the EF head is trained on.
ON_FROM_THE_MEAN = EjectionRecipe(beats=500, steps=600, learning_rate=5e-4)
_START = " only: the mean of two packages' weights, its EF head trained on (`python -m benchmarks.mean`)"
_BLOCKS = "encoder.blocks."
_LAST = ("attention.out.", "mlp.2.")  # of a block's two branches: what they add goes through these

Weights = Mapping[str, Tensor]


def main() -> None:
    """Print a row per share, or write one of them as a package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("earlier", type=Path)
    parser.add_argument("later", type=Path)
    parser.add_argument("--new", type=int, nargs="*", default=[], help="blocks that only the later one has")
    parser.add_argument("--run", type=Path, default=Path("mean-run"), help="folder of the phantoms")
    parser.add_argument("--clip", type=Path, nargs="*", default=[], help="DICOM clips to name")
    parser.add_argument("--write", type=Path, help="folder of a package, new")
    parser.add_argument("--share", type=float, default=0.5, help="of the later one, in the package")
    parser.add_argument("--patients", type=int, default=PHANTOM_PATIENTS, help="unseen, for the package's figures")
    chosen = parser.parse_args()
    recipe = Recipe(encoder=chosen.earlier)
    earlier, later = (
        {name: value.float() for name, value in load_file(folder / WEIGHTS).items()}
        for folder in (chosen.earlier, chosen.later)
    )
    model = EchoModel(
        read_shape(chosen.later / ARCHITECTURE), views=len(data.LABELS), structures=len(data.STRUCTURES)
    ).eval()
    if chosen.write is not None:
        model.load_state_dict(mean(earlier, later, share=chosen.share, new=chosen.new))
        train_ejection(model, chosen.run, ON_FROM_THE_MEAN)
        ship(model, chosen.run, chosen.write, start=_START, frames=recipe.frames, patients=chosen.patients)
        return
    unseen = data.load(chosen.run / "phantoms", seed=UNSEEN, clips=CALIBRATION_CLIPS, frames=recipe.frames)
    clips = [_looked_at(path) for path in chosen.clip]
    for share in SHARES:
        model.load_state_dict(mean(earlier, later, share=share, new=chosen.new))
        temperature = calibrate(model, unseen).temperature
        figures = [f"{name} {value:.3f}" for name, value in validate(model, unseen).items()]
        print(f"{share:.2f}", *figures, *(_named(model, clip, temperature) for clip in clips), sep=", ", flush=True)


def mean(earlier: Weights, later: Weights, *, share: float, new: Collection[int]) -> dict[str, Tensor]:
    """Weights between those of two models.

    Parameters
    ----------
    earlier, later : mapping of name to Tensor
        State dicts of the same shape, but for the new blocks.
    share : float
        Of the later one, 0 to 1.
    new : collection of int
        The later one's blocks that the earlier one does not have.
    """
    found: dict[str, Tensor] = {}
    for name, value in later.items():
        block, rest = _place(name)
        if block in new:
            found[name] = share * value if rest.startswith(_LAST) else value
        elif name.endswith("num_batches_tracked"):
            found[name] = value.long()
        else:
            before = name if block is None else f"{_BLOCKS}{block - sum(n < block for n in new)}.{rest}"
            found[name] = share * value + (1 - share) * earlier[before]
    return found


def _place(name: str) -> tuple[int | None, str]:
    """The block of the encoder that a weight is of, and its name there; None where it is of none."""
    if not name.startswith(_BLOCKS):
        return None, name
    number, _, rest = name.removeprefix(_BLOCKS).partition(".")
    return int(number), rest


def _looked_at(path: Path) -> Clip:
    """The frames of a clip that its view is told by."""
    clip = open_clip(path)
    return clip.read(spread(clip.NumberOfFrames))


def _named(model: EchoModel, clip: Clip, temperature: float) -> str:
    image_size = model.shape.image_size
    frames = Letterbox.around(clip.sector, image_size).apply(clip.frames)
    with torch.no_grad():
        tokens = model.encoder(encoder_input(frames, model.shape))
        probabilities: Sequence[float] = torch.softmax(model.view(tokens[None])[0] / temperature, 0).tolist()
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    return f"{data.LABELS[best].name} {probabilities[best]:.2f}"


if __name__ == "__main__":
    main()
