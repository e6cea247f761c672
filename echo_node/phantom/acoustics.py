"""From solids to echoes: scatterers, borders, the beam, attenuation, noise, compression.

Everything happens on a polar grid [A,L] (samples along a beam, beams). The pulse is narrow-band, so
its envelope is what a complex field of scatterers becomes after blurring by the point spread function;
speckle is then fully developed, with an envelope of mean over standard deviation 1.91 (Wagner RF et
al., IEEE Trans Sonics Ultrason 1983;30:156).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from echo_node.phantom.anatomy import Array, Fields
from echo_node.phantom.heart import Moment

APERTURE_MM = 20.0
FWHM = 2.355  # full width at half maximum over standard deviation of a Gaussian
CELL_MM = 0.45  # one scatterer per cell of this edge: about ten per resolution cell
NEAREST_MM = 2.0  # the first sample
_TABLE = 1 << 18
_BLOOD_STEP_MM = 977.0  # blood is new in every frame: it has moved by more than any cell
_BORDERS = (("endocardium", 1.2, 1.0), ("epicardium", 1.3, 1.2), ("rv", 1.0, 0.8), ("la", 1.0, 1.0),
            ("ra", 1.0, 0.8), ("aorta", 1.1, 1.4))  # fmt: skip  # width in mm, strength
_WALLS = (("rv", 4.5), ("la", 3.0), ("ra", 3.0), ("aorta", 2.5))  # thickness in mm
_CAVITIES = ("endocardium", "la", "rv", "ra", "aorta")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a machine, its settings and the window make the picture: one draw of all that varies."""

    half_angle: float  # radians
    blood_db: float  # against myocardium
    surroundings_db: float
    pericardium_db: float
    specular: float  # of borders that lie across the beam, against speckle
    fibre: float  # loss of myocardium's echo where the beam runs along the wall, 0 to 1
    wavelength_mm: float
    pulse_mm: float  # axial standard deviation
    focus: float  # share of the depth
    defocus: float  # how much wider the beam is away from it
    gain_db: float  # what is shown as white
    range_db: float  # from white to black
    gamma: float
    tilt_db: float  # of time-gain compensation that does not fit, over the depth
    depth_db: tuple[float, ...]  # its wobble
    beam_db: tuple[float, ...]  # across the sector
    shadows: tuple[tuple[float, float, float], ...]  # angle, width (share of the half angle), dB
    patches: tuple[tuple[float, float, float, float], ...]  # depth, side, width (shares), dB: dropout
    rear_db: float  # tissue behind the atria, against myocardium
    rear_mm: float  # its thickness
    haze_db: float  # reverberation in the near field
    haze_mm: float
    noise_db: float  # of the electronics at the skin; it grows with depth
    smoothing: float  # of speckle, samples
    persistence: float  # share of the frame before


def sample_look(rng: np.random.Generator) -> Look:
    """A machine and a window, from excellent to poor."""
    u, n = rng.uniform, rng.normal
    shadows = tuple(
        (float(rng.choice([-1, 1]) * u(0.4, 1.0)), float(u(0.05, 0.3)), float(u(4, 25)))
        for _ in range(rng.integers(0, 4))
    )
    patches = tuple(
        (float(u(0.1, 1)), float(u(-1, 1)), float(u(0.1, 0.4)), float(u(-20, 5)))
        for _ in range(rng.integers(0, 7))
    )
    return Look(
        half_angle=float(np.deg2rad(u(30, 47))),
        blood_db=-float(u(20, 32)),
        surroundings_db=-float(u(6, 36)),
        pericardium_db=float(u(4, 15)),
        specular=float(u(0.6, 3.2)),
        fibre=float(u(0.2, 0.8)),
        wavelength_mm=float(u(0.4, 0.75)),
        pulse_mm=float(u(0.45, 1.1)),
        focus=float(u(0.35, 0.75)),
        defocus=float(u(1.3, 2.4)),
        gain_db=float(u(10, 31)),
        range_db=float(u(45, 70)),
        gamma=float(u(0.75, 1.5)),
        tilt_db=float(u(-14, 6)),
        depth_db=tuple(float(v) for v in n(0, 3, 7)),
        beam_db=tuple(float(v) for v in n(0, 3.5, 6) - u(0, 18) * np.array([1, 0.3, 0, 0, 0.3, 1])),
        patches=patches,
        rear_db=float(u(-12, 8)),
        rear_mm=float(u(3, 14)),
        shadows=shadows,
        haze_db=float(u(-30, 4)),
        haze_mm=float(u(8, 32)),
        noise_db=float(u(-52, -30)),
        smoothing=float(u(0.0, 1.3)),
        persistence=float(u(0.0, 0.4)),
    )


@dataclass(frozen=True, slots=True)
class Beams:
    """A polar grid over a plane and the matrices of its point spread function."""

    depth: Array  # [A,1] mm
    angle: npt.NDArray[np.float64]  # [L] radians
    points: Array  # [3,A,L] heart coordinates
    axial: Array  # [A,A]
    narrow: Array  # [L,L], in the focus
    wide: Array  # [L,L], away from it
    in_focus: Array  # [A,1], 0 to 1
    smooth: tuple[Array, Array]  # [A,A], [L,L]
    gain: Array  # [A,L] dB: compensation, shadows
    table: Array  # complex scatterers


def beams(xp: Any, plane: Any, look: Look, *, shape: tuple[int, int]) -> Beams:
    """Lay the grid.

    Parameters
    ----------
    xp : array namespace
    plane : Plane
    look : Look
    shape : (A, L)
        Samples along a beam, and beams.
    """
    count, lines = shape
    depth = np.linspace(NEAREST_MM, plane.depth, count)
    angle = np.linspace(-look.half_angle, look.half_angle, lines)
    way = np.cos(angle)[None] * plane.beam[:, None] + np.sin(angle)[None] * plane.right[:, None]  # [3,L]
    points = plane.origin[:, None, None] + depth[None, :, None] * way[:, None, :]  # [3,A,L]
    # Lateral width is wavelength times depth over aperture: the same angle at every depth.
    lateral = 2 * look.wavelength_mm / APERTURE_MM / FWHM / (angle[1] - angle[0])
    pulse = look.pulse_mm / (depth[1] - depth[0])
    share = depth / plane.depth
    to = lambda a: xp.asarray(np.asarray(a, np.float32))  # noqa: E731
    return Beams(
        depth=to(depth[:, None]),
        angle=angle,
        points=to(points),
        axial=to(_blur(count, pulse, np.sqrt)),
        narrow=to(_blur(lines, lateral, np.sqrt).T),
        wide=to(_blur(lines, lateral * look.defocus, np.sqrt).T),
        in_focus=to(np.exp(-(((share - look.focus) / 0.35) ** 2))[:, None]),
        smooth=(to(_blur(count, look.smoothing, np.asarray)), to(_blur(lines, look.smoothing, np.asarray).T)),
        gain=to(_gain(look, share, angle / look.half_angle)),
        table=xp.asarray(_scatterers()),
    )


def compressed(xp: Any, grid: Beams, echo: Array, look: Look, *, frame: int, salt: int) -> Array:
    """Grey levels [A,L] in 0 to 1 of a complex scatterer field that fills the grid.

    The beam blurs it, haze and noise are added, gain is applied and the logarithm is shown.
    """
    field = xp.matmul(grid.axial, echo.real), xp.matmul(grid.axial, echo.imag)
    power = 0.0
    for part in field:
        focused, spread = xp.matmul(part, grid.narrow), xp.matmul(part, grid.wide)
        power = power + (grid.in_focus * focused + (1 - grid.in_focus) * spread) ** 2
    clutter = hashed(xp, grid, grid.points, salt=salt + 9)
    haze = xp.matmul(xp.matmul(grid.axial, clutter.real), grid.wide) ** 2
    power = power + haze * 10 ** (look.haze_db / 10) * xp.exp(-2 * grid.depth / look.haze_mm)
    decibel = 10 * xp.log10(power + 1e-9) + grid.gain
    static = hashed(xp, grid, grid.points, salt=salt + 31 * (frame + 1))
    growth = 12 * grid.depth / float(grid.depth[-1, 0])
    noise = 10 ** ((look.noise_db + growth) / 10) * (static.real**2 + static.imag**2)
    decibel = 10 * xp.log10(10 ** (decibel / 10) + noise)
    grey = xp.clip((decibel - look.gain_db) / look.range_db + 1, 0.0, 1.0) ** look.gamma
    if look.smoothing > 0.2:
        grey = xp.matmul(xp.matmul(grid.smooth[0], grey), grid.smooth[1])
    return grey


def heart_echo(
    xp: Any, grid: Beams, solids: Fields, now: Moment, look: Look, *, frame: int, salt: int
) -> Array:
    """The complex scatterer field [A,L] of the heart at one moment."""
    amplitude = _speckle_amplitude(xp, grid, solids, look) + _specular_amplitude(xp, grid, solids, now, look)
    blood = solids.endocardium < 0
    for name in _CAVITIES[1:]:
        blood = blood | (getattr(solids, name) < 0)
    body = _material(xp, grid.points, solids, now, flow=xp.where(blood, frame * _BLOOD_STEP_MM, 0.0))
    return amplitude * hashed(xp, grid, body, salt=salt)


def hashed(xp: Any, grid: Beams, points: Array, *, salt: int) -> Array:
    """Scatterers at points [3,...]: the same cell of space always holds the same one."""
    cells = xp.astype(xp.floor(points / CELL_MM), xp.int64)
    mixed = (cells[0, ...] * 73856093) ^ (cells[1, ...] * 19349663) ^ (cells[2, ...] * 83492791)
    mixed = (mixed ^ (salt * 2654435761)) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 739982445) & 0xFFFFFFFF
    mixed = mixed ^ (mixed >> 13)
    flat = xp.reshape(mixed & (_TABLE - 1), (-1,))
    return xp.reshape(xp.take(grid.table, flat, axis=0), mixed.shape)


def _speckle_amplitude(xp: Any, grid: Beams, solids: Fields, look: Look) -> Array:
    wall = 10 ** (-3 / 20)
    level = 0 * solids.endocardium + 10 ** (look.surroundings_db / 20)
    behind = xp.minimum(solids.la, solids.ra)
    is_rear = (behind > 0) & (behind < look.rear_mm) & (solids.epicardium > 4)
    level = xp.where(is_rear, 10 ** (look.rear_db / 20), level)
    for name, thickness in _WALLS:
        field = getattr(solids, name)
        level = xp.where((field > 0) & (field < thickness), wall, level)
    # Fibres run around the ventricle: their echo is best where the beam meets the wall square on.
    square = xp.abs(_along_beam(xp, grid, solids.epicardium))
    level = xp.where(solids.epicardium < 0, 1 - look.fibre * (1 - xp.clip(square, 0.0, 1.0)), level)
    for name in _CAVITIES:
        level = xp.where(getattr(solids, name) < 0, 10 ** (look.blood_db / 20), level)
    return xp.where((solids.papillary < 0) & (solids.endocardium < 0), 0.8, level)


def _specular_amplitude(xp: Any, grid: Beams, solids: Fields, now: Moment, look: Look) -> Array:
    """Borders and leaflets: bright across the beam, gone along it."""
    total = 0 * solids.endocardium
    for name, width, strength in _BORDERS:
        field = getattr(solids, name)
        incidence = xp.abs(_along_beam(xp, grid, field))
        total = (
            total
            + strength * look.specular * xp.exp(-((field / width) ** 2)) * xp.clip(incidence, 0.0, 1.0) ** 3
        )
    free_wall = (grid.points[0, ...] > -0.3 * now.radius) & (grid.points[2, ...] > now.base - 15)
    incidence = xp.clip(xp.abs(_along_beam(xp, grid, solids.epicardium)), 0.0, 1.0)
    sac = 10 ** (look.pericardium_db / 20) * xp.exp(-(((solids.epicardium - 1.5) / 1.5) ** 2))
    total = total + xp.where(free_wall, sac * (0.1 + 0.5 * incidence**2), 0.0)
    leaflet = xp.abs(_along_beam(xp, grid, solids.leaflets))
    return total + (0.5 + xp.clip(leaflet, 0.0, 1.0)) * xp.exp(-((solids.leaflets / 1.1) ** 2))


def _along_beam(xp: Any, grid: Beams, field: Array) -> Array:
    """Derivative along the beam [A,L]: the cosine of incidence, since fields are near to distances."""
    step = float(grid.depth[1, 0] - grid.depth[0, 0])
    inner = (field[2:, :] - field[:-2, :]) / (2 * step)
    return xp.concat([inner[:1, :], inner, inner[-1:, :]], axis=0)


def _material(xp: Any, points: Array, solids: Fields, now: Moment, *, flow: Array) -> Array:
    """Where the tissue at each point lies at end diastole: speckle rides on it."""
    x, y, z = points[0, ...], points[1, ...], points[2, ...]
    radius = xp.sqrt(x * x + y * y) + 1e-3
    in_wall = solids.epicardium < 1
    at_rest = now.radius_ed + (radius - now.radius) / now.wall * now.patient.wall_mm
    scale = xp.where(in_wall, at_rest / radius, 1.0)
    height = (z - now.base) / now.length
    turn = xp.where(in_wall, now.twist * xp.clip(height, 0.0, 1.0), 0.0)
    cos, sin = xp.cos(turn), xp.sin(turn)
    rest = xp.where(in_wall, height * now.length_ed, z - 0.8 * now.base)
    return xp.stack([(x * cos - y * sin) * scale, (x * sin + y * cos) * scale, rest + flow])


def _blur(count: int, sigma: float, norm: Any) -> npt.NDArray[np.float64]:
    """Gaussian blur as a matrix [N,N]; ``norm`` sqrt keeps the power of noise, asarray its level."""
    index = np.arange(count)
    kernel = np.exp(-0.5 * ((index[:, None] - index[None]) / max(sigma, 0.35)) ** 2)
    total = (kernel**2).sum(1, keepdims=True) if norm is np.sqrt else kernel.sum(1, keepdims=True)
    matrix: npt.NDArray[np.float64] = kernel / norm(total)
    return matrix


def _gain(
    look: Look, share: npt.NDArray[np.float64], side: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Gain [A,L] in dB over share of depth [A] and side of the sector [L] (-1 to 1)."""
    along = look.tilt_db * share + np.interp(share, np.linspace(0, 1, len(look.depth_db)), look.depth_db)
    across = np.interp(side, np.linspace(-1, 1, len(look.beam_db)), look.beam_db)
    for angle, width, loss in look.shadows:
        across = across - loss * np.exp(-(((side - angle) / width) ** 2))
    gain: npt.NDArray[np.float64] = along[:, None] + across[None]
    for depth, angle, width, change in look.patches:
        off = ((share[:, None] - depth) ** 2 + 0.25 * (side[None] - angle) ** 2) / width**2
        gain = gain + change * np.exp(-off)
    return gain


def _scatterers() -> npt.NDArray[np.complex64]:
    """The table that all bodies draw from: circular Gaussian with unit power in each part."""
    rng = np.random.default_rng(20261123)
    return (rng.standard_normal(_TABLE) + 1j * rng.standard_normal(_TABLE)).astype(np.complex64)
