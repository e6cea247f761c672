"""The words of a study's page: who, what was measured, what was not and why, and by what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydicom import Dataset

import echo_node
from echo_node.codes import Reason, Unit, View
from echo_node.decisions import Decision
from echo_node.records import Analysis, ClipAnalysis, Measurement, NotMeasured, Segmentation, Source
from echo_node.reports.envelope import warning
from echo_node.reports.observers import edits_of

TITLE = "Echocardiography: what software found"
COLUMNS = ("Quantity", "View", "Method", "Value", "\u00b1 1 SD", "Clip: frames")
ACCEPTED_PAGE = (
    "Made by software; where a person is named, in part from what that person drew. "
    "Accepted as a whole by the person named above. For research use, not for diagnosis."
)
_DECIMALS = {Unit.RATIO: 2}  # all others: 1

Row = tuple[str, str, str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageState:
    """Whether a person stands for the page: the one thing on it that changes once it is made."""

    headline: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PageText:
    """What stands on the page beside pictures and curves."""

    patient: tuple[str, ...]  # lines
    rows: tuple[Row, ...]
    remarks: tuple[str, ...]  # paragraphs: findings, disagreements, reasons
    foot: tuple[str, ...]  # lines
    state: PageState


PRELIMINARY = "PRELIMINARY: not checked by a person"


def clip_numbers(sources: Mapping[str, Dataset]) -> Mapping[str, str]:
    """How clips are called, by SOPInstanceUID: by instance, or by series and instance where instances repeat."""
    numbers = {uid: str(ds.get("InstanceNumber") or "?") for uid, ds in sources.items()}
    if len(set(numbers.values())) == len(numbers):
        return numbers
    return {uid: f"{sources[uid].get('SeriesNumber') or '?'}/{number}" for uid, number in numbers.items()}


def page_text(analysis: Analysis, sources: Mapping[str, Dataset]) -> PageText:
    """The words for a study.

    Parameters
    ----------
    analysis : Analysis
        Of one study.
    sources : mapping of SOPInstanceUID to Dataset
        Normalised headers (:func:`echo_node.reports.source.read_source`); at least one.
    """
    source = next(iter(sources.values()))
    clips = clip_numbers(sources)
    views = {c.SOPInstanceUID: c.prediction.view.name for c in analysis.clips if c.prediction is not None}
    return PageText(
        patient=_patient(source),
        rows=tuple(_row(m, clips, views) for m in sorted(analysis.measurements, key=_order)),
        remarks=(
            *_edited(analysis),
            *_findings(analysis),
            *_reasons(analysis.not_measured),
            *_passed_over(analysis, clips),
        ),
        foot=_foot(analysis),
        state=PageState(headline=PRELIMINARY, sentence=warning(analysis)),
    )


def accepted_state(decision: Decision) -> PageState:
    """The state of a page that a person has accepted."""
    by = decision.by
    at = f"{decision.made_at:%Y-%m-%d %H:%M:%S %Z}"
    return PageState(headline=f"ACCEPTED by {by.name} ({by.organization}), {at}", sentence=ACCEPTED_PAGE)


def _patient(source: Dataset) -> tuple[str, ...]:
    """Identification as the archive has it: nothing is reordered, nothing left out."""
    issuer = source.get("IssuerOfPatientID")
    who = (
        ("Patient", source.PatientName),
        ("ID", f"{source.PatientID} ({issuer})" if issuer else source.PatientID),
        ("Born", source.PatientBirthDate),
        ("Sex", source.PatientSex),
    )
    what = (
        ("Study", source.StudyDate),
        ("Time", source.StudyTime),
        ("Accession", source.AccessionNumber),
        ("Study ID", source.StudyID),
        ("Description", source.get("StudyDescription")),
        ("Referred by", source.ReferringPhysicianName),
    )
    return tuple("   ".join(f"{name}: {value or '-'}" for name, value in line) for line in (who, what))


def _order(measurement: Measurement) -> tuple[bool, int]:
    """Biplane first, then view by view."""
    view = measurement.view
    return view is not None, 0 if view is None else list(View).index(view)


def _row(measurement: Measurement, clips: Mapping[str, str], views: Mapping[str, str]) -> Row:
    digits = _DECIMALS.get(measurement.unit, 1)
    uncertainty = measurement.uncertainty
    return (
        measurement.quantity.code.meaning,
        ", ".join(dict.fromkeys(views.get(s.SOPInstanceUID, "?") for s in measurement.sources)),
        measurement.method.code.meaning,
        f"{measurement.value:.{digits}f} {_unit(measurement.unit)}".rstrip(),
        "-" if uncertainty is None else f"{uncertainty:.{digits}f}",
        "; ".join(_place(s, clips) for s in measurement.sources),
    )


def _unit(unit: Unit) -> str:
    return "" if unit in (Unit.RATIO, Unit.NO_UNITS) else unit.code.value


def _place(source: Source, clips: Mapping[str, str]) -> str:
    return f"{clips.get(source.SOPInstanceUID, '?')}: {', '.join(map(str, source.frame_numbers))}"


def _edited(analysis: Analysis) -> Iterable[str]:
    """Which numbers and outlines rest on what a person drew, what gave no number, and who that was."""
    numbers = [_with_view(m) for m in sorted(analysis.measurements, key=_order) if m.edits]
    outlines = [_outline(s, clip) for clip in analysis.clips for s in clip.segmentations if s.edits]
    missing = [f"{_with_view(n)}, not measured" for n in analysis.not_measured if n.edits]
    edited = dict.fromkeys((*numbers, *outlines, *missing))
    if edited:
        names = "; ".join(dict.fromkeys(edit.observer for edit in edits_of(analysis)))
        yield f"Edited, by {names}: {', '.join(edited)}"
    for reason in dict.fromkeys(edit.reason for edit in edits_of(analysis) if edit.reason):
        yield f"Edited because: {reason}"


def _with_view(item: Measurement | NotMeasured) -> str:
    view = "" if item.view is None else f" ({item.view.name})"
    return f"{item.quantity.code.meaning}{view}"


def _outline(segmentation: Segmentation, clip: ClipAnalysis) -> str:
    view = "" if clip.prediction is None else f" ({clip.prediction.view.name})"
    return f"outline of {segmentation.structure.code.meaning}{view}"


def _findings(analysis: Analysis) -> Iterable[str]:
    return (f"{f.quantity.code.meaning}: {f.value.code.meaning}" for f in analysis.findings)


def _reasons(items: Iterable[NotMeasured]) -> Iterable[str]:
    """What was not measured, quantities that share a reason together; disagreements first."""
    together: dict[tuple[object, ...], list[NotMeasured]] = {}
    for item in items:
        together.setdefault((item.reason, item.view, item.method, item.detail), []).append(item)
    for group in sorted(together.values(), key=lambda g: g[0].reason is not Reason.DISAGREEMENT):
        first = group[0]
        of = [part.code.meaning for part in (first.view, first.method) if part is not None]
        quantities = ", ".join(dict.fromkeys(item.quantity.code.meaning for item in group))
        where = f" ({', '.join(of)})" if of else ""
        detail = f" ({first.detail})" if first.detail else ""
        yield f"Not measured: {quantities}{where}. {first.reason.code.meaning}{detail}"


def _passed_over(analysis: Analysis, clips: Mapping[str, str]) -> Iterable[str]:
    """Clips that were not measured, those with one reason together."""
    together: dict[Reason, list[str]] = {}
    for clip in sorted(analysis.clips, key=lambda c: _number(clips.get(c.SOPInstanceUID, "?"))):
        if clip.outcome is not None:
            together.setdefault(clip.outcome, []).append(_named(clip, clips))
    for reason, named in together.items():
        yield f"Clips not measured. {reason.code.meaning}: {', '.join(named)}"


def _named(clip: ClipAnalysis, clips: Mapping[str, str]) -> str:
    number = clips.get(clip.SOPInstanceUID, "?")
    if clip.prediction is None:
        return number
    return f"{number} ({clip.prediction.view.name} {clip.prediction.probability:.2f})"


def _number(text: str) -> tuple[tuple[int, str], ...]:
    return tuple((int(part), "") if part.lstrip("+-").isdecimal() else (0, part) for part in text.split("/"))


def _foot(analysis: Analysis) -> tuple[str, ...]:
    engine = analysis.engine
    replaces = f"; replaces the page of revision {analysis.revision - 1}" if analysis.revision > 1 else ""
    return (
        "Views by their short names; clips by instance, or series/instance. "
        "\u00b1 1 SD is repeatability over frames and beats, not accuracy; for a learned estimate the model's own.",
        f"Engine {engine.name} {engine.version}, digest {engine.digest}",
        f"echo-node {echo_node.__version__}, {engine.backend}; made {analysis.made_at:%Y-%m-%d %H:%M:%S %Z}; "
        f"revision {analysis.revision}{replaces}; study {analysis.StudyInstanceUID}",
    )
