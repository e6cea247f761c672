"""An engine: a clip's frames to its view and its masks. Every frame is encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from echo_node.codes import Structure, View
from echo_node.config import Backend
from echo_node.inference.backend import Runtime, open_runtime
from echo_node.inference.manifest import Manifest, load_manifest
from echo_node.inference.preprocess import Letterbox, normalise
from echo_node.inference.prompts import LOW_RESOLUTION, MAX_POINTS, NO_PROMPTS, Prompts, as_previous
from echo_node.records import Clip, EngineIdentity, Segmentation, ViewPrediction

Tokens = npt.NDArray[np.float32]  # [T,1+P,D]


def load_engine(folder: Path, *, backend: Backend, threads: int) -> Engine:
    """Check a package and load its graphs.

    Parameters
    ----------
    folder : Path
        The package.
    backend : Backend
        The runtime; if it cannot be had, that is an error.
    threads : int
        Of a CPU runtime; 0 for all cores.

    Raises
    ------
    ManifestError, EngineError
        What does not fit, and where.
    """
    manifest, digest = load_manifest(folder)
    return Engine(manifest, digest, open_runtime(backend, folder, manifest, threads=threads))


class Engine:
    """A loaded package."""

    def __init__(self, manifest: Manifest, digest: str, runtime: Runtime) -> None:
        self._manifest = manifest
        self._runtime = runtime
        self._tokens: dict[tuple[str, int, Letterbox], Tokens] = {}  # of the clip at hand
        self.identity = EngineIdentity(
            name=manifest.name, version=manifest.version, digest=digest, backend=runtime.name
        )
        self.view_threshold = manifest.view.threshold
        self.views = tuple(View[label.name] for label in manifest.views)
        self.structures = tuple(Structure[label.name] for label in manifest.structures)

    def classify(self, clip: Clip) -> ViewPrediction:
        """The view of a clip from the frames that it holds."""
        tokens = self._encode(clip, self._letterbox(clip))
        logits = self._runtime.run("view", {"tokens": tokens[None]})[0] / self._manifest.view.temperature
        share = np.exp(logits - logits.max())
        share /= share.sum()
        first, second = np.argsort(-share)[:2]
        return ViewPrediction(
            SOPInstanceUID=clip.SOPInstanceUID,
            view=self.views[first],
            probability=float(share[first]),
            runner_up=self.views[second],
            runner_up_probability=float(share[second]),
            mode=clip.mode,
        )

    def segment(
        self, clip: Clip, structures: Sequence[Structure], prompts: Prompts = NO_PROMPTS
    ) -> tuple[Segmentation, ...]:
        """Masks of structures on every frame that the clip holds.

        Parameters
        ----------
        clip : Clip
            The frames.
        structures : sequence of Structure
            Among :attr:`structures`.
        prompts : Prompts
            What else is said about the structure; then ask for one structure only.
        """
        box = self._letterbox(clip)
        tokens = self._encode(clip, box)
        return tuple(
            Segmentation(
                SOPInstanceUID=clip.SOPInstanceUID,
                structure=structure,
                masks=box.restore(self._decode(tokens, structure, prompts, box), clip.sector),
                frame_numbers=clip.frame_numbers,
            )
            for structure in structures
        )

    def _letterbox(self, clip: Clip) -> Letterbox:
        return Letterbox.around(clip.sector, self._manifest.preprocess.size)

    def _encode(self, clip: Clip, box: Letterbox) -> Tokens:
        """Tokens of the clip's frames; those seen before are not computed again."""
        keys = [(clip.SOPInstanceUID, number, box) for number in clip.frame_numbers]
        self._tokens = {key: kept for key, kept in self._tokens.items() if key[0] == clip.SOPInstanceUID}
        new = [i for i, key in enumerate(keys) if key not in self._tokens]
        settings, step = self._manifest.preprocess, max(self._manifest.batch_buckets)
        for start in range(0, len(new), step):
            part = new[start : start + step]
            frames = normalise(box.apply(clip.frames[part]), mean=settings.mean, std=settings.std)
            for index, tokens in zip(part, self._runtime.run("encoder", {"frames": frames}), strict=True):
                self._tokens[keys[index]] = tokens
        return np.stack([self._tokens[key] for key in keys])

    def _decode(
        self, tokens: Tokens, structure: Structure, prompts: Prompts, box: Letterbox
    ) -> npt.NDArray[np.float32]:
        """Mask logits [T,S,S]."""
        points, kinds, previous = _prompt_arrays(prompts, box)
        step = max(self._manifest.batch_buckets)
        parts = []
        for start in range(0, len(tokens), step):
            part = tokens[start : start + step]
            n = len(part)
            inputs: dict[str, npt.NDArray[Any]] = {
                "tokens": part,
                "structure": np.full(n, self.structures.index(structure), np.int64),
                "points": np.repeat(points[None], n, axis=0),
                "kinds": np.repeat(kinds[None], n, axis=0),
                "previous": np.repeat(previous[None], n, axis=0),
            }
            parts.append(self._runtime.run("segment", inputs)[:, 0])
        return np.concatenate(parts)


def _prompt_arrays(
    prompts: Prompts, box: Letterbox
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Points [8,2], their kinds [8] and the previous mask's logits [1,32,32]."""
    if len(prompts.points) > MAX_POINTS:
        raise ValueError(f"{len(prompts.points)} points; at most {MAX_POINTS} are taken")
    points = np.zeros((MAX_POINTS, 2), np.float32)
    kinds = np.zeros(MAX_POINTS, np.int64)
    previous = np.zeros((1, LOW_RESOLUTION, LOW_RESOLUTION), np.float32)
    for slot, point in enumerate(prompts.points):
        points[slot], kinds[slot] = box.to_square(point.row, point.col), point.kind
    if prompts.previous is not None:
        square = box.apply(prompts.previous[None].astype(np.uint8) * 255)[0]
        previous[0] = as_previous((square > 127).astype(np.uint8))
    return points, kinds, previous
