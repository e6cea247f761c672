"""What the exams are of: what was measured, what is missing, and how names are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pydicom
from pydicom import Dataset

from echo_node.codes import Code, Method, Quantity, Reason, Structure, View
from echo_node.decisions import DecisionKind, Person
from echo_node.records import Analysis, NotMeasured, Report
from echo_node.reports import build_edit, read_corrections
from echo_node.reports.budget import NO_LIMIT, Budget
from echo_node.reports.example import every_shape
from tests.unit.reports.builders import (
    analysis,
    clip,
    edit,
    edited,
    edited_atrium,
    long_axis,
    refused_line,
    unmeasured,
    with_estimate,
    with_mass,
)
from tests.validation.files import Raw

READER = Person(name="Öztürk^Rosa", organization="Herzklinik Süd", code=Code("4711", "99HC", "Kardiologin"))
ONE_CLIP = replace(NO_LIMIT, max_clips=1)
DECIDED_AT = datetime(2026, 11, 24, 9, 30, 15, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How an exam is made.

    ``sent`` are a cart's attributes, one mapping per clip, as they differ from a tidy cart's.
    """

    analyse: Callable[[Sequence[Dataset]], Analysis]
    sent: Sequence[Mapping[str, Any]] = ({},)
    raw: Mapping[str, Raw] = field(default_factory=dict)
    is_implicit: bool = False
    taken: Mapping[str, str] = field(default_factory=dict)
    file: str = ""  # a real one, in the place of written ones
    decided: DecisionKind | None = None  # by a person, on the latest results
    budget: Budget = NO_LIMIT
    draws: Callable[[Sequence[Dataset]], Report] | None = None  # what a person drew on the node


def one_clip(of: Sequence[Dataset]) -> Analysis:
    return analysis(*(clip(ds) for ds in of))


def _views(of: Sequence[Dataset]) -> Analysis:
    return analysis(
        clip(of[0], structures=tuple(Structure)),
        clip(of[1], view=View.A2C),
        unmeasured(of[2], view=View.PSAX_APEX),
        unmeasured(of[3], prediction=None, outcome=Reason.NOT_TWO_D),
        biplane=True,
    )


def _walls_and_estimate(of: Sequence[Dataset]) -> Analysis:
    """Every kind of number and reason: walls, mass, geometry, a learned EF, and a disagreement."""
    plax = long_axis(of[2])
    apart = NotMeasured(
        quantity=Quantity.LVEF_COMBINED, reason=Reason.DISAGREEMENT, detail="31 points apart", view=View.A4C
    )
    doubtful = NotMeasured(
        quantity=Quantity.LVEF, reason=Reason.LOW_QUALITY, detail="", view=View.A2C, method=Method.LEARNED
    )
    four = with_estimate(clip(of[0], not_measured=(apart,)), ef=30.0)
    two = clip(of[1], view=View.A2C, not_measured=(doubtful,))
    return with_mass(analysis(four, two, plax, biplane=True), plax)


def _corrected(of: Sequence[Dataset]) -> Analysis:
    """Two persons have drawn on it."""
    edits = edit(), edit("2.25.902", observer="Öztürk^Ümit", made_at=None)
    return analysis(edited(of[0], *edits), revision=2)


def drawn_on_the_node(of: Sequence[Dataset]) -> Report:
    """A person's drawings of every shape, kept as the node keeps them."""
    sources = {ds.SOPInstanceUID: ds for ds in of}
    return build_edit(
        every_shape(of[0].SOPInstanceUID), sources, by=READER, reason="Die Außenwand fehlte.", at=DECIDED_AT
    )


def _edited_on_the_node(of: Sequence[Dataset]) -> Analysis:
    ds = pydicom.dcmread(BytesIO(drawn_on_the_node(of).content))
    (by_it,) = {found.edit for found in read_corrections(ds, {source.SOPInstanceUID: source for source in of})}
    return analysis(edited(of[0], by_it), revision=2)


def _over_the_budget(of: Sequence[Dataset]) -> Analysis:
    """Only one of them gets a segmentation and an overlay."""
    return analysis(clip(of[0]), clip(of[1], view=View.A2C), biplane=True)


def _corrected_without_a_number(of: Sequence[Dataset]) -> Analysis:
    """Persons have outlined an atrium, and drawn a line that no heart's wall is as long as."""
    atrium = edited_atrium(of[0], edit(), edit("2.25.902", observer="Öztürk^Ümit", made_at=None))
    return analysis(atrium, refused_line(of[1], edit()), revision=2)


def _late_clip(of: Sequence[Dataset]) -> Analysis:
    return analysis(clip(of[0]), clip(of[1], view=View.A2C), biplane=True, revision=2)


def _uncalibrated(of: Sequence[Dataset]) -> Analysis:
    reason = NotMeasured(quantity=Quantity.LV_EDV, reason=Reason.NO_CALIBRATION, detail="no spacing", view=View.A4C)
    return analysis(clip(of[0], spacing_mm=None, not_measured=(reason,)), revision=3)


def _nothing_measured(of: Sequence[Dataset]) -> Analysis:
    return analysis(*(unmeasured(ds) for ds in of))


def _every_reason(of: Sequence[Dataset]) -> Analysis:
    """A clip for each reason, and each reason as that of a number."""
    clips = [unmeasured(ds, outcome=reason) for ds, reason in zip(of, Reason, strict=True)]
    missing = tuple(
        NotMeasured(quantity=quantity, reason=reason, detail="why", view=View.A4C)
        for quantity, reason in zip([*Quantity] * len(Reason), Reason, strict=False)
    )
    return replace(analysis(*clips), not_measured=missing)


def _every_view(of: Sequence[Dataset]) -> Analysis:
    return analysis(*(unmeasured(ds, view=view) for ds, view in zip(of, View, strict=True)))


def _stills(of: Sequence[Dataset]) -> Analysis:
    return analysis(*(unmeasured(ds, outcome=Reason.SINGLE_FRAME) for ds in of))


_STILL = {"NumberOfFrames": None, "FrameTime": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"}
_BODY = {"PatientSize": "1.75", "PatientWeight": "71.5"}
_REQUESTED = Dataset()
_REQUESTED.RequestedProcedureID = "RP-1"
_REQUESTED.RequestedProcedureDescription = "Échographie transthoracique"
_REQUEST = {"RequestAttributesSequence": [_REQUESTED]}
_ABSENT = dict.fromkeys(
    (
        "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
        "ReferringPhysicianName", "StudyID", "AccessionNumber", "InstanceNumber", "SpecificCharacterSet",
    )
)  # fmt: skip
_EMPTY = dict.fromkeys(_ABSENT, "")
_COMPONENT = "Nguyễn Thị Phương Thảo Hồng Ngọc Bảo Trân^Ánh Tuyết Mai Lan"
# 64 characters of a component group, 16 of SH and 64 of LO, all outside of ASCII
_LONGEST = {
    "SpecificCharacterSet": "ISO_IR 192",
    "PatientName": _COMPONENT.ljust(64, "ế"),
    "PatientID": "号" * 64,
    "IssuerOfPatientID": "醫" * 64,
    "AccessionNumber": "№" * 16,
    "StudyID": "Ω" * 16,
    "StudyDescription": "é" * 64,
    "ReferringPhysicianName": "Đ" * 64,
}

MEASURED: dict[str, Plan] = {
    "four views, all structures, biplane": Plan(analyse=_views, sent=[{}] * 4),
    "walls, mass, learned EF, disagreement": Plan(analyse=_walls_and_estimate, sent=[_BODY] * 3),
    "single clip": Plan(analyse=one_clip),
    "late clip": Plan(analyse=_late_clip, sent=[{}] * 2),
    "a person's correction": Plan(analyse=_corrected),
    "a person's correction that gives no number": Plan(analyse=_corrected_without_a_number, sent=[{}] * 2),
    "a person's drawings on the node": Plan(
        analyse=_edited_on_the_node, sent=[_REQUEST], draws=drawn_on_the_node, decided=DecisionKind.ACCEPTED
    ),
    "more clips than results may have": Plan(analyse=_over_the_budget, sent=[{}] * 2, budget=ONE_CLIP),
    "third revision, uncalibrated, compressed, other time zone": Plan(
        analyse=_uncalibrated,
        sent=[
            {
                "LossyImageCompression": "01",
                "LossyImageCompressionRatio": 11.0,
                "TimezoneOffsetFromUTC": "+0530",
                "SequenceOfUltrasoundRegions": [],
            }
        ],
    ),
    "requested procedure": Plan(analyse=one_clip, sent=[_REQUEST]),
    "nothing measured": Plan(analyse=_nothing_measured),
    "every view": Plan(analyse=_every_view, sent=[{}] * len(View)),
    "every reason": Plan(analyse=_every_reason, sent=[{}] * len(Reason)),
    "only stills": Plan(analyse=_stills, sent=[_STILL] * 2),
    "accepted by a person": Plan(analyse=_walls_and_estimate, sent=[_BODY] * 3, decided=DecisionKind.ACCEPTED),
    "accepted after a correction": Plan(analyse=_corrected, decided=DecisionKind.ACCEPTED),
    "rejected by a person": Plan(analyse=_late_clip, sent=[{}] * 2, decided=DecisionKind.REJECTED),
    "a real file": Plan(analyse=one_clip, file="acuson-a4c-65f-jpeg.dcm"),
}

# What the node makes of them: nothing is measured, and the report says so.
REAL_FILES: dict[str, Plan] = {
    f"a real file, {name}": Plan(analyse=_nothing_measured, file=f"{name}.dcm")
    for name in (
        "GH364",
        "JPGLosslessP14SV1_1s_1f_8b",
        "OBXXXX1A_expb_2frame",
        "US-YBR_FULL_422-EVRLE",
        "US1_J2KR",
        "color-pl",
        "examples_ybr_color",
        "gdcm-US-ALOKA-16",
        "no-pixel-spacing",
    )
}

ABSENT: dict[str, Plan] = {
    "nothing said of patient and study": Plan(analyse=one_clip, sent=[_ABSENT]),
    "all said of patient and study is empty": Plan(analyse=one_clip, sent=[_EMPTY]),
    **{
        f"no {keyword}": Plan(analyse=one_clip, sent=[{keyword: None}])
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber")
    },
    "a size without a weight": Plan(analyse=one_clip, sent=[{"PatientSize": "1.75"}]),
}


def _named(charset: str, name: str, **more: str) -> Plan:
    sent = {"SpecificCharacterSet": charset.split("\\"), "PatientName": name, **more}
    return Plan(analyse=one_clip, sent=[sent], taken={"PatientName": name, **more})


# the names of PS3.5 annexes H to K where there is one
CHARACTER_SETS: dict[str, Plan] = {
    "default character set": Plan(analyse=one_clip, sent=[{"SpecificCharacterSet": None}]),
    "ISO_IR 100": _named("ISO_IR 100", "Buc^Jérôme", StudyDescription="Échographie"),
    "ISO_IR 101": _named("ISO_IR 101", "Wałęsa^Łucja"),
    "ISO_IR 148": _named("ISO_IR 148", "Çavuşoğlu^Işıl"),
    "ISO_IR 144": _named("ISO_IR 144", "Люкceмбypг", ReferringPhysicianName="Пирогов^Николай^Иванович"),
    "ISO_IR 126": _named("ISO_IR 126", "Διονυσιος"),
    "ISO_IR 127": _named("ISO_IR 127", "قباني^لنزار"),
    "ISO_IR 138": _named("ISO_IR 138", "שרון^דבורה"),
    "ISO_IR 166": _named("ISO_IR 166", "นามสกุล^ชื่อ"),
    "ISO_IR 13": _named("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    "ISO 2022 IR 87": _named(
        "\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう", StudyDescription="心エコー"
    ),
    "ISO 2022 IR 13 and 87": _named("ISO 2022 IR 13\\ISO 2022 IR 87", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    "ISO 2022 IR 149": _named("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
    "ISO 2022 IR 58": Plan(
        analyse=one_clip,
        sent=[{"SpecificCharacterSet": ["", "ISO 2022 IR 58"]}],
        raw={"PatientName": ("PN", b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab")},
        taken={"PatientName": "Zhang^XiaoDong=张^小东"},
    ),
    "GB18030": _named("GB18030", "Wang^XiaoDong=王^小东"),
    "GBK": _named("GBK", "Wang^XiaoDong=王^小东"),
    "ISO_IR 192": _named("ISO_IR 192", "Wang^XiaoDong=王^小東"),
    "values of the longest length": Plan(
        analyse=one_clip,
        sent=[_LONGEST],
        taken={keyword: value for keyword, value in _LONGEST.items() if keyword != "SpecificCharacterSet"},
    ),
}
