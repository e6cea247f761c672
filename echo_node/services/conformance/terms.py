"""Section 8.3 of the statement: the codes that the node writes."""

from __future__ import annotations

from collections.abc import Iterator

from echo_node import codes
from echo_node.codes import LOCAL_SCHEME, Code
from echo_node.reports import coded
from echo_node.services.conformance.markdown import table

_GROUPS = (  # what is coded, and where the code stands
    ("Views", codes.View, "value of Image View (111031, DCM); after CID 12226"),
    ("Image modes", codes.ImageMode, "value of Image Mode (399264008, SCT); after CID 12224"),
    ("Structures", codes.Structure, "Segmented Property Type; value of Finding Site (363698007, SCT)"),
    ("Quantities", codes.Quantity, "concept name of a number, a class or a reason; after CID 12200"),
    ("Geometry", codes.Geometry, "value of the quantity LV_GEOMETRY"),
    ("Methods", codes.Method, "value of Measurement Method (370129005, SCT); after CID 12227"),
    ("Units", codes.Unit, "Measurement Units Code Sequence"),
    ("Cardiac cycle points", codes.CardiacPhase, "value of Cardiac Cycle Point (272518008, SCT); after CID 12233"),
    ("Reasons", codes.Reason, "value of a quantity that was not measured, or of NOT_ROUTED"),
)


def sections() -> list[str]:
    """Context groups, templates and private codes (PS3.2 A.8.3)."""
    return [
        "### 8.3 Coded terminology and templates",
        "#### 8.3.1 Context groups",
        *_groups(),
        "Concept names and values of their own",
        table(("code value", "scheme", "meaning"), [_row(code) for code in _of_reports()]),
        "#### 8.3.2 Template specifications",
        "TID 1500 (Measurement Report) with TID 1410 (Planar ROI Measurements), TID 300 (Measurement), TID 310 "
        "(Measurement Properties), TID 1004 (Device Observer) and TID 4019 (Algorithm Identification). Added to "
        "them: an IMAGE item in a group that names the measured segment, a CODE item for each structure that a "
        "person corrected, a COMMENT below a reason, and below each of these and of the numbers the persons whose "
        "corrections they rest on, with their reports. TID 5200 (Echocardiography Procedure Report) "
        "and TID 5300 (Simplified Echo Procedure Report), filled as docs/results.md says. The node defines "
        "no template of its own.",
        "#### 8.3.3 Private code definitions",
        f"Coding scheme {LOCAL_SCHEME}, named in the report's Coding Scheme Identification Sequence: codes where "
        "no standard code is.",
        table(("code value", "meaning"), [(code.value, code.meaning) for code in _own()]),
    ]


def _groups() -> Iterator[str]:
    for title, group, use in _GROUPS:
        yield f"{title}: {use}"
        yield table(("code value", "scheme", "meaning"), [_row(member.code) for member in group])


def _row(code: Code) -> tuple[str, str, str]:
    return code.value, code.scheme, code.meaning


def _of_reports() -> list[Code]:
    return [value for value in (*vars(coded).values(), codes.APEX_OF_LV) if isinstance(value, Code)]


def _own() -> list[Code]:
    grouped = [member.code for _, group, _ in _GROUPS for member in group]
    return [code for code in (*grouped, *_of_reports()) if code.scheme == LOCAL_SCHEME]
