"""What carts say was measured on them, and the node's own numbers beside it.

A cart's numbers are kept to be compared. They change no result of the node.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from echo_node.codes import Method, Quantity, Unit, View


@dataclass(frozen=True, slots=True, kw_only=True)
class CartValue:
    """A number of a cart, in the node's unit of the quantity."""

    quantity: Quantity
    method: Method | None  # None where the cart does not say
    view: View | None  # None where the cart does not say, and of both planes
    otherwise: str  # a method, view or mode that the node does not have; empty where there is none
    value: float
    unit: Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class CartReport:
    """A structured report in which a cart says what was measured on it."""

    SOPInstanceUID: str
    Manufacturer: str
    ManufacturerModelName: str
    made_at: datetime | None  # UTC; None where the report does not say
    predecessors: tuple[str, ...]  # SOPInstanceUIDs of the reports that it replaces
    values: tuple[CartValue, ...]  # one for each quantity, method and view


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnValue:
    """A number of the node that no person touched."""

    quantity: Quantity
    method: Method
    view: View | None  # None for a biplane result
    value: float
    unit: Unit
    revision: int  # of the study
    engine: str  # name and version


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyNumbers:
    """A study that a cart has reported on."""

    carts: tuple[CartReport, ...]  # in the order of receipt
    own: tuple[OwnValue, ...]  # of every revision
