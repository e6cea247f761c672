"""Codes as pydicom and highdicom want them, and the concepts that only reports need."""

from __future__ import annotations

from collections.abc import Iterator

from highdicom.sr import CodedConcept
from pydicom import Dataset

from echo_node.codes import LOCAL_SCHEME, Code, Structure

# What things are
ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
ECHOCARDIOGRAPHY = Code("40701008", "SCT", "Echocardiography")
# IHE's own, in AI Results, trial implementation 1.1, 6.5.3.1: DICOM (CID 7005) has none yet
PROCESSING_ALGORITHM = Code("Newcode1", "99IHE", "Processing Algorithm")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
SOURCE_FOR_PROCESSING = Code("121322", "DCM", "Source image for image processing operation")
DEVICE = Code("121007", "DCM", "Device")
PERSON = Code("121006", "DCM", "Person")
REJECTED_FOR_QUALITY_REASONS = Code("113001", "DCM", "Rejected for Quality Reasons")
ENGLISH = Code("en-US", "RFC5646", "English (United States)")
ECHO_REPORT = Code("125200", "DCM", "Adult Echocardiography Procedure Report")

# Headings
PATIENT_CHARACTERISTICS = Code("121118", "DCM", "Patient Characteristics")
IMAGE_LIBRARY = Code("111028", "DCM", "Image Library")
FINDINGS = Code("59776-5", "LN", "Findings")
MEASUREMENT_GROUP = Code("125007", "DCM", "Measurement Group")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
SUMMARY = Code("121111", "DCM", "Summary")
PRE_COORDINATED = Code("125301", "DCM", "Pre-coordinated Measurements")
POST_COORDINATED = Code("125302", "DCM", "Post-coordinated Measurements")

INTERVENTRICULAR_SEPTUM = Code("589001", "SCT", "Interventricular septum")

# What items are named
CARDIAC_CYCLE_POINT = Code("272518008", "SCT", "Cardiac Cycle Point")
CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
PERSON_OBSERVER_NAME = Code("121008", "DCM", "Person Observer Name")
COMMENT = Code("121106", "DCM", "Comment")
FINDING_SITE = Code("363698007", "SCT", "Finding Site")
IMAGE_MODE = Code("399264008", "SCT", "Image Mode")
IMAGE_VIEW = Code("111031", "DCM", "Image View")
IMAGE_VIEW_MODIFIER = Code("111032", "DCM", "Image View Modifier")
MEASUREMENT_METHOD = Code("370129005", "SCT", "Measurement Method")
SOURCE_OF_MEASUREMENT = Code("121112", "DCM", "Source of Measurement")
FINDING_OBSERVATION_TYPE = Code("125305", "DCM", "Finding Observation Type")
MEASUREMENT_TYPE = Code("125306", "DCM", "Measurement Type")
MEASURED_PROPERTY = Code("125307", "DCM", "Measured Property")
MEASUREMENT_DIVISOR = Code("125308", "DCM", "Measurement Divisor")
REFERENCED_SEGMENT = Code("121191", "DCM", "Referenced Segment")
SHORT_LABEL = Code("125309", "DCM", "Short Label")
UPPER_UNCERTAINTY = Code("371886008", "SCT", "+, range of upper measurement uncertainty")
LOWER_UNCERTAINTY = Code("371885007", "SCT", "-, range of lower measurement uncertainty")

# What no standard concept says
EDITED_BY = Code("EDITED_BY", LOCAL_SCHEME, "Person's correction that the value rests on")
EDITED_STRUCTURE = Code("EDITED_STRUCTURE", LOCAL_SCHEME, "Structure whose outline a person corrected")
NOT_ROUTED = Code("NOT_ROUTED", LOCAL_SCHEME, "Reason why no measurement was made on the image")
NOT_SENT = Code("NOT_SENT", LOCAL_SCHEME, "Reason why the image has no segmentation and no overlay")
NOT_MEASURED = Code("NOT_MEASURED", LOCAL_SCHEME, "Not measured")

# Colours of the structures in viewers, CIELab D50 scaled to 16 bits (PS3.3 C.10.7.1.1)
DISPLAY_CIELAB: dict[Structure, tuple[int, int, int]] = {
    Structure.LV_CAVITY: (34000, 53000, 49000),  # red
    Structure.LV_MYOCARDIUM: (51000, 32000, 52000),  # yellow
    Structure.LA: (37000, 33000, 17000),  # blue
    Structure.RV: (48000, 16000, 46000),  # green
    Structure.RA: (43000, 52000, 20000),  # violet
    Structure.AORTIC_ROOT: (54000, 22000, 29000),  # cyan
}


def concept(code: Code) -> CodedConcept:
    """A code as highdicom's SR classes want it."""
    return CodedConcept(value=code.value, scheme_designator=code.scheme, meaning=code.meaning)


def code_item(code: Code) -> Dataset:
    """A code as an item of a code sequence (PS3.3 8.8)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme
    item.CodeMeaning = code.meaning
    return item


def is_code(item: Dataset, code: Code) -> bool:
    """Does an item of a code sequence hold this code? Meanings do not count (PS3.3 8.2)."""
    held: bool = (item.get("CodeValue"), item.get("CodingSchemeDesignator")) == (code.value, code.scheme)
    return held


def named(item: Dataset, name: Code) -> Iterator[Dataset]:
    """The content items directly below one that have this concept name."""
    for child in item.get("ContentSequence") or []:
        names = child.get("ConceptNameCodeSequence") or []
        if names and is_code(names[0], name):
            yield child
