"""What persons draw on clips: drawings, the corrections that they are, and the edits that results name."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from echo_node.codes import Quantity, Structure


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A person's correction that a result rests on: the structured report that brought it, who and when."""

    SOPClassUID: str
    SOPInstanceUID: str
    SeriesInstanceUID: str
    observer: str  # Person Observer Name
    made_at: datetime | None  # UTC; None where the report does not say
    reason: str = ""  # why, in the person's words; empty where there are none


class Shape(enum.Enum):
    """What a drawing on a frame means."""

    FOREGROUND = "points inside the structure"
    BACKGROUND = "points outside the structure"
    BOX = "a box around the structure"  # its points: top left, bottom right
    CONTOUR = "the structure's outline"
    LINE = "a length between two points"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A drawing on one frame of a clip.

    Points are (row, column) in pixels of the source image; a pixel's centre has whole numbers.
    """

    SOPInstanceUID: str  # of the clip
    frame_number: int
    shape: Shape
    points: tuple[tuple[float, float], ...]
    subject: Structure | Quantity  # of a line a quantity, of all else a structure


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction(Drawn):
    """A drawing, and the person's report that it stands in."""

    edit: Edit


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnLine:
    """The line that a person measured a quantity along; ends are (row, column) in pixels of the source image."""

    quantity: Quantity
    frame_number: int
    ends: tuple[tuple[float, float], tuple[float, float]]
