"""A report that OHIF 3.13.2 saved, as it is: a length of 65 mm on a phantom's clip, labelled LVIDd."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from echo_node.codes import Quantity, Reason
from echo_node.edits import Shape
from echo_node.errors import CorrectionError
from echo_node.reports import corrected_images, open_document, read_corrections
from tests.unit.reports.builders import source

SAVED = Path(__file__).parents[2] / "data" / "ohif" / "length-3.13.2.dcm"


def clip_of(ds: Dataset) -> dict[str, Dataset]:
    (uid,) = corrected_images(ds)
    of = source(
        uid,
        StudyInstanceUID=ds.StudyInstanceUID,
        PatientID=ds.PatientID,
        PatientBirthDate=ds.get("PatientBirthDate") or "",
        Rows=600,
        Columns=800,
        NumberOfFrames=34,
    )
    return {uid: of}


def test_nobody_who_is_logged_in_is_no_person():
    ds = open_document(SAVED)
    with pytest.raises(CorrectionError) as caught:
        read_corrections(ds, clip_of(ds))
    assert caught.value.reason is Reason.NO_PERSON


def test_the_line_counts_and_not_the_number_beside_it():
    ds = open_document(SAVED)
    (observer,) = (i for i in ds.ContentSequence if i.ValueType == "PNAME")
    observer.PersonName = "Reader^Rosa"
    (found,) = read_corrections(ds, clip_of(ds))
    assert (found.subject, found.shape, found.frame_number) == (Quantity.LVIDD, Shape.LINE, 16)
    np.testing.assert_allclose(found.points, [(99.3748, 399.1245), (229.2872, 395.3698)], atol=1e-3)
    assert found.edit.observer == "Reader^Rosa"
    # OHIF measured 6.46 cm and says mm: what the node writes comes of the points and the clip's calibration
    (group,) = (i for i in ds.ContentSequence[-1].ContentSequence)
    (value,) = (i.MeasuredValueSequence[0] for i in group.ContentSequence if i.ValueType == "NUM")
    assert (round(float(value.NumericValue), 2), value.MeasurementUnitsCodeSequence[0].CodeValue) == (6.46, "mm")
