"""``echo-node analyse-folder``: the same analysis without a network or a database."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from filecmp import cmp
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset

from echo_node.codes import Method, ObjectKind, Reason
from echo_node.config import Config
from echo_node.dicom.clips import ClipFile, open_clip
from echo_node.dicom.header import Header, read_header
from echo_node.errors import ClipError, EchoNodeError
from echo_node.inference.engine import Engine
from echo_node.patients import are_several, patient_of
from echo_node.pictures import clip_tile, png
from echo_node.pipeline import Rules, analyse_clip, shown_frames, summarise_study
from echo_node.records import Clip, ClipAnalysis, Measurement
from echo_node.reports import build_reports
from echo_node.services.engines import open_engine
from echo_node.services.process import private_files, utc_now
from echo_node.services.sources import readable_source

_WRITTEN = (ObjectKind.SR, ObjectKind.SEG, ObjectKind.OVERLAY, ObjectKind.PDF)
_PER_CLIP = (ObjectKind.SEG, ObjectKind.OVERLAY)


def analyse_folder(config: Config, folder: Path, out: Path) -> int:
    """Analyse every DICOM file below a folder; one result folder per study.

    Each study's folder gets ``sr.dcm``, ``pdf.dcm``, one ``seg-*.dcm`` and one ``overlay-*.dcm`` per measured
    clip, one PNG per clip that can be shown and ``results.json``. A file that is not DICOM is named and passed
    over. A study of more than one patient is named and gets none of it.

    Parameters
    ----------
    config : Config
        Engine and routing.
    folder : Path
        With DICOM files.
    out : Path
        For the results: made, or empty, and not inside of ``folder``.

    Raises
    ------
    EchoNodeError
        A folder cannot be used.

    Returns
    -------
    int
        The exit status: 1 where there was no study, or one of several patients.
    """
    if not folder.is_dir():
        raise EchoNodeError(f"{folder} is not a folder")
    _check_target(folder, out)
    engine = open_engine(config)
    rules = Rules(routing=config.routing, max_frames=config.analyse.max_frames)
    studies: dict[str, list[tuple[Header, Path]]] = defaultdict(list)
    for header, path in _dicom_files(folder):
        studies[header.StudyInstanceUID].append((header, path))
    good = {uid: files for uid, files in sorted(studies.items()) if _is_of_one_patient(uid, files)}
    with private_files():
        for number, (uid, files) in enumerate(good.items(), start=1):
            target = out / f"study-{number:03d}"
            target.mkdir()
            _analyse(uid, files, engine=engine, rules=rules, out=target, made_at=utc_now())
    print(f"{len(good)} studies in {out}")
    return 0 if good and len(good) == len(studies) else 1


def _check_target(folder: Path, out: Path) -> None:
    """Results of another run would be taken for these; inside of what is read these would be read again."""
    if out.resolve().is_relative_to(folder.resolve()):
        raise EchoNodeError(f"{out} lies in {folder}, which is read: name another folder for the results (--out)")
    if out.exists() and not out.is_dir():
        raise EchoNodeError(f"{out} is no folder: name another for the results (--out)")
    if out.is_dir() and any(out.iterdir()):
        raise EchoNodeError(f"{out} is not empty: move away what is there, or name another folder (--out)")
    with private_files():
        out.mkdir(parents=True, exist_ok=True)


def _dicom_files(folder: Path) -> Iterator[tuple[Header, Path]]:
    """The objects below a folder, each once: by its UID, the first in the order of names."""
    known: dict[str, Path] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        header = read_header(path)
        if not (header.StudyInstanceUID and header.SOPInstanceUID):
            reason = "" if header.reason is None else header.reason.code.meaning
            print(f"{path}: passed over: {reason}")
            continue
        first = known.setdefault(header.SOPInstanceUID, path)
        if first is path:
            yield header, path
        elif cmp(first, path, shallow=False):
            print(f"{path}: passed over: the same as {first}")
        else:
            print(f"{path}: not analysed: {Reason.SAME_UID_OTHER_CONTENT.code.meaning} ({first})")


def _is_of_one_patient(uid: str, files: Sequence[tuple[Header, Path]]) -> bool:
    if not are_several([patient_of(header.PatientID, header.PatientBirthDate) for header, _ in files]):
        return True
    print(f"study {uid}: not analysed: {Reason.MIXED_PATIENTS.code.meaning}")
    for _, path in files:
        print(f"  {path}")
    return False


def _analyse(
    uid: str,
    files: list[tuple[Header, Path]],
    *,
    engine: Engine,
    rules: Rules,
    out: Path,
    made_at: datetime,
) -> None:
    clips: list[ClipAnalysis] = []
    sources: dict[str, Dataset] = {}
    for number, (header, path) in enumerate(files, start=1):
        clip = analyse_clip(
            path,
            SOPInstanceUID=header.SOPInstanceUID,
            StudyInstanceUID=uid,
            engine=engine,
            rules=rules,
        )
        clips.append(clip)
        source = readable_source(path)
        if source is not None:
            sources[header.SOPInstanceUID] = source
        _write_picture(path, clip, out / f"clip-{number:03d}.png")
        print(f"{path.name}: {_line(clip)}")
    analysis = summarise_study(uid, clips, revision=1, engine=engine, made_at=made_at)
    paths = {header.SOPInstanceUID: path for header, path in files}
    reports = build_reports(analysis, sources, kinds=_WRITTEN, frames=lambda uid: open_clip(paths[uid]))
    for number, report in enumerate(reports, start=1):
        name = f"{report.kind.value}-{number:03d}.dcm" if report.kind in _PER_CLIP else f"{report.kind.value}.dcm"
        (out / name).write_bytes(report.content)
    (out / "results.json").write_text(json.dumps(plain(analysis), indent=2), encoding="utf-8")


def _write_picture(path: Path, analysis: ClipAnalysis, target: Path) -> None:
    """A tile of whatever can be shown; what is refused as a whole has been said."""
    try:
        source = open_clip(path)
        clip = _shown(source, shown_frames(analysis, source.NumberOfFrames))
    except ClipError as error:
        if error.reason is not analysis.outcome:
            print(f"{path.name}: no picture: {error.reason.code.meaning}")
        return
    target.write_bytes(png(clip_tile(clip, analysis)))


def _shown(source: ClipFile, indices: Sequence[int]) -> Clip:
    """Frames cut to their sector; whole ones of a spectrum, say, which has none."""
    try:
        return source.read(indices)
    except ClipError as error:
        if error.reason not in (Reason.NOT_TWO_D, Reason.NO_SECTOR):
            raise
        return source.read_whole(indices)


def _line(clip: ClipAnalysis) -> str:
    view = "no view" if clip.prediction is None else clip.prediction.view.name
    if clip.outcome is not None:
        return f"{view}; not measured: {clip.outcome.code.meaning} ({clip.detail})"
    return f"{view}; {', '.join(_said(m) for m in clip.measurements)}"


def _said(measurement: Measurement) -> str:
    by = " learned" if measurement.method is Method.LEARNED else ""
    return f"{measurement.quantity.name}{by} {measurement.value:.1f} {measurement.unit.code.value}"


def plain(value: Any) -> Any:
    """Records as plain JSON values: enums by name, masks by their area in pixels per frame."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, np.ndarray):
        return (value.sum(axis=(1, 2)) if value.ndim == 3 else value.round(3)).tolist()
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return value.isoformat() if isinstance(value, datetime) else value
