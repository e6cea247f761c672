"""The heart as a field of scatterers: tissue, blood, and borders that shine when they lie across the beam."""

from __future__ import annotations

from typing import Any

from echo_node.phantom.acoustics import Array, Beams, hashed
from echo_node.phantom.anatomy import Fields
from echo_node.phantom.heart import Moment
from echo_node.phantom.look import Look

_BLOOD_STEP_MM = 977.0  # blood is new in every frame: it has moved by more than any cell
_WALL = 0.7  # amplitude of thin walls against myocardium
_LEAFLET_MM, _ANNULUS_MM, _SAC_MM, _OPEN_MM, _SEPTUM_MM = 0.9, 2.4, 1.6, 6.0, 4.0
# Border: half width in mm, strength
_BORDERS = {
    "endocardium": (1.0, 0.7),
    "epicardium": (1.2, 0.9),
    "rv": (1.0, 0.7),
    "la": (1.1, 0.9),
    "ra": (1.1, 0.9),
    "aorta": (1.1, 1.2),
    "arch": (1.1, 1.0),
    "trunk": (1.0, 0.9),
    "cava": (0.9, 0.8),
}
_WALL_MM = {"rv": 4.5, "la": 3.0, "ra": 3.0, "aorta": 2.5, "arch": 2.2, "trunk": 2.0, "cava": 1.6}
_LOSSES = {"la": "atrial_db", "ra": "atrial_db"} | dict.fromkeys(("arch", "trunk", "cava"), "vessels_db")
_CHORD_MM, _CHORD = 0.7, 0.45


def heart_echo(
    xp: Any, grid: Beams, points: Array, solids: Fields, now: Moment, look: Look, *, frame: int, salt: int
) -> Array:
    """The scatterers [2,A,L] of the heart at one moment; ``points`` [3,A,L] are its own mm."""
    incidence = {name: _square(xp, grid, getattr(solids, name)) for name in _BORDERS}
    is_muscle = (solids.papillary < 0) & (solids.endocardium < 0)
    blood, septum = solids.blood(xp, grid.rough), _atrial_septum(xp, points, solids, now, look, incidence)
    tissue, blood_level = 10 ** (look.tissue_db / 20), 10 ** (look.blood_db / 20)
    solid = xp.clip(tissue * septum * _bulk(xp, grid, solids, look, incidence), blood_level, 1e3)
    level = xp.where(blood, blood_level, solid)
    borders = septum * _borders(xp, points, solids, now, look, incidence)
    borders = xp.where(blood & (_within(xp, solids) < -1.5), 0.0, borders)
    level = xp.where(is_muscle, 0.8 * tissue * 10 ** (look.muscle_db / 20), level) + tissue * borders
    leaflets = _near(xp, solids.leaflets, _LEAFLET_MM) * (0.35 + 0.65 * _square(xp, grid, solids.leaflets))
    leaflets = leaflets + _CHORD * _near(xp, solids.chords, _CHORD_MM)
    amplitude = grid.texture * (level + tissue * look.leaflet * leaflets)
    body = _material(xp, points, solids, now, flow=xp.where(blood, frame * _BLOOD_STEP_MM, 0.0))
    return amplitude * hashed(xp, grid.table, body, salt=salt)


def _square(xp: Any, grid: Beams, field: Array) -> Array:
    """How squarely the beam meets a field's surfaces [A,L]: the cosine of incidence, 0 to 1.

    It is the derivative along the beam, since fields are near to distances.
    """
    step = float(grid.depth[1, 0] - grid.depth[0, 0])
    inner = xp.clip(xp.abs(field[2:, :] - field[:-2, :]) / (2 * step), 0.0, 1.0)
    return xp.concat([inner[:1, :], inner, inner[-1:, :]], axis=0)


def _within(xp: Any, solids: Fields) -> Array:
    """How deep in blood a point lies [A,L], negative: vessels that join have no border between them."""
    right = xp.minimum(xp.minimum(solids.ra, solids.cava), xp.minimum(solids.rv, solids.trunk))
    return xp.minimum(right, xp.minimum(solids.aorta, solids.arch))


def _near(xp: Any, field: Array, width: float) -> Array:
    return xp.exp(-((field / width) ** 2))


def _bulk(xp: Any, grid: Beams, solids: Fields, look: Look, incidence: dict[str, Array]) -> Array:
    """Amplitude [A,L] of tissue, as if there were no blood."""
    hull = xp.minimum(xp.minimum(solids.epicardium, solids.rv), xp.minimum(solids.la, solids.ra))
    hull = xp.clip(hull, 0.0, 1e3)
    level = grid.ground + 10 ** (look.rim_db / 20) * xp.exp(-hull / look.rim_mm)
    for name, thick in _WALL_MM.items():
        field = getattr(solids, name)
        wall = _WALL * _kept(name, look) * (0.25 + 0.75 * incidence[name])  # lost where the beam runs along it
        level = xp.where((field >= 0) & (field < thick), xp.maximum(wall, level), level)
    # Fibres run around the ventricle: their echo is best where the beam meets the wall square on.
    muscle = 10 ** (look.muscle_db / 20) * (1 - look.fibre * (1 - incidence["epicardium"]))
    return xp.where(solids.epicardium < 0, muscle, level)


def _borders(xp: Any, points: Array, solids: Fields, now: Moment, look: Look, incidence: dict[str, Array]) -> Array:
    """Amplitude [A,L] of specular borders, pericardium and annulus."""
    total = 0 * solids.endocardium
    up = (points[2, ...] - now.base) / _OPEN_MM  # no border where a chamber is open to the next
    ventricular, atrial = xp.clip(up, 0.0, 1.0), xp.clip(-up, 0.0, 1.0)
    place = {
        "endocardium": ventricular,
        "epicardium": ventricular,
        "rv": ventricular,
        "la": atrial,
        "ra": atrial,
    }
    for name, (width, strength) in _BORDERS.items():
        square = incidence[name]
        shine = strength * _kept(name, look) * look.specular * square * square * square
        total = total + shine * _near(xp, getattr(solids, name), width) * place.get(name, 1.0)
    free_wall = (solids.rv > 6) & (points[2, ...] > now.base - 12)
    sac = 10 ** (look.pericardium_db / 20) * _near(xp, solids.epicardium - 1.5, _SAC_MM)
    total = total + xp.where(free_wall, sac * (0.1 + 0.6 * incidence["epicardium"] ** 2), 0.0)
    atria = xp.minimum(solids.la, solids.ra)
    across = xp.where(solids.la < solids.ra, incidence["la"], incidence["ra"])
    back = 10 ** (look.back_db / 20) * _near(xp, atria - 2.5, _SAC_MM)
    total = total + xp.where(points[2, ...] < now.base - 8, back * across**2, 0.0)
    return total + look.annulus * _near(xp, solids.annulus, _ANNULUS_MM)


def _kept(name: str, look: Look) -> float:
    """Amplitude of a thin wall against others, 0 to 1."""
    return 10 ** (getattr(look, _LOSSES[name]) / 20) if name in _LOSSES else 1.0


def _atrial_septum(
    xp: Any, points: Array, solids: Fields, now: Moment, look: Look, incidence: dict[str, Array]
) -> Array:
    """Amplitude [A,L] that is left between the atria, the less the more the beam runs along; 1 elsewhere."""
    between = (solids.la < _SEPTUM_MM) & (solids.ra < _SEPTUM_MM)
    behind = xp.clip((now.base - points[2, ...] - look.septum_mm) / _OPEN_MM, 0.0, 1.0)
    along = 1 - xp.minimum(incidence["la"], incidence["ra"]) ** 2
    return xp.where(between, 1 - along * behind * (1 - 10 ** (look.septum_db / 20)), 1.0)


def _material(xp: Any, points: Array, solids: Fields, now: Moment, *, flow: Array) -> Array:
    """Where the tissue at each point lies at end diastole [3,A,L] mm: speckle rides on it."""
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
