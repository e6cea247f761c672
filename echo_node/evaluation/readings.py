"""Numbers beside their truth: one clip's, or one patient's two planes'."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from echo_node.codes import Quantity
from echo_node.evaluation.cases import Figure, Labels
from echo_node.measure.volumes import Disks, biplane_volume_ml
from echo_node.records import Measurement, NotMeasured

VOLUMES: Mapping[Quantity, Figure] = {
    Quantity.LVEF: Figure.EF,
    Quantity.LV_EDV: Figure.EDV,
    Quantity.LV_ESV: Figure.ESV,
}
WALLS: Mapping[Quantity, Figure] = {
    Quantity.IVSD: Figure.IVSD,
    Quantity.LVIDD: Figure.LVIDD,
    Quantity.LVPWD: Figure.LVPWD,
    Quantity.LVIDS: Figure.LVIDS,
}


class Way(enum.Enum):
    """How a number came about."""

    BIPLANE = "disks, biplane"
    A4C = "disks, A4C"
    A2C = "disks, A2C"
    HEAD = "EF head"
    LABELLED_BIPLANE = "disks, biplane, on the labelled frames"
    LABELLED = "disks, one plane, on the labelled frames"
    LABELLED_ED = "on the labelled ED frame"
    OWN = "as the node measures"
    LABELLED_ES = "on the labelled ES frame"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was found beside what is true."""

    labels: Labels
    figure: Figure
    way: Way
    true: float
    found: float | None  # None: not measured
    reason: str = ""  # why not

    @property
    def error(self) -> float:
        """Found less true, of what was measured."""
        assert self.found is not None, "nothing was measured"
        return self.found - self.true


def from_measurements(
    labels: Labels,
    way: Way,
    measured: Sequence[Measurement],
    missing: Sequence[NotMeasured],
    *,
    of: Mapping[Quantity, Figure] = VOLUMES,
) -> tuple[Reading, ...]:
    """What the node measures in one way, and what it does not, as far as it is labelled."""
    values = {of[m.quantity]: m.value for m in measured if m.quantity in of}
    reasons = {of[n.quantity]: n.reason.code.meaning for n in missing if n.quantity in of}
    return from_values(labels, way, {f: values.get(f) for f in of.values()}, reasons)


def from_disks(
    labels: Labels, way: Way, planes: Sequence[tuple[Disks, Disks]], *, calibrated: bool
) -> tuple[Reading, ...]:
    """EF, EDV and ESV of one plane's or two planes' disks at the labelled ED and ES."""
    edv, esv = (biplane_volume_ml(planes[0][phase], planes[-1][phase]) for phase in (0, 1))
    values = {Figure.EF: 100 * (edv - esv) / edv}
    if calibrated:
        values |= {Figure.EDV: edv, Figure.ESV: esv}
    return from_values(labels, way, values, {})


def from_values(
    labels: Labels, way: Way, found: Mapping[Figure, float | None], reasons: Mapping[Figure, str]
) -> tuple[Reading, ...]:
    """One reading of each figure that is labelled."""
    return tuple(
        Reading(
            labels=labels,
            figure=figure,
            way=way,
            true=labels.values[figure],
            found=value,
            reason=reasons.get(figure, ""),
        )
        for figure, value in found.items()
        if figure in labels.values
    )
