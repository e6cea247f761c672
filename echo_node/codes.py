"""Coded concepts: views, structures, image modes, quantities, methods, units and reasons.

Each member's ``code`` is what stands in the DICOM objects. Schemes: SCT (SNOMED CT), LN (LOINC),
DCM (PS3.16 Annex D), UCUM (units) and 99ECHONODE (this project's own, where no standard code is).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

LOCAL_SCHEME = "99ECHONODE"


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept (PS3.3 8.8): CodeValue, CodingSchemeDesignator, CodeMeaning."""

    value: str
    scheme: str
    meaning: str


class _Coded(enum.Enum):
    """An enum whose value is its code."""

    @property
    def code(self) -> Code:
        code = self.value
        assert isinstance(code, Code)
        return code


class View(_Coded):
    """Echocardiography image views (PS3.16 CID 12226); OTHER is everything else."""

    PLAX = Code("399139001", "SCT", "Parasternal long axis")
    RV_INFLOW = Code("443082005", "SCT", "Parasternal long axis view of right ventricular inflow tract")
    RV_OUTFLOW = Code("443083000", "SCT", "Parasternal long axis view of right ventricular outflow tract")
    PSAX_AV = Code("399239005", "SCT", "Parasternal short axis at the aortic valve level")
    PSAX_MV = Code("399036006", "SCT", "Parasternal short axis at the mitral valve level")
    PSAX_PM = Code("399271003", "SCT", "Parasternal short axis at the papillary muscle level")
    PSAX_CHORDAE = Code("399371001", "SCT", "Parasternal short axis at the level of the mitral chords")
    PSAX_APEX = Code("399306005", "SCT", "Parasternal short axis")
    A4C = Code("399214001", "SCT", "Apical four chamber")
    A4C_RV = Code("130681", "DCM", "Apical four chamber view, focused on right ventricle")
    A2C = Code("399232001", "SCT", "Apical two chamber")
    A3C = Code("399339008", "SCT", "Apical long axis")
    A5C = Code("398994001", "SCT", "Apical five chamber")
    SUBCOSTAL_4C = Code("399310008", "SCT", "Subcostal four chamber")
    SUBCOSTAL_SAX = Code("399200001", "SCT", "Subcostal short axis")
    IVC = Code("IVC", LOCAL_SCHEME, "Subcostal inferior vena cava")
    SUPRASTERNAL = Code("443562002", "SCT", "Suprasternal long axis")
    TEE_SAX = Code("443698002", "SCT", "Transesophageal short axis")
    OTHER = Code("OTHER", LOCAL_SCHEME, "No standard echocardiographic view")

    @property
    def modifier(self) -> Code | None:
        """The view modifier (111032, DCM) that completes the code, or None."""
        return APEX_OF_LV if self is View.PSAX_APEX else None


APEX_OF_LV = Code("128564006", "SCT", "Apex of left ventricle")


class Structure(_Coded):
    """Anatomic structures that the segmentation head knows as prompts."""

    LV_CAVITY = Code("87878005", "SCT", "Left ventricle")
    LV_MYOCARDIUM = Code("49848007", "SCT", "Myocardium of left ventricle")
    LA = Code("82471001", "SCT", "Left atrium")
    RV = Code("53085002", "SCT", "Right ventricle")
    RA = Code("73829009", "SCT", "Right atrium")
    AORTIC_ROOT = Code("8128003", "SCT", "Aortic root")


class WallPoint(enum.Enum):
    """The four points on one line across a parasternal long axis between which walls are measured."""

    SEPTUM_OUTER = "septum, right ventricular side"
    SEPTUM_INNER = "septum, left ventricular side"
    POSTERIOR_INNER = "posterior wall, left ventricular side"
    POSTERIOR_OUTER = "posterior wall, pericardial side"


class ImageMode(_Coded):
    """Image modes (PS3.16 CID 12224)."""

    TWO_D = Code("399064001", "SCT", "2D mode ultrasound")
    M_MODE = Code("399155008", "SCT", "M-mode ultrasound")
    PW_DOPPLER = Code("261199008", "SCT", "Pulsed wave Doppler")
    CW_DOPPLER = Code("261198000", "SCT", "Continuous wave Doppler")
    COLOUR_FLOW = Code("261197005", "SCT", "Colour flow Doppler")
    TISSUE_DOPPLER = Code("439858009", "SCT", "Tissue Doppler")


class Quantity(_Coded):
    """What is measured (LOINC, PS3.16 CID 12200, post-coordinated for TID 1500 and TID 5200).

    LOINC's only code of the mass index is a pre-coordinated one (CID 12300).
    """

    LVEF = Code("18043-0", "LN", "Left Ventricular Ejection Fraction")
    LV_EDV = Code("18026-5", "LN", "Left Ventricular End Diastolic Volume")
    LV_ESV = Code("18148-7", "LN", "Left Ventricular End Systolic Volume")
    LVEF_COMBINED = Code(
        "LVEF_COMBINED", LOCAL_SCHEME, "Left Ventricular Ejection Fraction on which all methods agree"
    )
    IVSD = Code("18154-5", "LN", "Interventricular Septum Diastolic Thickness")
    LVIDD = Code("29436-3", "LN", "Left Ventricle Internal End Diastolic Dimension")
    LVPWD = Code("18152-9", "LN", "Left Ventricle Posterior Wall Diastolic Thickness")
    LVIDS = Code("29438-9", "LN", "Left Ventricle Internal Systolic Dimension")
    LV_MASS = Code("18087-7", "LN", "Left Ventricle Mass")
    LV_MASS_INDEX = Code("80020-1", "LN", "Left ventricular mass (dimension method) 2D / BSA")
    LV_RWT = Code("LV_RWT", LOCAL_SCHEME, "Left ventricular relative wall thickness")
    LV_GEOMETRY = Code("LV_GEOMETRY", LOCAL_SCHEME, "Left ventricular geometry")


class Geometry(_Coded):
    """Classes of left ventricular geometry, values of LV_GEOMETRY (Lang 2015, section 4)."""

    NORMAL = Code("NORMAL_GEOMETRY", LOCAL_SCHEME, "Normal geometry")
    CONCENTRIC_REMODELLING = Code("CONC_REMODELLING", LOCAL_SCHEME, "Concentric remodelling")
    CONCENTRIC_HYPERTROPHY = Code("CONC_HYPERTROPHY", LOCAL_SCHEME, "Concentric hypertrophy")
    ECCENTRIC_HYPERTROPHY = Code("ECC_HYPERTROPHY", LOCAL_SCHEME, "Eccentric hypertrophy")


class Method(_Coded):
    """Measurement methods (DCM, PS3.16 CID 12227)."""

    DISKS_BIPLANE = Code("125207", "DCM", "Method of Disks, Biplane")
    DISKS_SINGLE_PLANE = Code("125208", "DCM", "Method of Disks, Single Plane")
    DIRECT = Code("125316", "DCM", "Directly measured")
    CUBE = Code("125206", "DCM", "Cube Method")
    TWICE_POSTERIOR_WALL = Code(
        "TWICE_PW_OVER_ID", LOCAL_SCHEME, "Twice the posterior wall over the internal dimension"
    )
    LEARNED = Code("LEARNED_ESTIMATE", LOCAL_SCHEME, "Estimated from the clip by a learned model")


class Unit(_Coded):
    """Units (UCUM)."""

    PERCENT = Code("%", "UCUM", "Percent")
    MILLILITRE = Code("ml", "UCUM", "ml")
    MILLIMETRE = Code("mm", "UCUM", "mm")
    GRAM = Code("g", "UCUM", "g")
    GRAM_PER_SQUARE_METRE = Code("g/m2", "UCUM", "g/m2")
    RATIO = Code("{ratio}", "UCUM", "ratio")
    NO_UNITS = Code("1", "UCUM", "no units")


UNIT_OF: Mapping[Quantity, Unit] = {  # in which the node writes a quantity
    Quantity.LVEF: Unit.PERCENT,
    Quantity.LV_EDV: Unit.MILLILITRE,
    Quantity.LV_ESV: Unit.MILLILITRE,
    Quantity.IVSD: Unit.MILLIMETRE,
    Quantity.LVIDD: Unit.MILLIMETRE,
    Quantity.LVPWD: Unit.MILLIMETRE,
    Quantity.LVIDS: Unit.MILLIMETRE,
    Quantity.LV_MASS: Unit.GRAM,
    Quantity.LV_MASS_INDEX: Unit.GRAM_PER_SQUARE_METRE,
    Quantity.LV_RWT: Unit.RATIO,
}


class CardiacPhase(_Coded):
    """Cardiac cycle points (PS3.16 CID 12233)."""

    END_DIASTOLE = Code("416190007", "SCT", "End diastole")
    END_SYSTOLE = Code("416430001", "SCT", "End systole")


class ObjectKind(enum.Enum):
    """What a destination can be sent."""

    SR = "sr"  # TID 1500, Comprehensive 3D SR
    SR_COMPREHENSIVE = "sr_comprehensive"  # the same for archives that know no Comprehensive 3D SR
    SR_TID5200 = "sr_tid5200"  # Echocardiography Procedure Report
    SR_TID5200_SRT = "sr_tid5200_srt"  # the same in the codes that SNOMED CT has replaced
    SR_TID5300 = "sr_tid5300"  # Simplified Echo Procedure Report
    SEG = "seg"  # a frame per structure, one bit a pixel
    SEG_LABELMAP = "seg_labelmap"  # the same in one frame for all structures
    OVERLAY = "overlay"  # a measured clip with the findings drawn on its frames
    PDF = "pdf"  # one page per study
    REJECTION = "rejection"  # Key Object Selection: which of the others a person rejected
    EDIT = "edit"  # TID 1500, what a person drew on the node and the others rest on


BY_PERSONS = (ObjectKind.REJECTION, ObjectKind.EDIT)  # no results, and asked for by no destination
# The older form in which a result goes to a destination that refuses the class of the newer one
FALLBACKS = {ObjectKind.SR: ObjectKind.SR_COMPREHENSIVE}


class SegTransferSyntax(enum.Enum):
    """How segmentations go to a destination that takes them so; one that does not gets them uncompressed."""

    UNCOMPRESSED = "uncompressed"
    DEFLATED = "deflated"
    JPEG_LS = "jpeg_ls"  # of label maps alone: it has no pixels of one bit


class Reason(_Coded):
    """Why something was not read, not routed or not measured."""

    # about the object
    NOT_DICOM = Code("NOT_DICOM", LOCAL_SCHEME, "Not a DICOM object")
    TRUNCATED = Code("TRUNCATED", LOCAL_SCHEME, "Object ends before its data does")
    MISSING_UID = Code("MISSING_UID", LOCAL_SCHEME, "A required UID is missing or no UID")
    NOT_AN_IMAGE = Code("NOT_AN_IMAGE", LOCAL_SCHEME, "Object holds no ultrasound image")
    UNKNOWN_CODING = Code("UNKNOWN_CODING", LOCAL_SCHEME, "Pixel coding is not supported")
    UNREADABLE = Code("UNREADABLE", LOCAL_SCHEME, "Pixel data cannot be decoded")
    IMPOSSIBLE_SIZE = Code("IMPOSSIBLE_SIZE", LOCAL_SCHEME, "Image size is impossible or over the limit")
    MIXED_PATIENTS = Code("MIXED_PATIENTS", LOCAL_SCHEME, "Study holds more than one patient")
    ANOTHER_PATIENTS = Code("ANOTHER_PATIENTS", LOCAL_SCHEME, "Object is of another patient than its study")
    SAME_UID_OTHER_CONTENT = Code(
        "SAME_UID_OTHER_CONTENT", LOCAL_SCHEME, "SOP Instance UID is known with other content"
    )
    UNACKNOWLEDGED = Code("UNACKNOWLEDGED", LOCAL_SCHEME, "Receipt was cut short before the sender had its answer")
    # about the clip
    SINGLE_FRAME = Code("SINGLE_FRAME", LOCAL_SCHEME, "Still image")
    NO_SECTOR = Code("NO_SECTOR", LOCAL_SCHEME, "No ultrasound sector found")
    NOT_TWO_D = Code("NOT_TWO_D", LOCAL_SCHEME, "Not a 2D grey-scale image")
    LOW_CONFIDENCE = Code("LOW_CONFIDENCE", LOCAL_SCHEME, "View is not certain enough")
    NOT_A_STANDARD_VIEW = Code("NOT_A_STANDARD_VIEW", LOCAL_SCHEME, "No standard echocardiographic view")
    NO_HEAD_FOR_VIEW = Code("NO_HEAD_FOR_VIEW", LOCAL_SCHEME, "No measurement is made on this view")
    NO_HEAD_IN_ENGINE = Code("NOT_IN_ENGINE", LOCAL_SCHEME, "The engine makes no measurement on this view")
    # about the measurement
    VIEW_MISSING = Code("VIEW_MISSING", LOCAL_SCHEME, "A required view is missing")
    NO_CALIBRATION = Code("NO_CALIBRATION", LOCAL_SCHEME, "Image has no usable calibration")
    NO_TIMING = Code("NO_TIMING", LOCAL_SCHEME, "Clip has no usable frame times")
    NO_FULL_CYCLE = Code("NO_FULL_CYCLE", LOCAL_SCHEME, "Clip holds no full cardiac cycle")
    CUT_OFF = Code("CUT_OFF", LOCAL_SCHEME, "Structure reaches beyond the image")
    FORESHORTENED = Code("FORESHORTENED", LOCAL_SCHEME, "View is foreshortened")
    LOW_QUALITY = Code("LOW_QUALITY", LOCAL_SCHEME, "Image quality is too low")
    IMPLAUSIBLE = Code("IMPLAUSIBLE", LOCAL_SCHEME, "Result is outside the plausible range")
    DISAGREEMENT = Code("DISAGREEMENT", LOCAL_SCHEME, "Results of two views or methods disagree")
    NO_BODY_SIZE = Code("NO_BODY_SIZE", LOCAL_SCHEME, "Height or weight of the patient is not known")
    NO_SEX = Code("NO_SEX", LOCAL_SCHEME, "Sex of the patient is not known to be female or male")
    # about a person's correction
    OWN_REPORT = Code("OWN_REPORT", LOCAL_SCHEME, "Report was made by this software")
    NO_CORRECTION = Code("NO_CORRECTION", LOCAL_SCHEME, "Report holds no usable correction of an image")
    NO_PERSON = Code("NO_PERSON", LOCAL_SCHEME, "Report names no person who drew on the image")
    UNKNOWN_CLIP = Code("UNKNOWN_CLIP", LOCAL_SCHEME, "Corrected image is not known")
    OTHER_PATIENT = Code("OTHER_PATIENT", LOCAL_SCHEME, "Corrected image is of another patient")
    OTHER_STUDY = Code("OTHER_STUDY", LOCAL_SCHEME, "Corrected image is of another study")
    OUTSIDE_IMAGE = Code("OUTSIDE_IMAGE", LOCAL_SCHEME, "Correction lies outside the image or its frames")
    # about a result
    OVER_BUDGET = Code("OVER_BUDGET", LOCAL_SCHEME, "Results of the study would exceed the limit")
    ANALYSIS_FAILED = Code("ANALYSIS_FAILED", LOCAL_SCHEME, "Analysis ended with an error")
