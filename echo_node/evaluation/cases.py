"""A labelled clip. What is not known of it is None, or not there."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from echo_node.codes import View
from echo_node.errors import LabelError
from echo_node.records import Clip, Landmarks, Segmentation

REDUCED_TO, PRESERVED_FROM = 40.0, 50.0  # EF in percent (ESC heart failure guideline 2021, table 3)
EF_BANDS = ("reduced (to 40 %)", "mildly reduced (41 to 49 %)", "preserved (from 50 %)")
QUALITIES = ("good", "fair", "poor")


class Part(enum.Enum):
    """What labelled clips are for; the value is as tables write it."""

    TRAIN = "train"
    VAL = "val"  # to set what is not learned by: there may be none
    TEST = "test"


class Figure(enum.Enum):
    """What is measured: its short name and unit."""

    EF = "EF", "%"
    EDV = "EDV", "ml"
    ESV = "ESV", "ml"
    IVSD = "IVSd", "mm"
    LVIDD = "LVIDd", "mm"
    LVPWD = "LVPWd", "mm"
    LVIDS = "LVIDs", "mm"
    ED_FRAME = "ED", "frames"
    ES_FRAME = "ES", "frames"

    @property
    def label(self) -> str:
        """As readers write it."""
        return self.value[0]

    @property
    def unit(self) -> str:
        """Of its values; errors of EF are points."""
        return self.value[1]


WALLS = (Figure.IVSD, Figure.LVIDD, Figure.LVPWD)


class Axis(enum.Enum):
    """By what clips are grouped."""

    QUALITY = "quality"
    SCREEN = "vendor look: screen"
    MARKS = "vendor look: depth marks"
    EF_BAND = "EF band"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What is true of a clip, but for its pixels."""

    patient: str  # clips of one patient are not independent of each other
    view: View | None = None  # OTHER: no heart is shown
    kind: str | None = None  # of a picture without a heart
    values: Mapping[Figure, float] = field(default_factory=dict)
    ed_frame: int | None = None  # frame number
    es_frame: int | None = None
    ed_frames: tuple[int, ...] = ()  # of every beat, where all are known
    es_frames: tuple[int, ...] = ()
    groups: Mapping[Axis, str] = field(default_factory=dict)

    @property
    def shows_heart(self) -> bool:
        """False for what is labelled as no heart."""
        return self.view is not View.OTHER

    def group(self, axis: Axis) -> str | None:
        """The clip's group along an axis, or None."""
        return ef_band(self.values.get(Figure.EF)) if axis is Axis.EF_BAND else self.groups.get(axis)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A clip with what is true of it."""

    labels: Labels
    clip: Clip | None  # None: the reader found no sector, and the node would not look further
    masks: tuple[Segmentation, ...] = ()  # on the frames that are labelled
    landmarks: tuple[Landmarks, ...] = ()
    fault: str = ""  # why the clip or its labels could not be read; nothing is judged then


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where cases come from; clips of one patient follow each other."""

    name: str
    caveat: str  # in the title of every table and plot
    patients: int
    cases: Iterator[Case]


def attempted(labels: Labels, read: Callable[[], Case]) -> Case:
    """A case, or the fault in its place: one bad clip is no reason to lose the others."""
    try:
        return read()
    except LabelError as error:
        return Case(labels=labels, clip=None, fault=str(error))


def ef_band(ef: float | None) -> str | None:
    """Reduced, mildly reduced or preserved."""
    if ef is None:
        return None
    if ef <= REDUCED_TO:
        return EF_BANDS[0]
    return EF_BANDS[1] if ef < PRESERVED_FROM else EF_BANDS[2]


def title_of_folder(folder: Path) -> str:
    """What a table on a user's own data says of it."""
    return f"labelled data in {folder.name}"
