"""The great vessels: where their middles run, and their distance fields.

The aortic root rises from the front and right of the annulus; the right ventricle's outflow tract crosses
in front of it to the left, where the pulmonary trunk begins; the arch bends over the right pulmonary
artery to the descending aorta behind the left atrium; the inferior vena cava comes up to the right atrium.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from echo_node.phantom.heart import Moment
from echo_node.phantom.shapes import FAR, Array, Host, about, tube

# From the LV axis towards the aortic root: front and right, where the long-axis planes run.
TO_AORTA = np.array([-0.5, 0.866, 0.0])
TO_RV = np.array([-0.93, 0.37])  # from the LV axis, in x and y
TO_LEFT = np.array([0.866, 0.5, 0.0])  # across both, to the patient's left
SUPERIOR = np.array([0.62, 0.72, -0.3]) / np.linalg.norm([0.62, 0.72, -0.3])  # to the patient's head
ROOT_WAY = (TO_AORTA * 0.3 + np.array([0.0, 0.0, -1.0])) / np.linalg.norm([0.3, 1.0])
VALVE_MM = 6.0  # from the root's start to where the aortic cusps meet
_CUSPS_DEG = (90.0, 210.0, 330.0)  # commissural lines around the root
_OUTFLOW_SHARE, _TRUNK_SHARE, _CAVA_SHARE = 0.36, 0.34, 0.28  # radius over the aortic root's width
_PULMONARY_DEG = 52.0  # where around the root the pulmonary valve lies
_ARCH_RISE_MM = 26.0


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the middles of vessels run [K,3] mm, and their radii."""

    root: Host  # [3], where the aortic root starts
    root_radius: float
    outflow: tuple[Host, ...]
    outflow_radius: float
    trunk: tuple[Host, ...]
    right_pulmonary: tuple[Host, ...]
    trunk_radius: float
    pulmonary_valve: Host  # [3]
    pulmonary_way: Host  # [3]
    arch: tuple[Host, ...]
    descending: tuple[Host, ...]
    cava: tuple[Host, ...]
    hepatic: tuple[Host, ...]
    cava_radius: float


@dataclass(frozen=True, slots=True)
class Vessels:
    """Distance fields [...]."""

    aorta: Array  # root and ascending part
    arch: Array  # arch, its branches and the descending part
    outflow: Array  # of the right ventricle
    trunk: Array  # pulmonary trunk and right pulmonary artery
    cava: Array  # inferior vena cava and a hepatic vein
    cusps: Array  # of the aortic and the pulmonary valve, unsigned


def paths(now: Moment) -> Paths:
    """The vessels' courses at a moment of the beat."""
    root = TO_AORTA * 0.88 * now.radius_ed + np.array([0.0, 0.0, now.base])
    width = now.patient.aortic_root_mm
    outward = TO_AORTA - ROOT_WAY * float(TO_AORTA @ ROOT_WAY)
    outward = outward / np.linalg.norm(outward)
    left = np.cross(outward, ROOT_WAY)
    left = left * np.sign(left[0])
    radius = _OUTFLOW_SHARE * width
    reach = 0.5 * width + radius + 2.5

    def around(degrees: float, along: float, share: float = 1.0) -> Host:
        turn = np.deg2rad(degrees)
        place: Host = root + ROOT_WAY * along + share * reach * (np.cos(turn) * outward + np.sin(turn) * left)
        return place

    body = np.array([*(TO_RV * 0.95 * now.epicardial_radius_ed), now.base + 0.2 * now.length])
    valve = around(_PULMONARY_DEG, 11)
    fork = around(116, 30, 1.15)
    top = root + ROOT_WAY * 58
    # behind the left atrium, below the arch
    behind = -TO_AORTA * (now.epicardial_radius_ed + 15) + np.array([0.0, 0.0, -22.0])
    above = behind + np.array([0.5, 0.85, -0.75]) * 34
    crown = (top + above) / 2 + SUPERIOR * _ARCH_RISE_MM
    ra = np.array([-(now.radius + now.wall) - 12.0, 0.0, now.base - 24.0])
    inferior = -SUPERIOR + np.array([-0.05, -0.25, 0.1])
    return Paths(
        root=root,
        root_radius=0.5 * width,
        outflow=(body, around(-62, -7), around(-20, 0), around(18, 5), valve),
        outflow_radius=radius,
        trunk=(valve, around(80, 19), fork, fork + TO_LEFT * 22 - TO_AORTA * 14),
        right_pulmonary=(fork, around(180, 34, 1.05), around(232, 36, 1.3)),
        trunk_radius=_TRUNK_SHARE * width,
        pulmonary_valve=valve,
        pulmonary_way=around(66, 15) - around(40, 8),
        arch=(root + ROOT_WAY * 40, top, 0.72 * top + 0.28 * above + SUPERIOR * 0.8 * _ARCH_RISE_MM, crown,
              0.28 * top + 0.72 * above + SUPERIOR * 0.8 * _ARCH_RISE_MM, above, behind),
        descending=(behind, behind - np.array([0.78, 0.5, -0.25]) * 90),
        cava=(ra, ra + inferior * 45, ra + inferior * 130),
        hepatic=(ra + inferior * 34, ra + inferior * 62 + np.array([-0.35, 0.55, 0.75]) * 40),
        cava_radius=_CAVA_SHARE * width,
    )  # fmt: skip


def vessels(xp: Any, x: Array, y: Array, z: Array, now: Moment) -> Vessels:
    """All vessels' fields at a moment of the beat."""
    way = paths(now)
    aorta, cusps = _root(xp, x, y, z, now, way)
    arch = tube(xp, x, y, z, way.arch, 0.86 * way.root_radius)
    arch = xp.minimum(arch, tube(xp, x, y, z, way.descending, 0.72 * way.root_radius))
    for place in way.arch[2:5]:
        arch = xp.minimum(arch, tube(xp, x, y, z, (place, place + SUPERIOR * 40), 0.27 * way.root_radius))
    trunk = tube(xp, x, y, z, way.trunk, way.trunk_radius)
    trunk = xp.minimum(trunk, tube(xp, x, y, z, way.right_pulmonary, 0.72 * way.trunk_radius))
    trunk = xp.maximum(trunk, 2.0 - aorta)
    cava = tube(xp, x, y, z, way.cava, way.cava_radius)
    return Vessels(
        aorta=aorta,
        arch=arch,
        outflow=xp.maximum(tube(xp, x, y, z, way.outflow, way.outflow_radius), 2.0 - aorta),
        trunk=trunk,
        cava=xp.minimum(cava, tube(xp, x, y, z, way.hepatic, 0.45 * way.cava_radius)),
        cusps=xp.minimum(cusps, _pulmonary(xp, x, y, z, now, way)),
    )


def _root(xp: Any, x: Array, y: Array, z: Array, now: Moment, way: Paths) -> tuple[Array, Array]:
    """Root and ascending aorta: a tube from the outflow tract, wider at its sinuses; and its cusps."""
    along, across = about(xp, x, y, z, way.root, ROOT_WAY)
    radius = way.root_radius * (0.9 + 0.15 * xp.exp(-(((along - 12) / 7) ** 2)))
    column = xp.maximum(xp.maximum(across - radius, -2 - along), along - 58)
    if now.in_systole:
        cusps = xp.abs(across - 0.85 * radius) + xp.clip(xp.abs(along - 10) - 6, 0.0, FAR)
    else:  # the cusps meet in the middle, nearer to the heart, and along three lines from there
        belly = xp.abs(along - VALVE_MM + 1 - 0.25 * across)
        cusps = xp.minimum(belly, _commissures(xp, x, y, z, along, way))
    return column, xp.where(across < radius, cusps, FAR)


def _commissures(xp: Any, x: Array, y: Array, z: Array, along: Array, way: Paths) -> Array:
    """Distance to the three lines of a shut aortic valve, as its short axis shows them."""
    outward = TO_AORTA - ROOT_WAY * float(TO_AORTA @ ROOT_WAY)
    left = np.cross(outward, ROOT_WAY)
    u, v = (
        (x - float(way.root[0])) * float(d[0])
        + (y - float(way.root[1])) * float(d[1])
        + (z - float(way.root[2])) * float(d[2])
        for d in (outward / np.linalg.norm(outward), left / np.linalg.norm(left))
    )
    nearest = 0 * x + FAR
    for turn in np.deg2rad(_CUSPS_DEG):
        ahead = u * float(np.cos(turn)) + v * float(np.sin(turn))
        aside = xp.abs(v * float(np.cos(turn)) - u * float(np.sin(turn)))
        nearest = xp.minimum(nearest, xp.where(ahead > 0, aside, FAR))
    return nearest + xp.clip(xp.abs(along - VALVE_MM - 1) - 4, 0.0, FAR)


def _pulmonary(xp: Any, x: Array, y: Array, z: Array, now: Moment, way: Paths) -> Array:
    """The pulmonary valve: a line across its trunk while it is shut, along its walls while it is open."""
    along, across = about(xp, x, y, z, way.pulmonary_valve, way.pulmonary_way)
    radius = way.trunk_radius
    shut = xp.abs(along - 3 + 0.3 * across)
    opened = xp.abs(across - 0.85 * radius) + xp.clip(xp.abs(along - 4) - 5, 0.0, FAR)
    return xp.where(across < radius, opened if now.in_systole else shut, FAR)
