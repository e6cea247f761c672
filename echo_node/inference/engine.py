"""An engine: a clip's frames to its view, its masks, its wall points and its ejection fraction.

Views are told from whole sectors. A structure is found there on a few frames, and outlined on every
frame in a closer window around it: a left ventricle in systole is some ten pixels wide in the first,
and some thirty in the second. So are wall points. A package may have a second encoder, tuned to what is measured.
No frame is encoded twice by the same one in the same window. Which heads there are besides views and masks depends
on the package.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from echo_node.codes import Structure, View
from echo_node.config import Backend
from echo_node.errors import EngineError
from echo_node.inference import ejection, walls
from echo_node.inference.backend import Runtime, open_runtime
from echo_node.inference.golden import check_golden
from echo_node.inference.manifest import Manifest, load_manifest
from echo_node.inference.plans import PlanCache
from echo_node.inference.preprocess import WALL_MARGIN, Frames, Letterbox, Mask, in_clip
from echo_node.inference.prompts import LOW_RESOLUTION, MAX_POINTS, NO_PROMPTS, PointKind, Prompts, as_previous
from echo_node.inference.sampling import BESIDE, pick, spread
from echo_node.inference.signatures import check_graphs
from echo_node.records import Clip, EjectionEstimate, EngineIdentity, Landmarks, Segmentation, ViewPrediction

Tokens = npt.NDArray[np.float32]  # [T,1+P,D]
Numbers = tuple[int, ...]  # of frames, counted from 1

_AGREED = 0.25  # of the frames looked at
_PARTS = {Structure.LV_MYOCARDIUM: 3}  # that plane and sector may cut it into; a chamber is one


def load_engine(folder: Path, *, backend: Backend, threads: int, plans: PlanCache | None = None) -> Engine:
    """Check a package, load its graphs, and see that they give here what they gave where they were made.

    Parameters
    ----------
    folder : Path
        The package.
    backend : Backend
        The runtime; if it cannot be had, that is an error.
    threads : int
        Of a CPU runtime; 0 for all cores.
    plans : PlanCache, optional
        What the TensorRT backend serves from.

    Raises
    ------
    ManifestError, EngineError
        What does not fit, and where.
    """
    manifest, digest = load_manifest(folder)
    check_graphs(folder, manifest)
    runtime = open_runtime(backend, folder, manifest, threads=threads, plans=plans)
    check_golden(folder, manifest, runtime)
    return Engine(manifest, digest, runtime)


class Engine:
    """A loaded package."""

    finds_walls = False  # has a head for the wall points of a long axis
    estimates_ejection = False  # has a head that tells EF without an outline

    def __init__(self, manifest: Manifest, digest: str, runtime: Runtime) -> None:
        self._manifest = manifest
        self._runtime = runtime
        # Of the clip at hand. Tokens go by the frames that each was seen beside.
        self._tokens: dict[tuple[str, int, str, Letterbox, Numbers], Tokens] = {}
        self._frames: dict[tuple[str, Numbers, Letterbox], Frames] = {}  # as encoders and heads take them
        self._windows: dict[tuple[str, Structure], Letterbox] = {}  # that its structures were outlined in
        self.identity = EngineIdentity(
            name=manifest.name, version=manifest.version, digest=digest, backend=runtime.name
        )
        self.view_threshold = manifest.view.threshold
        self.views = tuple(View[label.name] for label in manifest.views)
        self.structures = tuple(Structure[label.name] for label in manifest.structures)
        self._measuring = "measuring" if "measuring" in manifest.graphs else "encoder"
        self.finds_walls = "walls" in manifest.graphs
        self.estimates_ejection = "ejection" in manifest.graphs

    def classify(self, clip: Clip) -> ViewPrediction:
        """The view of a clip from the frames that it holds."""
        tokens = self._encode(clip, self._letterbox(clip), encoder="encoder")
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
        found, windows = [], list[Letterbox]()
        for structure in structures:
            box = self._window(clip, structure, prompts, windows)
            if box not in (whole, *windows):
                windows.append(box)
            self._windows[clip.SOPInstanceUID, structure] = box
            found.append(
                Segmentation(
                    SOPInstanceUID=clip.SOPInstanceUID,
                    structure=structure,
                    masks=self._masks(clip, structure, prompts, box),
                    frame_numbers=clip.frame_numbers,
                )
            )
        return tuple(found)

    def find_walls(self, clip: Clip) -> tuple[Landmarks, ...]:
        """The four wall points on every frame that a clip of a parasternal long axis holds.

        Raises
        ------
        EngineError
            The package has no such head: see :attr:`finds_walls`.
        """
        self._check("walls")
        whole = self._letterbox(clip)
        seen = walls.region(self._places(pick(clip, spread(len(clip.frames))), whole), clip.sector)
        box = Letterbox.closer(whole, seen, margin=WALL_MARGIN) or whole
        return walls.as_landmarks(self._places(clip, box), clip)

    def estimate_ejection(self, clip: Clip, cavity: Segmentation) -> EjectionEstimate:
        """EF of an apical clip without its outlines, which only say where to look.

        Parameters
        ----------
        clip : Clip
            With times.
        cavity : Segmentation
            The LV cavity on the clip's frames; its window is used again where this engine outlined it last.

        Raises
        ------
        EngineError
            The package has no such head, or the clip no times: see :attr:`estimates_ejection`.
        """
        self._check("ejection")
        if clip.times_ms is None:
            raise EngineError(f"clip {clip.SOPInstanceUID} has no frame times; the ejection fraction needs them")
        box = self._windows.get((clip.SOPInstanceUID, cavity.structure))
        if box is None:
            whole, margin = self._letterbox(clip), self._manifest.preprocess.margin
            seen = np.asarray(cavity.masks.any(axis=0), np.bool_)
            box = Letterbox.closer(whole, seen, margin=margin) or whole
        indices = ejection.looked_at(clip.times_ms)
        times = clip.times_ms[list(indices)]
        inputs = {
            "tokens": self._encode(clip, box, indices)[None],
            "times": ((times - times[0])[None] / 1000).astype(np.float32),
        }
        return ejection.read_estimate(self._runtime.run("ejection", inputs)[0], indices, clip)

    def _check(self, graph: str) -> None:
        if graph not in self._manifest.graphs:
            raise EngineError(f"engine {self.identity.name} {self.identity.version} has no graph {graph!r}")

    def _letterbox(self, clip: Clip) -> Letterbox:
        return Letterbox.around(clip.sector, self._manifest.preprocess.size)

    def _encode(
        self, clip: Clip, box: Letterbox, indices: Sequence[int] | None = None, *, encoder: str | None = None
    ) -> Tokens:
        """Tokens of the clip's frames, or of some; those seen before are not computed again."""
        encoder = encoder or self._measuring
        chosen = range(len(clip.frames)) if indices is None else indices
        beside = tuple(clip.frame_numbers[i] for i in self._beside(clip))
        keys = {i: (clip.SOPInstanceUID, clip.frame_numbers[i], encoder, box, beside) for i in chosen}
        frames = self._seen(clip, box)
        new = [i for i, key in keys.items() if key not in self._tokens]
        for part in self._batches(new):
            encoded = self._runtime.run(encoder, {"frames": frames[part]})
            for index, tokens in zip(part, encoded, strict=True):
                self._tokens[keys[index]] = tokens
        return np.stack([self._tokens[keys[i]] for i in chosen])

    def _window(self, clip: Clip, structure: Structure, prompts: Prompts, others: Sequence[Letterbox]) -> Letterbox:
        """Where a structure is outlined: around where it is seen, or a window of others that holds this.

        Clicks correct an outline in the window that it has without them, for one that moved would move the error.
        Only one beside the window widens it.
        """
        whole, margin = self._letterbox(clip), self._manifest.preprocess.margin
        few, unclicked = pick(clip, spread(len(clip.frames))), prompts.without_clicks()
        seen = _agreed(self._masks(few, structure, unclicked, whole)) | _prompted(unclicked, clip.sector)
        if not seen.any() and prompts.points != unclicked.points:  # clicks alone say where it is
            seen = _agreed(self._masks(few, structure, prompts, whole))
        if not seen.any():  # nothing to go closer to
            return whole
        box = next((window for window in others if window.holds(seen)), None)
        box = box or Letterbox.closer(whole, seen, margin=margin) or whole
        meant = _prompted(prompts, clip.sector)
        return box if box.holds(meant) else Letterbox.closer(whole, seen | meant, margin=margin) or whole

    def _masks(self, clip: Clip, structure: Structure, prompts: Prompts, box: Letterbox) -> Mask:
        """Masks bool [T,H,W] of the clip's frames, seen in one window."""
        tokens, frames = self._encode(clip, box), self._seen(clip, box)
        points, kinds, previous = _prompt_arrays(prompts, box)
        parts = []
        for part in self._batches(list(range(len(tokens)))):
            n = len(part)
            inputs: dict[str, npt.NDArray[Any]] = {
                "tokens": tokens[part],
                "frames": frames[part],
                "structure": np.full(n, self.structures.index(structure), np.int64),
                "points": np.repeat(points[None], n, axis=0),
                "kinds": np.repeat(kinds[None], n, axis=0),
                "previous": np.repeat(previous[None], n, axis=0),
            }
            parts.append(self._runtime.run("segment", inputs)[:, 0])
        return box.restore(np.concatenate(parts), clip.sector, most=_PARTS.get(structure, 1))

    def _places(self, clip: Clip, box: Letterbox) -> walls.Places:
        """Wall points on the clip's frames, seen in one window."""
        tokens, frames = self._encode(clip, box), self._seen(clip, box)
        parts = [
            self._runtime.run("walls", {"tokens": tokens[part], "frames": frames[part]})
            for part in self._batches(list(range(len(tokens))))
        ]
        return walls.locate(np.concatenate(parts), box)

    def _seen(self, clip: Clip, box: Letterbox) -> Frames:
        """The clip's frames in a window, as grey levels [T,C,S,S]; the runtime normalises them."""
        uid = clip.SOPInstanceUID
        self._tokens = {key: kept for key, kept in self._tokens.items() if key[0] == uid}
        self._frames = {key: kept for key, kept in self._frames.items() if key[0] == uid}
        self._windows = {key: kept for key, kept in self._windows.items() if key[0] == uid}
        key = uid, clip.frame_numbers, box
        if key not in self._frames:
            self._frames[key] = in_clip(box.apply(clip.frames), self._manifest.preprocess.channels)
        return self._frames[key]

    def _beside(self, clip: Clip) -> list[int]:
        """The frames of a clip that tell what moves in it; none for an encoder of frames alone."""
        return [] if self._manifest.preprocess.channels == 1 else list(spread(len(clip.frames), BESIDE))

    def _batches(self, indices: Sequence[int]) -> Iterator[Sequence[int]]:
        step = max(self._manifest.batch_buckets)
        return (indices[start : start + step] for start in range(0, len(indices), step))


def _agreed(masks: Mask) -> Mask:
    """Where a structure is [H,W] by at least a quarter of the masks [T,H,W]: one that ran over does not count."""
    return np.asarray(masks.mean(axis=0) >= _AGREED, np.bool_)


def _prompted(prompts: Prompts, sector: Mask) -> Mask:
    """Where a prompt says that the structure is [H,W]; there is nothing to look at beside the sector."""
    said = np.zeros_like(sector) if prompts.previous is None else prompts.previous.copy()
    for point in prompts.points:
        if point.kind is not PointKind.BACKGROUND:
            row, col = np.clip((point.row, point.col), 0, np.array(sector.shape) - 1).astype(int)
            said[row, col] = True
    return said & sector


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
