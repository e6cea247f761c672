"""What validators are expected to say, and why it stands: the table of docs/validation.md."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from echo_node.codes import ObjectKind

LONGEST, TOO_LONG, SEVERAL = (
    "values of the longest length", "values that are too long", "several values where one may stand",
)  # fmt: skip
NOTHING_SAID, ALL_EMPTY = "nothing said of patient and study", "all said of patient and study is empty"
NO_DATES, WRONG_LENGTHS = "dates and times that do not exist", "numbers of a wrong length"
UNCALIBRATED, REAL_FILE = "third revision, uncalibrated, compressed, other time zone", "a real file"
GH364, LOSSLESS, YBR_422, JPEG_2000, RETIRED, YBR = (
    f"a real file, {name}"
    for name in (
        "GH364",
        "JPGLosslessP14SV1_1s_1f_8b",
        "US-YBR_FULL_422-EVRLE",
        "US1_J2KR",
        "color-pl",
        "examples_ybr_color",
    )
)
MISSING = ("no PatientName", "no PatientID", "no PatientBirthDate", "no PatientSex")
JAPANESE = ("ISO 2022 IR 87", "ISO 2022 IR 13 and 87")
DRAWN_HERE = "a person's drawings on the node"
ACCEPTED = ("accepted by a person", "accepted after a correction", DRAWN_HERE)
LEADING_ZERO = "a UID with a leading zero"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A message that stands, and where it may: in these exams and objects, in any where none is named."""

    validator: str
    says: str  # a part of the line
    why: str
    exams: tuple[str, ...] = ()
    kinds: tuple[ObjectKind, ...] = ()

    def fits(self, validator: str, line: str, exam: str, kind: ObjectKind | None) -> bool:
        """Is this the message? ``kind`` is None where the line is of a study, not of an object."""
        return (
            self.validator == validator
            and self.says in line
            and (not self.exams or exam in self.exams)
            and (not self.kinds or kind in self.kinds)
        )


NAMED = (
    Named(
        validator="dciodvfy",
        says="Unrecognized defined term = <99ECHONODE>",
        why="The scheme of the node's own codes. The Coding Scheme Identification Sequence says whose it is; "
        "dciodvfy warns of every scheme that the standard does not list.",
    ),
    Named(
        validator="dciodvfy",
        says="Unrecognized defined term = <99HC>",
        exams=ACCEPTED,
        why="The scheme in which that hospital numbers who accepts, as the person gave it.",
    ),
    Named(
        validator="dciodvfy",
        says="CodingSchemeDesignator is deprecated = <SRT>",
        kinds=(ObjectKind.SR_TID5200_SRT,),
        why="This object is made for receivers that know only the retired codes.",
    ),
    Named(
        validator="dciodvfy",
        says="ContributingEquipmentSequence(0018,a001)[1]/DeviceUID(0018,1002)> - Attribute is not present",
        why="Type 3 in that sequence (PS3.3 table C.12-1); dciodvfy's table lacks it.",
    ),
    Named(
        validator="dciodvfy",
        says="Retired Person Name form",
        exams=("ISO_IR 126", "ISO_IR 144", LONGEST, REAL_FILE, GH364, RETIRED, YBR),
        why="A name without component delimiters, as the cart sent it. The patient has one name in a study.",
    ),
    Named(
        validator="dciodvfy",
        says="Missing attribute or value that would be needed to build DICOMDIR",
        exams=(
            NOTHING_SAID,
            ALL_EMPTY,
            "no PatientID",
            NO_DATES,
            WRONG_LENGTHS,
            GH364,
            LOSSLESS,
            YBR_422,
            RETIRED,
        ),
        why="The cart left it out; it is type 2, so empty. The node invents nothing of a patient or a study.",
    ),
    Named(
        validator="dciodvfy",
        says="Laterality(0020,0060)> - is only permitted to be empty when actually unknown",
        kinds=(ObjectKind.OVERLAY,),
        why="The heart is unpaired. Where the attribute is absent, dciodvfy says that it is missing (an error).",
    ),
    Named(
        validator="dciodvfy",
        says="Length invalid for this VR",
        exams=(LONGEST,),
        why="dciodvfy counts bytes. The lengths of PS3.5 table 6.2-1 are characters, and these are within them.",
    ),
    Named(
        validator="dciodvfy",
        says="Length invalid for this VR",
        exams=(TOO_LONG,),
        why="The cart's identifiers are longer than they may be. Cut short they would be those of another patient "
        "or order, and no longer those of the images in the archive.",
    ),
    Named(
        validator="dciodvfy",
        says="Bad attribute Value Multiplicity",
        exams=(SEVERAL,),
        why="The cart's Patient ID or Patient's Name has a backslash. A part of it would be another identifier.",
    ),
    Named(
        validator="dciodvfy",
        says="Value invalid for this VR [UI]",
        exams=(LEADING_ZERO,),
        why="A UID of the cart's with a leading zero. Results refer to the images by the UIDs that these have.",
    ),
    Named(
        validator="dciodvfy",
        says="Illegal root for UID = <999.999",
        exams=(RETIRED,),
        why="The cart's own UIDs. Results refer to the images by the UIDs that these have.",
    ),
    Named(
        validator="dsrdump",
        says="The VR checker does not support this Specific Character Set: ISO_IR 192",
        why="DCMTK 3.6.7 does not check values in UTF-8. dciodvfy and the readers do.",
    ),
    Named(
        validator="dsrdump",
        says="Check for template constraints not yet supported",
        kinds=(ObjectKind.SR_TID5300, ObjectKind.REJECTION),
        why="DCMTK checks the relations of a Simplified Adult Echo SR and of a Key Object Selection, not their "
        "templates.",
    ),
    Named(
        validator="dsrdump",
        says="VM != 1 in PatientModule",
        exams=(SEVERAL,),
        why="As of dciodvfy: the cart's identifiers are passed on whole.",
    ),
    Named(
        validator="dsrdump",
        says="SeriesInstanceUID (0020,000e) violates VR definition",
        exams=(LEADING_ZERO,),
        why="As of dciodvfy: the cart's own UID.",
    ),
    Named(
        validator="reader",
        says="IndexError: list index out of range, of an object with a number without a value",
        kinds=(ObjectKind.SR_TID5300,),
        why="highdicom 0.28 cannot read a NUM item without a value, which PS3.3 C.18.1 allows beside a Numeric "
        "Value Qualifier. pydicom and DCMTK read it.",
    ),
    Named(
        validator="reader",
        says="Sequence does not have the required attributes for a Pixel Measures Sequence",
        exams=(UNCALIBRATED,),
        kinds=(ObjectKind.SEG, ObjectKind.SEG_LABELMAP),
        why="A clip without calibration has no spacing to give; the attributes are type 1C (PS3.3 C.7.6.16.2.1). "
        "highdicom 0.28 wants them in any case; OHIF 3.13 wants the sequence, if empty.",
    ),
    Named(
        validator="reader",
        says="exceeds the maximum length",
        exams=(TOO_LONG,),
        why="As of dciodvfy: too long already when the cart sent it.",
    ),
    Named(
        validator="reader",
        says="Invalid value for VR UI",
        exams=(LEADING_ZERO,),
        why="As of dciodvfy: the cart's own UID.",
    ),
    Named(
        validator="dcentvfy",
        says="Element=<AccessionNumber> IE <Study> versus <Series>",
        why="dcentvfy counts the Accession Number as a study's in images and as a series' in reports, where it "
        "also stands in the Referenced Request Sequence. The values are the same.",
    ),
    Named(
        validator="dcentvfy",
        says="Element=<AccessionNumber> IE <Series> versus <Study>",
        exams=("rejected by a person", DRAWN_HERE),
        why="The same, of a Key Object Selection and of what a person drew, where dcentvfy says it the other way "
        "round.",
    ),
    Named(
        validator="dcentvfy",
        says="Attribute present in one instance but not the other",
        exams=(NOTHING_SAID, REAL_FILE, GH364, LOSSLESS, YBR_422, JPEG_2000, RETIRED, YBR, *MISSING),
        why="What the cart left out is empty in the results, where it is type 2. What results do not need stays "
        "with the images, and so does a height or weight of nothing.",
    ),
    Named(
        validator="dcentvfy",
        says="Attribute is empty (zero length) in one instance",
        exams=(GH364,),
        why="An attribute of type 2 that the cart left out.",
    ),
    Named(
        validator="dcentvfy",
        says="Missing SOPInstanceUID that was referenced",
        exams=(GH364, LOSSLESS, JPEG_2000),
        why="The cart's file refers to others of its exam, which nobody has published.",
    ),
    Named(
        validator="dcentvfy",
        says="Unrecognized SOP Class - 1.2.840.10008.5.1.4.1.1.6 ",
        exams=(RETIRED,),
        why="The cart's file is of a retired class.",
    ),
    Named(
        validator="dcentvfy",
        says="Different information entities for attribute",
        exams=(RETIRED,),
        why="The same: dcentvfy does not know whose attributes those of a retired class are.",
    ),
    Named(
        validator="dcentvfy",
        says="String attribute has different value",
        exams=JAPANESE,
        why="dcentvfy compares bytes. The images are given to it in UTF-8, but DCMTK's dcmconv cannot decode this "
        "set. What the results say is held against the text that was sent.",
    ),
    Named(
        validator="PixelMed",
        says="not found in context group 100",
        why="Echocardiography (40701008, SCT) as the procedure: CID 100 may be extended, and PixelMed's has no "
        "ultrasound.",
    ),
    Named(
        validator="PixelMed",
        says="range of upper measurement uncertainty",
        why="PixelMed holds every NUM below a measurement against these rows of TID 300, whatever its name.",
    ),
    Named(
        validator="PixelMed",
        says="range of lower measurement uncertainty",
        why="The same for the lower end of the range.",
    ),
    Named(
        validator="PixelMed",
        says="Template 1003 PersonObserverIdentifyingAttributes",
        exams=("a person's correction", "accepted after a correction"),
        why="Two persons have drawn. TID 1001 takes any number of observers; PixelMed takes one.",
    ),
    Named(
        validator="PixelMed",
        says="Content Item not in template",
        why="A warning. TID 1500 and TID 1501 may be extended, and are: view, image mode, and reasons why a number "
        "is missing.",
    ),
)


def unnamed(validator: str, lines: Iterable[str], exam: str, kind: ObjectKind | None) -> list[str]:
    """The lines that nothing here explains."""
    return [line for line in lines if not any(named.fits(validator, line, exam, kind) for named in NAMED)]


def table() -> str:
    """The named messages in Markdown."""
    rows = ["| validator | says | in | why it stands |", "| --- | --- | --- | --- |"]
    for named in NAMED:
        where = [f'"{exam}"' for exam in named.exams] + [f"`{kind.value}`" for kind in named.kinds]
        rows.append(f"| {named.validator} | {named.says} | {', '.join(where) or 'any'} | {named.why} |")
    return "\n".join(rows)
