"""An engine: a clip's frames to its view and its masks.

Views are told from whole sectors. A structure is found there on a few frames, and outlined on every
frame in a closer window around it: a left ventricle in systole is some ten pixels wide in the first,
and some thirty in the second. No frame is encoded twice in the same window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from echo_node.codes import Structure, View
from echo_node.config import Backend
from echo_node.inference.backend import Runtime, open_runtime
from echo_node.inference.golden import check_golden
from echo_node.inference.manifest import Manifest, load_manifest
from echo_node.inference.preprocess import Letterbox, Mask, normalise
from echo_node.inference.prompts import LOW_RESOLUTION, MAX_POINTS, NO_PROMPTS, PointKind, Prompts, as_previous
from echo_node.inference.sampling import pick, spread
from echo_node.records import Clip, EngineIdentity, Segmentation, ViewPrediction

Tokens = npt.NDArray[np.float32]  # [T,1+P,D]


def load_engine(folder: Path, *, backend: Backend, threads: int) -> Engine:
    """Check a package, load its graphs, and see that they give here what they gave where they were made.

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
    runtime = open_runtime(backend, folder, manifest, threads=threads)
    check_golden(folder, manifest, runtime)
    return Engine(manifest, digest, runtime)


class Engine:
    """A loaded package."""

    finds_walls = False  # has a head for the wall points of a long axis
    estimates_ejection = False  # has a head that tells EF without an outline

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
        whole = self._letterbox(clip)
        few = pick(clip, spread(len(clip.frames)))
        found, windows = [], list[Letterbox]()
        for structure in structures:
            seen = self._masks(few, structure, prompts, whole).any(axis=0) | _prompted(prompts, clip.sector)
            box = next((window for window in windows if window.holds(seen)), None)
            box = box or Letterbox.closer(whole, seen, margin=self._manifest.preprocess.margin)
            if box is None:  # not seen: nothing to go closer to
                box = whole
            elif box not in windows:
                windows.append(box)
            found.append(
                Segmentation(
                    SOPInstanceUID=clip.SOPInstanceUID,
                    structure=structure,
                    masks=self._masks(clip, structure, prompts, box),
                    frame_numbers=clip.frame_numbers,
                )
            )
        return tuple(found)

    def _letterbox(self, clip: Clip) -> Letterbox:
        return Letterbox.around(clip.sector, self._manifest.preprocess.size)

    def _encode(self, clip: Clip, box: Letterbox) -> Tokens:
        """Tokens of the clip's frames; those seen before are not computed again."""
        keys = [(clip.SOPInstanceUID, number, box) for number in clip.frame_numbers]
        self._tokens = {key: kept for key, kept in self._tokens.items() if key[0] == clip.SOPInstanceUID}
        new = [i for i, key in enumerate(keys) if key not in self._tokens]
        for part in self._batches(new):
            frames = self._frames(clip, box, part)
            for index, tokens in zip(part, self._runtime.run("encoder", {"frames": frames}), strict=True):
                self._tokens[keys[index]] = tokens
        return np.stack([self._tokens[key] for key in keys])

    def _masks(self, clip: Clip, structure: Structure, prompts: Prompts, box: Letterbox) -> Mask:
        """Masks bool [T,H,W] of the clip's frames, seen in one window."""
        tokens = self._encode(clip, box)
        points, kinds, previous = _prompt_arrays(prompts, box)
        parts = []
        for part in self._batches(list(range(len(tokens)))):
            n = len(part)
            inputs: dict[str, npt.NDArray[Any]] = {
                "tokens": tokens[part],
                "frames": self._frames(clip, box, part),
                "structure": np.full(n, self.structures.index(structure), np.int64),
                "points": np.repeat(points[None], n, axis=0),
                "kinds": np.repeat(kinds[None], n, axis=0),
                "previous": np.repeat(previous[None], n, axis=0),
            }
            parts.append(self._runtime.run("segment", inputs)[:, 0])
        return box.restore(np.concatenate(parts), clip.sector)

    def _frames(self, clip: Clip, box: Letterbox, indices: Sequence[int]) -> npt.NDArray[np.float32]:
        """Frames of the clip as the encoder takes them [N,1,S,S]."""
        settings = self._manifest.preprocess
        return normalise(box.apply(clip.frames[list(indices)]), mean=settings.mean, std=settings.std)

    def _batches(self, indices: Sequence[int]) -> Iterator[Sequence[int]]:
        step = max(self._manifest.batch_buckets)
        return (indices[start : start + step] for start in range(0, len(indices), step))


def _prompted(prompts: Prompts, sector: Mask) -> Mask:
    """Where a prompt says that the structure is [H,W]."""
    said = np.zeros_like(sector) if prompts.previous is None else prompts.previous & sector
    for point in prompts.points:
        if point.kind is not PointKind.BACKGROUND:
            row, col = np.clip((point.row, point.col), 0, np.array(sector.shape) - 1).astype(int)
            said[row, col] = True
    return said & sector  # there is nothing to look at beside it


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
        x, y = box.to_square(point.row, point.col)
        if point.kind is not PointKind.BACKGROUND or (0 <= x <= 1 and 0 <= y <= 1):
            points[slot], kinds[slot] = (x, y), point.kind
    if prompts.previous is not None:
        square = box.apply(prompts.previous[None].astype(np.uint8) * 255)[0]
        previous[0] = as_previous((square > 127).astype(np.uint8))
    return points, kinds, previous
