"""The Simplified Echo Procedure Report (PS3.16 TID 5300) says every number under one code."""

from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO

import pydicom
import pytest
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import SimplifiedAdultEchoSRStorage

from echo_node.codes import Method, Quantity, Reason, View
from echo_node.measure.results import EJECTION, MASS, WALLS
from echo_node.records import Analysis, NotMeasured, Report
from echo_node.reports import read_report
from echo_node.reports.precoordinated import NAMES
from echo_node.reports.retired import every_item
from echo_node.reports.tid5300 import build_tid5300
from tests.unit.reports.builders import (
    STUDY,
    analysis,
    clip,
    long_axis,
    source,
    unmeasured,
    with_estimate,
    with_mass,
)

PRE, POST = "125301", "125302"
Case = tuple[Analysis, Mapping[str, Dataset]]


def full() -> Case:
    of = [source(uid=f"{STUDY}.2.{n}") for n in (1, 2, 3)]
    plax = long_axis(of[2])
    four, two = with_estimate(clip(of[0]), ef=57.0), with_estimate(clip(of[1], view=View.A2C), ef=59.5)
    study = with_mass(analysis(four, two, plax, biplane=True), plax)
    return study, {s.SOPInstanceUID: s for s in of}


def report_of(study: Analysis, sources: Mapping[str, Dataset]) -> Report:
    return build_tid5300(study, sources, segs={})


def read(study: Analysis, sources: Mapping[str, Dataset]) -> Dataset:
    return pydicom.dcmread(BytesIO(report_of(study, sources).content))


def numbers(ds: Dataset, heading: str) -> dict[str, Dataset]:
    """The NUM items of a section by their code."""
    sections = [i for i in ds.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == heading]
    items = [item for section in sections for item in section.ContentSequence]
    found = {item.ConceptNameCodeSequence[0].CodeValue: item for item in items}
    assert len(found) == len(items)
    return found


def value(item: Dataset) -> tuple[float, str]:
    measured = item.MeasuredValueSequence[0]
    return float(measured.NumericValue), measured.MeasurementUnitsCodeSequence[0].CodeValue


def test_every_number_stands_under_its_code() -> None:
    ds = read(*full())
    assert {code: value(item) for code, item in numbers(ds, PRE).items()} == {
        "79991-6": (60.0, "%"),
        "79996-5": (118.0, "ml"),
        "80001-1": (47.2, "ml"),
        "79993-2": (61.25, "%"),
        "79999-9": (120.5, "ml"),
        "80004-5": (46.7, "ml"),
        "79992-4": (61.25, "%"),
        "79998-1": (120.5, "ml"),
        "80003-7": (46.7, "ml"),
        "79969-2": (11.0, "mm"),
        "80007-8": (47.5, "mm"),
        "80032-6": (9.5, "mm"),
        "80011-0": (31.25, "mm"),
        "80019-3": (182.5, "g"),
        "80020-1": (99.25, "g/m2"),
    }
    assert {code: value(item) for code, item in numbers(ds, POST).items()} == {
        "LVEF_LEARNED_A4C": (57.0, "%"),
        "LVEF_LEARNED_A2C": (59.5, "%"),
        "LV_RWT": (0.4, "{ratio}"),
    }


def test_every_number_reads_back() -> None:
    study, sources = full()
    reading = read_report(report_of(study, sources).content)
    assert reading is not None
    said = {(m.quantity, m.value, m.unit, m.method, m.view) for m in reading.measurements}
    assert said == {(m.quantity, m.value, m.unit, m.method, m.view) for m in study.measurements}
    assert len(reading.measurements) == len(study.measurements)
    frames = {(m.quantity, m.method, m.view): m.sources for m in reading.measurements}
    for m in study.measurements:
        if m.quantity not in (Quantity.LV_EDV, Quantity.LV_ESV):  # these name one frame of the two
            assert frames[m.quantity, m.method, m.view] == m.sources


def test_the_document_is_of_its_own_class() -> None:
    ds = read(*full())
    assert ds.SOPClassUID == ds.file_meta.MediaStorageSOPClassUID == SimplifiedAdultEchoSRStorage
    assert ds.ConceptNameCodeSequence[0].CodeValue == "125200"
    assert ds.ContentTemplateSequence[0].TemplateIdentifier == "5300"
    assert (ds.SeriesNumber, ds.VerificationFlag) == (9004, "UNVERIFIED")
    assert ds.TimezoneOffsetFromUTC  # type 1 here; the cart sent none


def test_beside_a_code_of_the_standard_stands_what_the_template_lets_stand() -> None:
    for item in numbers(read(*full()), PRE).values():
        assert [(i.RelationshipType, i.ConceptNameCodeSequence[0].CodeValue) for i in item.ContentSequence][:2] == [
            ("HAS PROPERTIES", "125309"),
            ("INFERRED FROM", "121112"),
        ]


def test_a_code_of_the_nodes_own_says_what_it_means() -> None:
    for item in numbers(read(*full()), POST).values():
        modifiers = [i for i in item.ContentSequence if i.RelationshipType == "HAS CONCEPT MOD"]
        names = [i.ConceptNameCodeSequence[0].CodeValue for i in modifiers]
        assert names[:6] == ["125306", "363698007", "125305", "125307", "370129005", "399264008"]


def test_a_wall_is_inferred_from_its_line() -> None:
    item = numbers(read(*full()), PRE)["79969-2"]
    line = next(i for i in item.ContentSequence if i.RelationshipType == "INFERRED FROM")
    assert (line.ValueType, line.GraphicType, len(line.GraphicData)) == ("SCOORD", "POLYLINE", 4)
    assert line.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber == 2


def test_of_two_clips_the_surer_gives_the_number() -> None:
    of = [source(uid=f"{STUDY}.2.{n}") for n in (1, 2)]
    clips = [clip(o) for o in of]
    assert clips[0].prediction is not None
    surer = replace(clips[1], prediction=replace(clips[0].prediction, probability=0.99))
    surer = replace(surer, measurements=tuple(replace(m, value=m.value + 1) for m in surer.measurements))
    ds = read(analysis(clips[0], surer), {s.SOPInstanceUID: s for s in of})
    assert value(numbers(ds, PRE)["79993-2"]) == (62.25, "%")


@pytest.mark.parametrize(
    ("reason", "qualifier"),
    [
        (Reason.VIEW_MISSING, "114007"),
        (Reason.NO_CALIBRATION, "114007"),
        (Reason.IMPLAUSIBLE, "114009"),
        (Reason.LOW_QUALITY, "114006"),
        (Reason.FORESHORTENED, "114006"),
    ],
)
def test_what_was_not_measured_has_no_value_but_a_qualifier(reason: Reason, qualifier: str) -> None:
    of = source()
    missing = NotMeasured(quantity=Quantity.LVIDD, reason=reason, detail="", view=View.PLAX, method=Method.DIRECT)
    study = analysis(unmeasured(of, not_measured=(missing,)))
    items = numbers(read(study, {of.SOPInstanceUID: of}), PRE)
    assert len(items["80007-8"].MeasuredValueSequence) == 0
    assert items["80007-8"].NumericValueQualifierCodeSequence[0].CodeValue == qualifier
    assert {"79992-4", "79998-1", "80003-7"} <= items.keys()  # A2C, for which no method could be tried


def test_a_number_that_another_clip_gave_is_not_missing() -> None:
    of = [source(uid=f"{STUDY}.2.{n}") for n in (1, 2)]
    missing = NotMeasured(
        quantity=Quantity.LVEF,
        reason=Reason.LOW_QUALITY,
        detail="",
        view=View.A4C,
        method=Method.DISKS_SINGLE_PLANE,
    )
    study = analysis(clip(of[0]), unmeasured(of[1], view=View.A4C, not_measured=(missing,)))
    assert value(numbers(read(study, {s.SOPInstanceUID: s for s in of}), PRE)["79993-2"]) == (61.25, "%")


def test_no_heading_without_a_number() -> None:
    of = source()
    ds = read(analysis(clip(of)), {of.SOPInstanceUID: of})
    assert numbers(ds, POST) == {}
    assert POST not in {i.ConceptNameCodeSequence[0].CodeValue for i in ds.ContentSequence}


def test_all_that_the_node_measures_has_a_name() -> None:
    views = (View.A4C, View.A2C)
    assert set(NAMES) == {
        *((q, Method.DISKS_BIPLANE, None) for q in EJECTION),
        *((q, Method.DISKS_SINGLE_PLANE, view) for q in EJECTION for view in views),
        *((Quantity.LVEF, Method.LEARNED, view) for view in views),
        *((q, Method.DIRECT, View.PLAX) for q in WALLS),
        *((q, Method.CUBE, View.PLAX) for q in MASS if q in (Quantity.LV_MASS, Quantity.LV_MASS_INDEX)),
        (Quantity.LV_RWT, Method.TWICE_POSTERIOR_WALL, View.PLAX),
    }


def test_a_number_without_a_name_is_left_out_and_the_others_stand(caplog: pytest.LogCaptureFixture) -> None:
    of = [source(uid=f"{STUDY}.2.{n}") for n in (1, 2)]
    study = analysis(clip(of[0]), clip(of[1], view=View.PSAX_MV))
    ds = read(study, {s.SOPInstanceUID: s for s in of})
    assert {"79993-2", "79999-9", "80004-5"} == {
        code for code, item in numbers(ds, PRE).items() if item.MeasuredValueSequence
    }
    assert [r.getMessage() for r in caplog.records] == [
        f"study {STUDY}: {quantity} by DISKS_SINGLE_PLANE on PSAX_MV is left out of the Simplified Echo report: "
        "it has no code"
        for quantity in ("LVEF", "LV_EDV", "LV_ESV")
    ]


def test_a_study_of_numbers_without_names_alone_has_a_report() -> None:
    of = source()
    ds = read(analysis(clip(of, view=View.PSAX_MV)), {of.SOPInstanceUID: of})
    assert not any(item.MeasuredValueSequence for item in numbers(ds, PRE).values())
    assert numbers(ds, POST) == {}


def test_pre_coordinated_codes_are_core_echo_measurements() -> None:
    core = {code.value: code.meaning for code in codes.cid12300.concepts.values()}
    for name in NAMES.values():
        if not name.modifiers:
            assert core[name.code.value] == name.code.meaning


def test_the_posterior_walls_code_is_that_of_2d() -> None:
    """Two codes of CID 12300 mean it; of each pair that tells 2D from M-mode the table has 2D first."""
    core = [(code.value, code.meaning) for code in codes.cid12300.concepts.values()]
    place = {meaning: at for at, (_, meaning) in enumerate(core)}
    other = {meaning: meaning.replace("2D", "MM") for meaning in place if "2D" in meaning}
    pairs = [(two_d, m_mode) for two_d, m_mode in other.items() if m_mode in place]
    assert len(pairs) > 10
    assert all(place[two_d] < place[m_mode] for two_d, m_mode in pairs)
    walls = [value for value, meaning in core if meaning == "Left ventricular posterior wall diastolic thickness"]
    assert walls == [NAMES[Quantity.LVPWD, Method.DIRECT, View.PLAX].code.value, "80031-8"]


def test_codes_are_short_enough() -> None:
    for item in every_item(read(*full())):
        if "CodeValue" in item:
            assert len(item.CodeValue) <= 16  # SH
            assert len(item.CodeMeaning) <= 64  # LO
