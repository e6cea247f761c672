"""What IHE's AI Results profile asks of an evidence creator: each row of docs/results.md that says "met"."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import highdicom
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

import echo_node
from echo_node.codes import Reason, View
from echo_node.reports import build_reports
from echo_node.reports.retired import every_item
from echo_node.reports.uids import device_uid
from tests.unit.reports.builders import (
    ENGINE,
    STUDY,
    analysis,
    clip,
    long_axis,
    source,
    unmeasured,
    with_estimate,
    with_mass,
)

Made = tuple[dict[str, Dataset], list[Dataset], Any]


@pytest.fixture(scope="module")
def made() -> Made:
    """Sources, SEGs and the SR of a study with every kind of result."""
    of = [source(uid=f"{STUDY}.2.{i}", InstanceNumber=i) for i in range(1, 5)]
    walls = long_axis(of[2])
    study = with_mass(
        analysis(
            with_estimate(clip(of[0])),
            clip(of[1], view=View.A2C),
            walls,
            unmeasured(of[3], view=View.PSAX_APEX, outcome=Reason.NO_HEAD_FOR_VIEW),
            biplane=True,
        ),
        walls,
    )
    sources = {s.SOPInstanceUID: s for s in of}
    *segs, report = build_reports(study, sources)
    return (
        sources,
        [pydicom.dcmread(BytesIO(s.content)) for s in segs],
        highdicom.sr.srread(BytesIO(report.content)),
    )


def code_of(sequence: Sequence[Dataset]) -> tuple[str, str]:
    return sequence[0].CodeValue, sequence[0].CodingSchemeDesignator


def below(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", []):
        yield child
        yield from below(child)


def named(items: Sequence[Dataset], value: str) -> list[Dataset]:
    return [
        i for i in items if i.get("ConceptNameCodeSequence") and i.ConceptNameCodeSequence[0].CodeValue == value
    ]


def groups(report: Dataset) -> list[Dataset]:
    return named(list(below(report)), "125007")


def template(item: Dataset) -> str:
    return str(item.ContentTemplateSequence[0].TemplateIdentifier)


def test_results_are_a_measurement_report_in_a_comprehensive_3d_sr(made: Made) -> None:
    _, _, report = made
    assert report.SOPClassUID == Comprehensive3DSRStorage
    assert (template(report), code_of(report.ConceptNameCodeSequence)) == ("1500", ("126000", "DCM"))


def test_results_stand_in_the_study_in_series_of_their_own(made: Made) -> None:
    sources, segs, report = made
    of_images = {s.SeriesInstanceUID for s in sources.values()}
    assert {s.StudyInstanceUID for s in (*sources.values(), *segs, report)} == {STUDY}
    assert not {s.SeriesInstanceUID for s in (*segs, report)} & of_images
    assert report.SeriesInstanceUID not in {s.SeriesInstanceUID for s in segs}


def test_the_procedure_reported_is_the_imaging(made: Made) -> None:
    _, _, report = made
    (procedure,) = named(report.ContentSequence, "121058")
    assert code_of(procedure.ConceptCodeSequence) == ("40701008", "SCT")


def test_every_object_names_the_algorithm_as_contributing_equipment(made: Made) -> None:
    _, segs, report = made
    for ds in (*segs, report):
        algorithm, node = ds.ContributingEquipmentSequence
        assert (algorithm.ManufacturerModelName, algorithm.SoftwareVersions) == (ENGINE.name, ENGINE.version)
        assert algorithm.Manufacturer == node.Manufacturer == "echo-node"
        assert code_of(algorithm.PurposeOfReferenceCodeSequence) == ("Newcode1", "99IHE")
        assert algorithm.PurposeOfReferenceCodeSequence[0].CodeMeaning == "Processing Algorithm"
        assert algorithm.DeviceUID == named(report.ContentSequence, "121012")[0].UID
        assert code_of(node.PurposeOfReferenceCodeSequence) == ("109102", "DCM")
        assert (node.ManufacturerModelName, node.SoftwareVersions) == ("echo-node", echo_node.__version__)


def test_the_device_uid_changes_with_the_engine(made: Made) -> None:
    assert device_uid(ENGINE) != device_uid(replace(ENGINE, digest="f" * 64))
    assert made[2].ContributingEquipmentSequence[0].DeviceUID == device_uid(ENGINE)


def test_the_observer_is_a_device(made: Made) -> None:
    _, _, report = made
    (kind,) = named(report.ContentSequence, "121005")
    assert code_of(kind.ConceptCodeSequence) == ("121007", "DCM")
    values = {v: named(report.ContentSequence, v)[0].TextValue for v in ("121013", "121014", "121015", "121016")}
    assert values == {"121013": "echo-node", "121014": "echo-node", "121015": ENGINE.name,
                      "121016": ENGINE.digest[:16]}  # fmt: skip


def test_every_group_identifies_its_algorithm(made: Made) -> None:
    for group in groups(made[2]):
        texts = {i.ConceptNameCodeSequence[0].CodeValue: i.TextValue for i in group.ContentSequence
                 if i.ValueType == "TEXT"}  # fmt: skip
        assert (texts["111001"], texts["111003"]) == (ENGINE.name, ENGINE.version)
        (family,) = named(group.ContentSequence, "111000")
        assert code_of(family.ConceptCodeSequence) == ("123110", "DCM")


def test_every_group_is_tracked_by_a_name_and_a_uid_of_its_own(made: Made) -> None:
    found = groups(made[2])
    uids = [named(g.ContentSequence, "112040")[0].UID for g in found]
    assert len(found) == 4 + 2 * 3 + 1 + 4 + 1  # views; disks at both phases; learned; walls; mass
    assert len(set(uids)) == len(uids)
    assert all(named(g.ContentSequence, "112039")[0].TextValue for g in found)


def test_every_group_is_planar_with_one_region_on_an_image_of_the_study(made: Made) -> None:
    sources, _, report = made
    for group in groups(report):
        assert template(group) == "1410"
        (region,) = [i for i in group.ContentSequence if i.ValueType == "SCOORD"]
        assert code_of(region.ConceptNameCodeSequence) == ("111030", "DCM")
        (image,) = region.ContentSequence
        assert image.RelationshipType == "SELECTED FROM"
        assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID in sources
        assert code_of(named(group.ContentSequence, "121071")[0].ConceptCodeSequence)


def test_numbers_are_coded_with_units_method_and_site(made: Made) -> None:
    quantities = 0
    for group in groups(made[2]):
        for item in (i for i in group.ContentSequence if i.ValueType == "NUM"):
            value = item.MeasuredValueSequence[0]
            assert value.MeasurementUnitsCodeSequence[0].CodingSchemeDesignator == "UCUM"
            if code_of(item.ConceptNameCodeSequence) == ("111012", "DCM"):
                continue
            quantities += 1
            assert named(item.ContentSequence, "370129005")
            assert named(item.ContentSequence, "363698007")
            assert named(item.ContentSequence, "121112")[0].ValueType == "IMAGE"
    assert quantities == 9 + 1 + 4 + 3


def test_qualitative_findings_are_coded(made: Made) -> None:
    for group in groups(made[2]):
        for item in (i for i in group.ContentSequence if i.ValueType == "CODE"):
            assert all(code_of(item.ConceptCodeSequence))
    values = {
        code_of(i.ConceptCodeSequence) for g in groups(made[2]) for i in g.ContentSequence if i.ValueType == "CODE"
    }
    assert {View.A4C.code.value, "ECC_HYPERTROPHY", "NO_HEAD_FOR_VIEW"} <= {value for value, _ in values}


def test_private_codes_have_their_scheme_identified(made: Made) -> None:
    _, segs, report = made
    for ds, schemes in ((report, {"99ECHONODE", "99IHE"}), *((seg, {"99IHE"}) for seg in segs)):
        used = {item.CodingSchemeDesignator for item in every_item(ds) if "CodeValue" in item}
        assert {scheme for scheme in used if scheme.startswith("99")} == schemes
        assert {item.CodingSchemeDesignator for item in ds.CodingSchemeIdentificationSequence} == schemes


def test_segmentations_name_algorithm_property_tracking_and_source_frame(made: Made) -> None:
    sources, segs, report = made
    tracked = {named(g.ContentSequence, "112040")[0].UID for g in groups(report)}
    assert len(segs) == 2
    for seg in segs:
        assert seg.SOPClassUID == SegmentationStorage
        for segment in seg.SegmentSequence:
            assert segment.SegmentAlgorithmType == "AUTOMATIC"
            (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
            assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == (ENGINE.name, ENGINE.version)
            assert code_of(segment.SegmentedPropertyTypeCodeSequence)[1] == "SCT"
            assert segment.TrackingID
        assert seg.SegmentSequence[0].TrackingUID in tracked
        for frame in seg.PerFrameFunctionalGroupsSequence:
            image = frame.DerivationImageSequence[0].SourceImageSequence[0]
            assert image.ReferencedSOPInstanceUID in sources


def test_all_that_is_referred_to_is_listed_as_evidence(made: Made) -> None:
    sources, segs, report = made
    listed = {uid for _, _, uid, _ in report.get_evidence()}
    referred = {s.ReferencedSOPInstanceUID for i in below(report) for s in i.get("ReferencedSOPSequence", [])}
    assert referred <= listed
    assert listed == {*sources, *(s.SOPInstanceUID for s in segs)}


def test_an_image_library_describes_every_clip(made: Made) -> None:
    sources, _, report = made
    (library,) = named(report.ContentSequence, "111028")
    (group,) = library.ContentSequence
    images = [i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in group.ContentSequence]
    assert images == [*sources]
    for image, source_ in zip(group.ContentSequence, sources.values(), strict=True):
        said = {i.ConceptNameCodeSequence[0].CodeValue: i for i in image.ContentSequence}
        assert code_of(said["121139"].ConceptCodeSequence) == ("US", "DCM")
        sides = [int(said[code].MeasuredValueSequence[0].NumericValue) for code in ("110910", "110911")]
        assert sides == [source_.Rows, source_.Columns]
