"""A simulated clip with its truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import array_api_compat.numpy as numpy_namespace
import numpy as np
import numpy.typing as npt

from echo_node.codes import ImageMode, Structure, View
from echo_node.phantom import acoustics, others
from echo_node.phantom.anatomy import TO_AORTA, Fields, fields
from echo_node.phantom.heart import Moment, Patient, moment
from echo_node.phantom.planes import Plane, sample_plane
from echo_node.phantom.scan import Raster, raster
from echo_node.phantom.screen import Screen, compose

Masks = Mapping[Structure, npt.NDArray[np.bool_]]

POLAR_SHAPE = (208, 112)  # samples along a beam, beams: enough for pictures up to 200 pixels
FINE_POLAR_SHAPE = (384, 176)
FINE_FROM = 256  # pixels
LEVEL_OF_WALLS = 0.3  # of the LV's length above the annulus: where a PLAX is measured
BEATS_SHOWN = (1.2, 2.2)
FRAME_RATES = (25.0, 50.0)


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
    landmarks: Mapping[str, tuple[float, float]]  # (row, column) on the ED frame
    ed_frame: int  # index
    es_frame: int  # index
    volumes_ml: npt.NDArray[np.float64]  # [T], of the solid
    patient: Patient | None


def simulate_clip(
    patient: Patient,
    view: View,
    *,
    rng: np.random.Generator,
    screen: Screen | None = None,
    frames: int | None = None,
    size: int = 160,
    xp: Any = numpy_namespace,
) -> SimulatedClip:
    """Render a clip of a patient.

    Parameters
    ----------
    patient : Patient
        Ignored for :attr:`View.OTHER`, whose pictures show no heart.
    view : View
        One of ``planes.VIEWS``, or OTHER.
    rng : numpy Generator
        The same state gives the same bytes.
    screen : Screen, optional
        A vendor's screen to put the sector on. Without one the frames are the sector's box, grey.
    frames : int, optional
        That many frames, evenly over one beat. Left out: a cine of one to two beats.
    size : int
        Pixels of the sector's longer side; a screen brings its own.
    xp : array namespace
        Where the acoustics run: NumPy, or torch through array_api_compat.
    """
    size = size if screen is None else screen.sector_size
    times, phases = _timing(patient, rng, frames)
    if view is View.OTHER:
        clip = _other(rng, times, size)
    else:
        clip = _heart(patient, view, rng=rng, times=times, phases=phases, size=size, xp=xp)
    return clip if screen is None else _on_screen(clip, screen, patient, rng)


def _timing(
    patient: Patient, rng: np.random.Generator, frames: int | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Frame times in ms and phases of the beat."""
    if frames is None:
        rate, beats = rng.uniform(*FRAME_RATES), rng.uniform(*BEATS_SHOWN)
        times = np.arange(int(beats * patient.beat_ms * rate / 1000)) * 1000 / rate
        start = rng.uniform(-0.08, 0.08)  # carts trim to the R wave, roughly
    else:
        times = np.arange(frames) * patient.beat_ms / frames
        start = rng.uniform()
    return times, (start + times / patient.beat_ms) % 1.0


def _heart(
    patient: Patient,
    view: View,
    *,
    rng: np.random.Generator,
    times: npt.NDArray[np.float64],
    phases: npt.NDArray[np.float64],
    size: int,
    xp: Any,
) -> SimulatedClip:
    shape = POLAR_SHAPE if size < FINE_FROM else FINE_POLAR_SHAPE
    look = acoustics.sample_look(rng)
    plane = sample_plane(view, moment(patient, 0.0), rng)
    grid = acoustics.beams(xp, plane, look, shape=shape)
    target = raster(xp, depth_mm=plane.depth, half_angle=look.half_angle, grid=shape, size=size)
    salt = patient.speckle
    pictures, masks, volumes = [], [], []
    shown: Any = None
    for frame, phase in enumerate(phases):
        now = moment(patient, float(phase))
        solids = fields(xp, grid.points, now)
        echo = acoustics.heart_echo(xp, grid, solids, now, look, frame=frame, salt=salt)
        grey = acoustics.compressed(xp, grid, echo, look, frame=frame, salt=salt)
        shown = grey if shown is None else look.persistence * shown + (1 - look.persistence) * grey
        pictures.append(_to_bytes(xp, target, shown))
        masks.append(_masks(xp, target, solids))
        volumes.append(patient.esv_ml + (patient.edv_ml - patient.esv_ml) * now.filling)
    levels = np.array(volumes)
    ed = int(np.argmax(levels))
    return SimulatedClip(
        frames=np.stack(pictures),
        times_ms=times,
        spacing_mm=(target.spacing_mm, target.spacing_mm),
        sector=target.sector,
        view=view,
        mode=ImageMode.TWO_D,
        masks=_stacked(masks),
        landmarks=_walls(view, plane, target, moment(patient, float(phases[ed]))),
        ed_frame=ed,
        es_frame=int(np.argmin(levels)),
        volumes_ml=levels,
        patient=patient,
    )


def _to_bytes(xp: Any, target: Raster, grey: Any) -> npt.NDArray[np.uint8]:
    picture = np.asarray(_on_host(target.picture(xp, grey)))
    return np.asarray(np.where(target.sector, np.clip(picture, 0, 1) * 255, 0), np.uint8)


def _on_host(array: Any) -> Any:
    return array.cpu() if hasattr(array, "cpu") else array


def _masks(xp: Any, target: Raster, solids: Fields) -> dict[Structure, npt.NDArray[np.bool_]]:
    def inside(field: Any) -> npt.NDArray[np.bool_]:
        return np.asarray(np.asarray(_on_host(target.picture(xp, field) < 0)) & target.sector, np.bool_)

    cavity = inside(solids.endocardium)
    return {
        Structure.LV_CAVITY: cavity,
        Structure.LV_MYOCARDIUM: inside(solids.epicardium) & ~cavity,
        Structure.LA: inside(solids.la),
        Structure.RV: inside(solids.rv),
        Structure.RA: inside(solids.ra),
        Structure.AORTIC_ROOT: inside(solids.aorta),
    }


def _stacked(masks: Sequence[Masks]) -> dict[Structure, npt.NDArray[np.bool_]]:
    stacks = {s: np.stack([m[s] for m in masks]) for s in masks[0]}
    return {structure: stack for structure, stack in stacks.items() if stack.any()}


def _walls(view: View, plane: Plane, target: Raster, now: Moment) -> dict[str, tuple[float, float]]:
    """Septum and posterior wall on a line across the long axis, in the long-axis view."""
    if view is not View.PLAX:
        return {}
    level = np.array([0.0, 0.0, now.base + LEVEL_OF_WALLS * now.length])
    places = {
        "septum outer": now.radius + now.wall,
        "septum inner": now.radius,
        "posterior wall inner": -now.radius,
        "posterior wall outer": -(now.radius + now.wall),
    }
    return {name: target.pixel(*plane.project(level + TO_AORTA * far)) for name, far in places.items()}


def _other(rng: np.random.Generator, times: npt.NDArray[np.float64], size: int) -> SimulatedClip:
    frames, sector = others.render(rng, frames=len(times), size=size)
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
    )


def _on_screen(
    clip: SimulatedClip, screen: Screen, patient: Patient, rng: np.random.Generator
) -> SimulatedClip:
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
        landmarks={name: (row + top, col + left) for name, (row, col) in clip.landmarks.items()},
    )
