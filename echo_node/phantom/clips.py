"""A simulated clip with its truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import array_api_compat.numpy as numpy_namespace
import numpy as np
import numpy.typing as npt

from echo_node.codes import ImageMode, Structure, View, WallPoint
from echo_node.phantom.acoustics import beams, compressed
from echo_node.phantom.anatomy import Fields, cut, fields
from echo_node.phantom.heart import Moment, Patient, Rhythm, moment
from echo_node.phantom.look import Look, sample_look, through_oesophagus, with_contrast
from echo_node.phantom.naming import LEAST_VISIBLE, named_plane, visible_border
from echo_node.phantom.others import render
from echo_node.phantom.planes import APICAL, SUBCOSTAL, Plane
from echo_node.phantom.rhythm import Beats, beats
from echo_node.phantom.scan import Raster, raster
from echo_node.phantom.screen import Screen, compose
from echo_node.phantom.tissue import heart_echo
from echo_node.phantom.vessels import TO_AORTA
from echo_node.phantom.warp import Warp, warp_of

Masks = Mapping[Structure, npt.NDArray[np.bool_]]

POLAR_SHAPE = (200, 104)  # samples along a beam, beams: enough for pictures up to 200 pixels
FINE_POLAR_SHAPE = (384, 176)
FINE_FROM = 256  # pixels
LEVEL_OF_WALLS = 0.3  # of the LV's length above the annulus: where a PLAX is measured
BEATS_SHOWN = (1.2, 2.2)
FRAME_RATES = (20.0, 90.0)
_CONTRAST = 0.04  # share of apical clips
_WINDOWS = 8  # that are tried
_MIRRORED = 0.03  # share of clips whose probe was held the other way round
_OFF_PLANE = 0.15  # share of OTHER that shows a heart, but in no plane with a name


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedClip:
    """Frames and everything that is true of them."""

    frames: npt.NDArray[np.uint8]  # [T,H,W], or [T,H,W,3] on a screen
    times_ms: npt.NDArray[np.float64]  # [T]
    spacing_mm: tuple[float, float] | None
    sector: npt.NDArray[np.bool_]  # [H,W]
    view: View
    mode: ImageMode
    masks: Masks  # bool [T,H,W] each; a structure that the plane does not cut is not there
    landmarks: Mapping[WallPoint, npt.NDArray[np.float64]]  # (row, column) of each point [T,2]; PLAX only
    ed_frame: int  # index
    es_frame: int  # index
    volumes_ml: npt.NDArray[np.float64]  # [T], of the solid
    patient: Patient | None
    foreshortening: float | None  # share of the LV's length that an apical plane misses; else None
    visible: float | None  # share of the border of blood that the window lets one see; None without a heart

    @property
    def edv_ml(self) -> float | None:
        """End-diastolic volume of the solid."""
        return None if self.patient is None else self.patient.edv_ml

    @property
    def esv_ml(self) -> float | None:
        """End-systolic volume of the solid."""
        return None if self.patient is None else self.patient.esv_ml

    @property
    def ef(self) -> float | None:
        """Ejection fraction of the solid, percent."""
        return None if self.patient is None else self.patient.ef


@dataclass(frozen=True, slots=True)
class Scene:
    """Who is looked at, how, and when."""

    patient: Patient
    warp: Warp
    view: View
    look: Look
    plane: Plane
    times: npt.NDArray[np.float64]  # [T] ms
    beats: Beats  # of the frames
    sways: npt.NDArray[np.float32]  # [T,3] mm, of the heart against the probe

    def moment(self, frame: int) -> Moment:
        """The heart's shape on a frame."""
        phase, level = self.beats.phases[frame], self.beats.levels[frame]
        return moment(self.patient, float(phase), level=float(level))


def simulate_clip(
    patient: Patient,
    view: View,
    *,
    rng: np.random.Generator,
    screen: Screen | None = None,
    frames: int | None = None,
    size: int = 160,
    straying: float = 1.0,
    xp: Any = numpy_namespace,
) -> SimulatedClip:
    """Render a clip of a patient.

    Parameters
    ----------
    patient : Patient
        The heart.
    view : View
        One of ``planes.VIEWS``, or OTHER: mostly no heart, now and then one in a plane without a name.
    rng : numpy Generator
        The same state gives the same bytes.
    screen : Screen, optional
        A vendor's screen to put the sector on. Without one the frames are the sector's box, grey.
    frames : int, optional
        That many frames, evenly over one beat. Left out: a cine of one to two beats.
    size : int
        Pixels of the sector's longer side; a screen brings its own.
    straying : float
        How far the plane is off, as hands are: 0 is a perfect one, 1 a usual one.
    xp : array namespace
        Where the acoustics run: NumPy, or torch through array_api_compat.
    """
    size = size if screen is None else screen.sector_size
    times, when = _timing(patient, rng, frames)
    if view is View.OTHER and rng.uniform() >= _OFF_PLANE:
        clip = _other(rng, times, size)
    else:
        clip = _seen(patient, view, times, when, rng=rng, size=size, straying=straying, xp=xp)
        if rng.uniform() < straying * _MIRRORED:
            clip = mirrored(clip)
    return clip if screen is None else _on_screen(clip, screen, patient, rng)


def _seen(
    patient: Patient,
    view: View,
    times: npt.NDArray[np.float64],
    when: Beats,
    *,
    rng: np.random.Generator,
    size: int,
    straying: float,
    xp: Any,
) -> SimulatedClip:
    """A clip that a reader would give its name: of a plane that has it, through a window that lets one see.

    Of several tries; the best of them where none will do.
    """
    warp = warp_of(patient.speckle, moment(patient, 0.0).length_ed)
    tried: list[SimulatedClip] = []
    for _ in range(_WINDOWS):
        look = _look(view, rng)
        plane = named_plane(
            view, patient, warp, half_angle=look.half_angle, near_mm=look.near_mm, rng=rng, straying=straying
        )
        sways = np.float32(straying) * _sway(times, when.phases, rng)
        scene = Scene(patient, warp, view, look, plane, times, when, sways)
        tried.append(_heart(scene, rng=rng, size=size, xp=xp))
        if _visible(tried[-1]) >= LEAST_VISIBLE:
            return tried[-1]
    return max(tried, key=_visible)


def _visible(clip: SimulatedClip) -> float:
    assert clip.visible is not None, "it shows a heart"
    return clip.visible


def mirrored(clip: SimulatedClip) -> SimulatedClip:
    """The same clip from a probe held the other way round, left for right, with its truth."""
    last = clip.sector.shape[1] - 1
    return replace(
        clip,
        frames=np.ascontiguousarray(clip.frames[:, :, ::-1]),
        sector=np.ascontiguousarray(clip.sector[:, ::-1]),
        masks={structure: np.ascontiguousarray(mask[..., ::-1]) for structure, mask in clip.masks.items()},
        landmarks={point: places * [1, -1] + [0, last] for point, places in clip.landmarks.items()},
    )


def _timing(
    patient: Patient, rng: np.random.Generator, frames: int | None
) -> tuple[npt.NDArray[np.float64], Beats]:
    """Frame times in ms, and where in its beat each lies."""
    if frames is None:
        rate, shown = rng.uniform(*FRAME_RATES), rng.uniform(*BEATS_SHOWN)
        times = np.arange(int(shown * patient.beat_ms * rate / 1000)) * 1000 / rate
        start = rng.uniform(-0.08, 0.08)  # carts trim to the R wave, roughly
        return times, beats(times, patient, start=start, rng=rng)
    times = np.arange(frames) * patient.beat_ms / frames
    return times, beats(times, replace(patient, rhythm=Rhythm.REGULAR), start=rng.uniform(), rng=rng)


def _heart(scene: Scene, *, rng: np.random.Generator, size: int, xp: Any) -> SimulatedClip:
    shape = POLAR_SHAPE if size < FINE_FROM else FINE_POLAR_SHAPE
    patient, look, plane = scene.patient, scene.look, scene.plane
    salt = patient.speckle
    grid = beams(xp, plane, look, shape=shape, rng=rng, salt=salt)
    target = raster(
        xp, depth_mm=plane.depth, near_mm=look.near_mm, half_angle=look.half_angle, grid=shape, size=size
    )
    straight = scene.warp.to_solid(xp, grid.points)
    pictures, masks, volumes = [], [], []
    shown: Any = None
    seen = 0.0
    for frame, sway in enumerate(scene.sways):
        now = scene.moment(frame)
        points = straight - xp.reshape(xp.asarray(sway), (3, 1, 1))
        solids = fields(xp, points, now)
        echo = heart_echo(xp, grid, points, solids, now, look, frame=frame, salt=salt)
        grey = compressed(xp, grid, echo, look, frame=frame)
        stays = _persistence(scene, frame)
        shown = grey if shown is None else stays * shown + (1 - stays) * grey
        pictures.append(_to_bytes(xp, target, shown))
        masks.append(_masks(xp, target, solids))
        if frame == 0:
            blood = _on_host(target.picture(xp, xp.astype(solids.blood(xp, grid.rough), xp.float32)))
            seen = visible_border(pictures[0], np.asarray(blood) > 0.5, target.sector, spacing_mm=target.spacing_mm)
        volumes.append(patient.esv_ml + (patient.edv_ml - patient.esv_ml) * now.filling)
    levels = np.array(volumes)
    ed = int(np.argmax(levels))
    return SimulatedClip(
        frames=np.stack(pictures),
        times_ms=scene.times,
        spacing_mm=(target.spacing_mm, target.spacing_mm),
        sector=target.sector,
        view=scene.view,
        mode=ImageMode.TWO_D,
        masks=_stacked(masks),
        landmarks=_walls(scene, target),
        ed_frame=ed,
        es_frame=int(np.argmin(levels)),
        volumes_ml=levels,
        patient=patient,
        foreshortening=_foreshortening(scene, target, masks[ed], ed),
        visible=seen,
    )


def _persistence(scene: Scene, frame: int) -> float:
    """Share of the picture before that is still seen on a frame."""
    if frame == 0 or scene.look.persistence_ms == 0:
        return 0.0
    return float(np.exp((scene.times[frame - 1] - scene.times[frame]) / scene.look.persistence_ms))


def _look(view: View, rng: np.random.Generator) -> Look:
    """A machine and a window; under the ribs the window is the liver, in the oesophagus there is none."""
    look = sample_look(rng)
    if view is View.TEE_SAX:
        return through_oesophagus(look, rng)
    if view in SUBCOSTAL and rng.uniform() < 0.8:
        look = replace(look, near_db=float(rng.uniform(-12, -2)), near_reach_mm=float(rng.uniform(22, 55)))
    if view in APICAL and rng.uniform() < _CONTRAST:
        look = with_contrast(look, rng)
    return look


def _sway(
    times: npt.NDArray[np.float64], phases: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Where the heart has moved to against the probe [T,3] mm: breath, and its own rocking."""
    breath = np.sin(2 * np.pi * (times / rng.uniform(2500, 6000) + rng.uniform()))
    rock = np.sin(2 * np.pi * (phases + rng.uniform()))
    both = breath[:, None] * rng.normal(0, 1.0, 3) + rock[:, None] * rng.normal(0, 0.8, 3)
    return both.astype(np.float32)


def _to_bytes(xp: Any, target: Raster, grey: Any) -> npt.NDArray[np.uint8]:
    picture = np.asarray(_on_host(target.picture(xp, grey)))
    return np.asarray(np.where(target.sector, np.clip(picture, 0, 1) * 255, 0), np.uint8)


def _on_host(array: Any) -> Any:
    return array.cpu() if hasattr(array, "cpu") else array


def _masks(xp: Any, target: Raster, solids: Fields) -> dict[Structure, npt.NDArray[np.bool_]]:
    def inside(field: Any) -> npt.NDArray[np.bool_]:
        return np.asarray(np.asarray(_on_host(target.picture(xp, field) < 0)) & target.sector, np.bool_)

    return cut(solids, inside)


def _stacked(masks: Sequence[Masks]) -> dict[Structure, npt.NDArray[np.bool_]]:
    stacks = {s: np.stack([m[s] for m in masks]) for s in masks[0]}
    return {structure: stack for structure, stack in stacks.items() if stack.any()}


def _walls(scene: Scene, target: Raster) -> dict[WallPoint, npt.NDArray[np.float64]]:
    """Septum and posterior wall [T,2] on a line across the long axis, in the long-axis view."""
    if scene.view is not View.PLAX:
        return {}
    rows = []
    for frame, sway in enumerate(scene.sways):
        now = scene.moment(frame)
        level = np.array([0.0, 0.0, now.base + LEVEL_OF_WALLS * now.length])
        lean = float(np.array([*now.lean, 0.0]) @ TO_AORTA)
        places = {
            WallPoint.SEPTUM_OUTER: now.radius + now.wall,
            WallPoint.SEPTUM_INNER: now.radius + lean,
            WallPoint.POSTERIOR_INNER: lean - now.radius,
            WallPoint.POSTERIOR_OUTER: -(now.radius + now.wall),
        }
        rows.append(
            {
                point: target.pixel(*scene.plane.project(scene.warp.to_body(level + TO_AORTA * far + sway)))
                for point, far in places.items()
            }
        )
    return {point: np.array([row[point] for row in rows]) for point in WallPoint}


def _foreshortening(scene: Scene, target: Raster, masks: Masks, ed: int) -> float | None:
    """What an apical plane misses of the long axis: its cavity ends short of the true apex."""
    if scene.view not in APICAL:
        return None
    now, sway = scene.moment(ed), scene.sways[ed]
    ends = [np.array([0.0, 0.0, z]) for z in (now.base, now.base + now.length)]
    base, apex = (np.array(target.pixel(*scene.plane.project(scene.warp.to_body(e + sway)))) for e in ends)
    cavity = np.argwhere(masks[Structure.LV_CAVITY])
    if not len(cavity):
        return 1.0
    along = (cavity - base) @ ((apex - base) / np.linalg.norm(apex - base))
    return float(np.clip(1 - along.max() * target.spacing_mm / now.length, 0, 1))


def _other(rng: np.random.Generator, times: npt.NDArray[np.float64], size: int) -> SimulatedClip:
    frames, sector = render(rng, frames=len(times), size=size)
    return SimulatedClip(
        frames=frames,
        times_ms=times,
        spacing_mm=None,
        sector=sector,
        view=View.OTHER,
        mode=ImageMode.TWO_D,
        masks={},
        landmarks={},
        ed_frame=0,
        es_frame=0,
        volumes_ml=np.zeros(len(times)),
        patient=None,
        foreshortening=None,
        visible=None,
    )


def _on_screen(clip: SimulatedClip, screen: Screen, patient: Patient, rng: np.random.Generator) -> SimulatedClip:
    """The clip inside a vendor's screen, its truth moved along."""
    frames, (top, left) = compose(
        clip.frames, clip.sector, screen, times_ms=clip.times_ms, patient=patient, rng=rng
    )
    rows, cols = clip.sector.shape
    canvas = frames.shape[1:3]

    def moved(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        out = np.zeros((*mask.shape[:-2], *canvas), np.bool_)
        out[..., top : top + rows, left : left + cols] = mask
        return out

    return replace(
        clip,
        frames=frames,
        sector=moved(clip.sector),
        masks={structure: moved(mask) for structure, mask in clip.masks.items()},
        landmarks={point: places + np.array([top, left]) for point, places in clip.landmarks.items()},
    )
