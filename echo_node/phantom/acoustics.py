"""From scatterers to grey levels: the beam, attenuation, haze, noise, compression.

Everything happens on a polar grid [A,L] (samples along a beam, beams). The pulse is narrow-band, so
its envelope is what a complex field of scatterers becomes after blurring by the point spread function;
speckle is then fully developed, with an envelope of mean over standard deviation 1.91 (Wagner RF et
al., IEEE Trans Sonics Ultrason 1983;30:156).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from echo_node.phantom.look import Look
from echo_node.phantom.planes import Plane

Array = Any  # of whichever array API namespace
Host = npt.NDArray[np.float64]

APERTURE_MM = 20.0
FWHM = 2.355  # full width at half maximum over standard deviation of a Gaussian
CELL_MM = 0.45  # one scatterer per cell of this edge: about ten per resolution cell
_TABLE = 1 << 18
_HAZE_SALT = 9
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Beams:
    """A polar grid over a plane, its point spread function, and all that stands still in a clip."""

    depth: Array  # [A,1] mm from the sector's tip
    points: Array  # [3,A,L] mm
    axial: Array  # [A,A]
    narrow: Array  # [L,L], in the focus
    wide: Array  # [L,L], away from it
    in_focus: Array  # [A,1], 0 to 1
    smooth: tuple[Array, Array]  # [A,A], [L,L]
    gain: Array  # [A,L] dB: compensation, shadows, dropout
    haze: Array  # [A,L] power of the near field's reverberation
    ground: Array  # [A,L] amplitude of what lies around the heart
    texture: Array  # [A,L] amplitude: patches of better and worse echo
    rough: Array  # [A,L] mm: trabeculae
    table: Array  # [2,N] scatterers: two quadratures of unit power


def beams(
    xp: Any, plane: Plane, look: Look, *, shape: tuple[int, int], rng: np.random.Generator, salt: int
) -> Beams:
    """Lay the grid.

    Parameters
    ----------
    xp : array namespace
        NumPy, or torch through array_api_compat.
    plane : Plane
        Its depth counts from the sector's tip.
    look : Look
        Machine and window.
    shape : (A, L)
        Samples along a beam, and beams.
    rng : numpy Generator
        Of the window's patches.
    salt : int
        Which scatterers the near field has.
    """
    count, lines = shape
    depth = np.linspace(look.near_mm, plane.depth, count)
    angle = np.linspace(-look.half_angle, look.half_angle, lines)
    way = np.cos(angle)[None] * plane.beam[:, None] + np.sin(angle)[None] * plane.right[:, None]  # [3,L]
    points = plane.origin[:, None, None] + depth[None, :, None] * way[:, None, :]  # [3,A,L]
    # Lateral width is wavelength times depth over aperture: the same angle at every depth.
    lateral = look.apodisation * look.wavelength_mm / APERTURE_MM / FWHM / (angle[1] - angle[0])
    pulse = look.pulse_mm / (depth[1] - depth[0])
    share = (depth - look.near_mm) / (plane.depth - look.near_mm)

    def to(host: Host) -> Array:
        return xp.asarray(np.asarray(host, np.float32))

    axial, wide = to(_blur(count, pulse, np.sqrt)), to(_blur(lines, lateral * look.defocus, np.sqrt).T)
    table = xp.asarray(_scatterers())
    places, reach = to(points), to(depth[:, None])
    clutter = hashed(xp, table, places, salt=salt + _HAZE_SALT)[0, ...]
    fading = 10 ** (look.haze_db / 10) * xp.exp(-2 * (reach - look.near_mm) / look.haze_mm)
    return Beams(
        depth=reach,
        points=places,
        axial=axial,
        narrow=to(_blur(lines, lateral, np.sqrt).T),
        wide=wide,
        in_focus=to(np.exp(-(((share - look.focus) / 0.35) ** 2))[:, None]),
        smooth=(to(_blur(count, look.smoothing, np.asarray)), to(_blur(lines, look.smoothing, np.asarray).T)),
        gain=to(_gain(look, share, angle / look.half_angle)),
        haze=xp.matmul(xp.matmul(axial, clutter), wide) ** 2 * fading,
        ground=to(_ground(look, depth - look.near_mm, lines, rng)),
        texture=to(10 ** (look.texture_db * smooth_noise(rng, shape, look.texture_scale) / 20)),
        rough=to(look.rough_mm * smooth_noise(rng, shape, 0.012)),
        table=table,
    )


def compressed(xp: Any, grid: Beams, echo: Array, look: Look, *, frame: int) -> Array:
    """Grey levels [A,L] in 0 to 1 of scatterers [2,A,L] that fill the grid.

    The beam blurs it, haze and noise are added, gain is applied and the logarithm is shown.
    """
    power = envelope_power(xp, grid, echo) + grid.haze
    growth = look.noise_growth_db * (grid.depth / float(grid.depth[-1, 0])) ** 2
    noise = 10 ** ((look.noise_db + growth) / 10) * _static(xp, grid, frame)
    decibel = 10 * xp.log10(power * 10 ** (grid.gain / 10) + noise + 1e-9)
    grey = xp.clip((decibel - look.white_db) / look.range_db + 1, 0.0, 1.0)
    if look.smoothing > 0.2:
        grey = xp.matmul(xp.matmul(grid.smooth[0], grey), grid.smooth[1])
    grey = grey + look.s_curve * (grey * grey * (3 - 2 * grey) - grey)
    return grey**look.gamma


def envelope_power(xp: Any, grid: Beams, echo: Array) -> Array:
    """Power [A,L] of the received envelope: an echo [2,A,L] blurred by the point spread function."""
    along = xp.matmul(grid.axial, echo)
    focused, spread = xp.matmul(along, grid.narrow), xp.matmul(along, grid.wide)
    both = spread + grid.in_focus * (focused - spread)
    return xp.sum(both * both, axis=0)


def hashed(xp: Any, table: Array, points: Array, *, salt: int) -> Array:
    """Scatterers [2,...] at points [3,...]: the same cell of space always holds the same one."""
    cells = xp.astype(xp.floor(points / CELL_MM), xp.int64)
    mixed = (cells[0, ...] * 73856093) ^ (cells[1, ...] * 19349663) ^ (cells[2, ...] * 83492791)
    mixed = (mixed ^ (salt * 2654435761)) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 739982445) & 0xFFFFFFFF
    mixed = mixed ^ (mixed >> 13)
    flat = xp.reshape(mixed & (_TABLE - 1), (-1,))
    return xp.reshape(xp.take(table, flat, axis=1), (2, *mixed.shape))


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Host:
    """A random field [A,L] of mean 0 and deviation 1 whose blobs are ``scale`` of the sector."""
    rows, cols = (_blur(n, max(0.6, scale * n), np.sqrt) for n in shape)
    field: Host = rows @ rng.standard_normal(shape) @ cols.T
    return field


def _static(xp: Any, grid: Beams, frame: int) -> Array:
    """Power of the electronics' noise [A,L], new in every frame."""
    count, lines = grid.gain.shape
    first = (frame * 7919 * lines + 13) % (_TABLE - count * lines)
    part = grid.table[:, first : first + count * lines]
    return xp.reshape(xp.sum(part * part, axis=0), (count, lines))


def _blur(count: int, sigma: float, norm: Any) -> Host:
    """Gaussian blur as a matrix [N,N]; ``norm`` sqrt keeps the power of noise, asarray its level."""
    index = np.arange(count)
    kernel = np.exp(-0.5 * ((index[:, None] - index[None]) / max(sigma, 0.35)) ** 2)
    kernel[kernel < _LEAST] = 0.0  # denormal numbers would make products many times slower
    total = (kernel**2).sum(1, keepdims=True) if norm is np.sqrt else kernel.sum(1, keepdims=True)
    matrix: Host = kernel / norm(total)
    return matrix


def _gain(look: Look, share: Host, side: Host) -> Host:
    """Gain [A,L] in dB over share of depth [A] and side of the sector [L] (-1 to 1)."""
    along = look.tilt_db * share + np.interp(share, np.linspace(0, 1, len(look.depth_db)), look.depth_db)
    across = np.interp(side, np.linspace(-1, 1, len(look.beam_db)), look.beam_db)
    for angle, width, loss in look.shadows:
        across = across - loss * np.exp(-(((side - angle) / width) ** 2))
    gain: Host = along[:, None] + across[None]
    for depth, angle, width, change in look.patches:
        off = ((share[:, None] - depth) ** 2 + 0.25 * (side[None] - angle) ** 2) / width**2
        gain = gain + change * np.exp(-off)
    return gain


def _ground(look: Look, reach: Host, lines: int, rng: np.random.Generator) -> Host:
    """Amplitude [A,L] around the heart over depth from the probe's face [A]: layers, then patches."""
    patches = 10 ** (2.0 * look.texture_db * smooth_noise(rng, (len(reach), lines), 0.1) / 20)
    layers = 10 ** (5.0 * smooth_noise(rng, (len(reach), 1), 0.02) / 20)
    edge = look.near_reach_mm * (1 + 0.15 * smooth_noise(rng, (4, lines), 0.3)[0])
    near = 1 / (1 + np.exp(np.clip((reach[:, None] - edge[None]) / (0.12 * look.near_reach_mm), -40, 40)))
    far_amplitude, near_amplitude = 10 ** (look.surroundings_db / 20), 10 ** (look.near_db / 20)
    ground: Host = far_amplitude * patches * (1 - near) + near_amplitude * layers * near
    return ground


@functools.cache
def _scatterers() -> npt.NDArray[np.float32]:
    """The table [2,N] that all bodies draw from: circular Gaussian with unit power in each part."""
    return np.random.default_rng(20261123).standard_normal((2, _TABLE), np.float32)
