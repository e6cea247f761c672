"""Pairs of the node's and carts' numbers, and how far they agree."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from echo_node.carts import CartReport, CartValue, OwnValue, StudyNumbers
from echo_node.codes import Method, Quantity, Unit, View
from echo_node.config import Config, Node
from echo_node.errors import EchoNodeError
from echo_node.evaluation.carts import pairs_of, print_agreement, rows
from echo_node.records import JobKind
from echo_node.store import Outcome, Store
from tests.unit.store.builders import POLICY, STUDY, Clock, measured, received, report

ENGINE = "tiny 1"
BIPLANE = OwnValue(
    quantity=Quantity.LVEF,
    method=Method.DISKS_BIPLANE,
    view=None,
    value=60.0,
    unit=Unit.PERCENT,
    revision=1,
    engine=ENGINE,
)
FOUR = replace(BIPLANE, method=Method.DISKS_SINGLE_PLANE, view=View.A4C, value=58.0)
LEARNED = replace(FOUR, method=Method.LEARNED, value=55.0)
SEPTUM = replace(
    BIPLANE, quantity=Quantity.IVSD, method=Method.DIRECT, view=View.PLAX, value=11.0, unit=Unit.MILLIMETRE
)
EF = CartValue(quantity=Quantity.LVEF, method=None, view=None, otherwise="", value=64.0, unit=Unit.PERCENT)


def cart(*values: CartValue, uid: str = "1.2.826.1.7", minute: int = 0) -> CartReport:
    return CartReport(
        SOPInstanceUID=uid,
        Manufacturer="Acme",
        ManufacturerModelName="Echo 9",
        made_at=datetime(2026, 11, 23, 10, minute, tzinfo=UTC),
        predecessors=(),
        values=values,
    )


def paired(own: tuple[OwnValue, ...], *carts: CartReport) -> list[tuple[float, float, Method]]:
    found = pairs_of(StudyNumbers(carts=carts, own=own))
    return [(pair.own.value, pair.cart.value, pair.own.method) for pair in found]


def test_where_the_cart_says_no_method_the_first_of_the_node_is_taken() -> None:
    assert paired((LEARNED, FOUR, BIPLANE), cart(EF)) == [(60.0, 64.0, Method.DISKS_BIPLANE)]
    assert paired((LEARNED, FOUR), cart(EF)) == [(58.0, 64.0, Method.DISKS_SINGLE_PLANE)]


def test_method_and_view_must_be_the_same_where_they_are_said() -> None:
    single = replace(EF, method=Method.DISKS_SINGLE_PLANE)
    assert paired((BIPLANE, FOUR), cart(replace(single, view=View.A4C))) == [
        (58.0, 64.0, Method.DISKS_SINGLE_PLANE)
    ]
    assert paired((BIPLANE, FOUR), cart(replace(single, view=View.A2C))) == []
    assert paired((FOUR, LEARNED), cart(replace(EF, method=Method.DISKS_BIPLANE))) == []
    assert paired((BIPLANE,), cart(replace(EF, otherwise="Teichholz"))) == []
    assert paired((SEPTUM,), cart(EF)) == []


def test_of_several_reports_the_latest_counts_quantity_by_quantity() -> None:
    septum = CartValue(
        quantity=Quantity.IVSD, method=None, view=None, otherwise="", value=12.0, unit=Unit.MILLIMETRE
    )
    old, new = cart(EF, septum, minute=1), cart(replace(EF, value=70.0), uid="1.2.826.1.8", minute=2)
    for order in ((old, new), (new, old)):
        assert sorted(paired((BIPLANE, SEPTUM), *order)) == [
            (11.0, 12.0, Method.DIRECT),
            (60.0, 70.0, Method.DISKS_BIPLANE),
        ]


def test_of_several_clips_the_mean_counts_and_of_revisions_the_last_that_no_person_touched() -> None:
    first = (replace(FOUR, value=50.0), replace(BIPLANE, value=51.0))
    second = tuple(replace(FOUR, value=v, revision=2) for v in (56.0, 60.0))  # biplane was edited since
    single = replace(EF, method=Method.DISKS_SINGLE_PLANE)
    assert paired((*first, *second), cart(single))[0][0] == 58.0
    assert paired((*first, *second), cart(EF))[0][0] == 51.0


def test_bland_and_altman_against_figures_by_hand() -> None:
    own, carts = (60.0, 50.0, 40.0), (58.0, 53.0, 41.0)  # differences 2, -3, -1
    pairs = [
        pair
        for mine, theirs in zip(own, carts, strict=True)
        for pair in pairs_of(
            StudyNumbers(carts=(cart(replace(EF, value=theirs)),), own=(replace(BIPLANE, value=mine),))
        )
    ]
    (row,) = rows(pairs)
    spread = 1.96 * math.sqrt(((2 + 2 / 3) ** 2 + (-3 + 2 / 3) ** 2 + (-1 + 2 / 3) ** 2) / 2)
    assert row.n == 3
    figures = [row.bias, row.low, row.high, row.mae]
    assert figures == pytest.approx([-2 / 3, -2 / 3 - spread, -2 / 3 + spread, 2.0])


def test_engines_are_not_mixed() -> None:
    pairs = [
        pair
        for engine in ("tiny 1", "tiny 2")
        for pair in pairs_of(StudyNumbers(carts=(cart(EF),), own=(replace(BIPLANE, engine=engine),)))
    ]
    assert [row.key[0] for row in rows(pairs)] == ["tiny 1", "tiny 2"]
    assert all(math.isnan(row.low) for row in rows(pairs))


class House:
    """A store whose study is reported, and to which a cart's reports come."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.config = Config(node=Node(storage=folder))
        self.store = Store(self.config.node.database_url, folder, now=self.clock)
        self.store.migrate()

    def clip(self) -> None:
        self.store.keep(received(self.store))
        job = self.store.lease((JobKind.CLIP,), "w", 60)
        assert job is not None
        self.store.complete_clip(job, measured())
        self.clock.pass_(121)
        self.store.close_studies(POLICY)
        study = self.store.lease((JobKind.STUDY,), "w", 60)
        assert study is not None
        self.store.complete_study(study, [report()], [], [BIPLANE, SEPTUM])

    def cart(self, found: CartReport, **changes) -> None:
        self.store.keep(received(self.store, found.SOPInstanceUID, job=JobKind.CORRECTION, **changes))
        job = self.store.lease((JobKind.CORRECTION,), "w", 60)
        assert job is not None
        self.store.carts.complete(job, found)

    def pairs(self) -> list[tuple[float, float]]:
        return [(p.own.value, p.cart.value) for study in self.store.carts.compared() for p in pairs_of(study)]


@pytest.fixture
def house(tmp_path: Path):
    made = House(tmp_path)
    yield made
    made.store.dispose()


@pytest.mark.parametrize("is_first", [True, False])
def test_the_order_of_arrival_does_not_matter(house: House, is_first: bool) -> None:
    steps = [lambda: house.cart(cart(EF)), house.clip]
    for step in steps if is_first else steps[::-1]:
        step()
    assert house.pairs() == [(60.0, 64.0)]
    outcome = next(o for o in house.store.instance_outcomes() if o.SOPInstanceUID == "1.2.826.1.7")
    assert (outcome.outcome, outcome.reason) == (Outcome.READ, None)
    assert house.store.study(STUDY).revision == 1


@pytest.mark.parametrize("is_first", [True, False])
def test_a_later_report_takes_the_place_of_what_it_names(house: House, is_first: bool) -> None:
    house.clip()
    later = replace(cart(replace(EF, value=70.0), uid="1.2.826.1.8", minute=0), predecessors=("1.2.826.1.7",))
    former = cart(EF, replace(EF, quantity=Quantity.IVSD, unit=Unit.MILLIMETRE), minute=30)
    for found in (later, former) if is_first else (former, later):
        house.cart(found)
    assert house.pairs() == [(60.0, 70.0)]  # the septum is gone with its report


def test_a_report_of_another_patient_is_compared_with_nothing(house: House) -> None:
    house.clip()
    house.cart(cart(EF), PatientID="P2")
    assert house.pairs() == []


def test_the_table_and_the_csv_name_no_patient(house: House, tmp_path: Path, capsys) -> None:
    house.clip()
    assert print_agreement(house.store.carts.compared(), None) == 0
    assert "no cart's number" in capsys.readouterr().out
    house.cart(cart(EF))
    out = tmp_path / "pairs.csv"
    assert print_agreement(house.store.carts.compared(), out) == 0
    said = capsys.readouterr().out
    heading, line = said.splitlines()
    assert heading.split()[:6] == ["engine", "quantity", "method", "view", "unit", "n"]
    assert line.split() == ["tiny", "1", "LVEF", "DISKS_BIPLANE", "-", "%", "1", "-4.0", "-", "-", "4.0"]
    with out.open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row == {
        "engine": "tiny 1",
        "quantity": "LVEF",
        "method": "DISKS_BIPLANE",
        "view": "-",
        "unit": "%",
        "own": "60.0000",
        "cart": "64.0000",
        "manufacturer": "Acme",
        "model": "Echo 9",
    }
    for secret in (STUDY, "P1", "1.2.826.1.7", "1950"):
        assert secret not in said + out.read_text(encoding="utf-8")


def test_a_file_that_cannot_be_written_is_an_error_with_its_name(house: House, tmp_path: Path) -> None:
    with pytest.raises(EchoNodeError, match="nowhere"):
        print_agreement(house.store.carts.compared(), tmp_path / "nowhere" / "pairs.csv")
