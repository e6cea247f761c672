"""A study sends no more than its budget, the same clips whatever their order, and says what it leaves out."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import pydicom
import pytest
from pydicom import Dataset

from echo_node.codes import LOCAL_SCHEME, ObjectKind, View
from echo_node.records import Analysis, Report
from echo_node.reports import Budget, Results, build_results
from echo_node.reports.budget import NO_LIMIT
from tests.unit.reports.builders import STUDY, analysis, cine, clip, long_axis, source, unmeasured

KINDS = (ObjectKind.SR, ObjectKind.SR_TID5200, ObjectKind.SEG, ObjectKind.OVERLAY)
DRAWN = (1, 2, 3, 4)  # of the study's five clips
A4C, A2C, PLAX, AGAIN, UNMEASURED = (f"{STUDY}.2.{n}" for n in (1, 2, 3, 4, 5))


def study() -> tuple[Analysis, dict[str, Dataset]]:
    """Two apical views with a biplane result, a long axis, a second A4C of less certainty, and one not measured."""
    of = {uid: source(uid=uid) for uid in (A4C, A2C, PLAX, AGAIN, UNMEASURED)}
    again = clip(of[AGAIN])
    assert again.prediction is not None
    again = replace(again, prediction=replace(again.prediction, probability=0.7))
    clips = clip(of[A4C]), clip(of[A2C], view=View.A2C), long_axis(of[PLAX]), again, unmeasured(of[UNMEASURED])
    return analysis(*clips, biplane=True), of


def built(budget: Budget, kinds: tuple[ObjectKind, ...] = KINDS) -> Results:
    made, sources = study()
    return build_results(
        made, sources, kinds=kinds, frames=lambda uid: cine(sources[uid]), earlier=(), budget=budget
    )


def clips_of(results: Results, kind: ObjectKind) -> set[str]:
    """The clips that have an object of a kind."""
    found = set()
    for report in results.reports:
        if report.kind is kind:
            ds = pydicom.dcmread(BytesIO(report.content))
            image = (
                ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0]
                if kind is ObjectKind.SEG
                else ds.SourceImageSequence[0]
            )
            found.add(str(image.ReferencedSOPInstanceUID))
    return found


def of_kind(results: Results, kind: ObjectKind) -> Report:
    return next(report for report in results.reports if report.kind is kind)


def test_within_the_budget_nothing_is_left_out() -> None:
    results = built(NO_LIMIT)
    assert results.withheld == ()
    assert clips_of(results, ObjectKind.SEG) == {A4C, A2C, AGAIN}
    assert clips_of(results, ObjectKind.OVERLAY) == {A4C, A2C, AGAIN, PLAX}
    assert b"NOT_SENT" not in of_kind(results, ObjectKind.SR).content


@pytest.mark.parametrize(
    ("most", "stays"),
    [
        # six numbers rest on each apical view, four on the long axis, three on the second A4C
        (4, [A4C, A2C, PLAX, AGAIN]),
        (3, [A4C, A2C, PLAX]),
        (2, [A4C, A2C]),
        (1, [A4C]),
        (0, []),
    ],
)
def test_clips_that_most_numbers_rest_on_stay(most: int, stays: list[str]) -> None:
    results = built(Budget(max_clips=most, max_bytes=1 << 30))
    assert clips_of(results, ObjectKind.OVERLAY) == set(stays)
    assert clips_of(results, ObjectKind.SEG) == set(stays) - {PLAX}
    assert set(results.withheld) == {A4C, A2C, PLAX, AGAIN} - set(stays)


def test_bytes_count_as_they_are_sent() -> None:
    whole = built(NO_LIMIT)
    sizes = [len(r.content) for r in whole.reports if r.kind in (ObjectKind.SEG, ObjectKind.OVERLAY)]
    assert built(Budget(max_clips=9, max_bytes=sum(sizes))).withheld == ()
    short = built(Budget(max_clips=9, max_bytes=sum(sizes) - 1))
    assert len(short.withheld) == 1
    sent = [len(r.content) for r in short.reports if r.kind in (ObjectKind.SEG, ObjectKind.OVERLAY)]
    assert sum(sent) < sum(sizes)
    nothing = built(Budget(max_clips=9, max_bytes=1))
    assert {r.kind for r in nothing.reports} == {ObjectKind.SR, ObjectKind.SR_TID5200}
    # who asks for documents alone is sent nothing that could be too much
    assert built(Budget(max_clips=9, max_bytes=1), kinds=(ObjectKind.SR,)).withheld == ()


def test_the_same_clips_stay_in_whatever_order_they_came() -> None:
    made, sources = study()
    budget = Budget(max_clips=2, max_bytes=1 << 30)
    chosen = set()
    for clips in (made.clips, made.clips[::-1], (*made.clips[2:], *made.clips[:2])):
        results = build_results(
            replace(made, clips=clips), sources, kinds=(ObjectKind.SEG,), frames=None, earlier=(), budget=budget
        )
        chosen.add(frozenset(clips_of(results, ObjectKind.SEG)))
    assert chosen == {frozenset((A4C, A2C))}


def test_documents_say_what_is_left_out_and_refer_to_none_of_it() -> None:
    results = built(Budget(max_clips=2, max_bytes=1 << 30))
    ds = pydicom.dcmread(BytesIO(of_kind(results, ObjectKind.SR).content))
    said: dict[str, int] = {}
    for item in walk(ds):
        name = (item.get("ConceptNameCodeSequence") or [Dataset()])[0]
        if (name.get("CodeValue"), name.get("CodingSchemeDesignator")) == ("NOT_SENT", LOCAL_SCHEME):
            said[item.ConceptCodeSequence[0].CodeValue] = said.get(item.ConceptCodeSequence[0].CodeValue, 0) + 1
    assert said == {"OVER_BUDGET": 2}
    evidence = ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    referred = {i.ReferencedSOPInstanceUID for s in evidence for i in s.ReferencedSOPSequence}
    segs = {r.SOPInstanceUID for r in results.reports if r.kind is ObjectKind.SEG}
    unlimited = {r.SOPInstanceUID for r in built(NO_LIMIT).reports if r.kind is ObjectKind.SEG}
    assert segs < unlimited
    assert segs <= referred
    assert not (unlimited - segs) & referred
    for kind in (ObjectKind.SR, ObjectKind.SR_TID5200):
        assert b"2 clips have no segmentation and no overlay" in of_kind(results, kind).content


def walk(ds: Dataset) -> list[Dataset]:
    return [ds, *(below for item in ds.get("ContentSequence", []) for below in walk(item))]
