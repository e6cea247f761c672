"""Analyses as text and arrays, those of earlier versions among them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from echo_node.codes import Quantity, WallPoint
from echo_node.errors import DamagedError
from echo_node.store import codec
from tests.unit.store.builders import measured

LATER = ("body", "diameters", "landmarks", "estimate")  # fields that the first version did not have


def test_every_field_comes_back() -> None:
    analysis = measured()
    again = codec.decode(*codec.encode(analysis))
    assert codec.encode(again) == codec.encode(analysis)
    assert again.landmarks == analysis.landmarks
    assert again.estimate == analysis.estimate
    assert again.body == analysis.body
    assert again.not_measured == analysis.not_measured
    assert again.diameters is not None
    assert analysis.diameters is not None
    np.testing.assert_array_equal(again.diameters.diameters_mm, analysis.diameters.diameters_mm)
    assert [point for point, _, _ in again.landmarks[0].points] == list(WallPoint)


def test_a_row_of_the_first_version_is_still_read() -> None:
    scalars, arrays = codec.encode(measured())
    old = {name: value for name, value in json.loads(scalars).items() if name not in LATER}
    for reason in old["not_measured"]:
        del reason["method"], reason["edits"]
    again = codec.decode(json.dumps(old), arrays)
    assert (again.body, again.diameters, again.landmarks, again.estimate) == (None, None, (), None)
    assert again.measurements == measured().measurements
    assert [n.quantity for n in again.not_measured] == [Quantity.LV_EDV, Quantity.LVEF]
    assert (again.not_measured[1].method, again.not_measured[1].edits) == (None, ())
    assert again.cycle == (1, 5)


def test_a_row_of_a_later_version_is_refused() -> None:
    scalars, arrays = codec.encode(measured())
    later = json.loads(scalars) | {"unheard_of": 1}
    with pytest.raises(DamagedError, match="cannot be read"):
        codec.decode(json.dumps(later), arrays)
