"""Derived UIDs are valid, repeatable and apart."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from echo_node.reports.uids import derived_uid, series_uid
from tests.unit.reports.builders import ENGINE, STUDY


@given(st.lists(st.text() | st.integers()))
def test_uid_is_valid_and_repeatable(parts: list[str | int]) -> None:
    uid = derived_uid(*parts)
    assert UID(uid).is_valid
    assert len(uid) <= 64
    assert uid == derived_uid(*parts)


def test_known_value_stays() -> None:
    """What has been sent must be made again under the same UID: the derivation may not change."""
    assert derived_uid("1.2.3", "SEG", 1) == "2.25.202823597081436796706404621411793014574"


def test_kind_engine_and_version_part_the_series(monkeypatch: pytest.MonkeyPatch) -> None:
    series = {series_uid(STUDY, kind, ENGINE) for kind in ("SEG", "SR")}
    series.add(series_uid(STUDY, "SR", replace(ENGINE, digest="0")))
    monkeypatch.setattr("echo_node.__version__", "99")
    series.add(series_uid(STUDY, "SR", ENGINE))
    assert len(series) == 4
