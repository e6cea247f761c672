"""``echo-node demo``: a cart, the node and an archive on loopback, and what came of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from echo_node.codes import Method, Quantity, WallPoint
from echo_node.config import Config, load
from echo_node.dicom import scu
from echo_node.dicom.clips import open_clip
from echo_node.errors import EchoNodeError, EngineError
from echo_node.inference.manifest import load_manifest
from echo_node.measure.mass import cube_mass_g
from echo_node.phantom import Patient
from echo_node.phantom.clips import SimulatedClip
from echo_node.phantom.exam import SimulatedObject
from echo_node.pictures import clip_tile, contact_sheet, png
from echo_node.pipeline import shown_frames
from echo_node.records import ClipAnalysis, Measurement
from echo_node.reports import Reading, read_report
from echo_node.services import archive
from echo_node.services.opened import opened_store
from echo_node.services.process import utc_now
from echo_node.services.simulate import known_exam, send_exam

_START_SECONDS = 60.0
_RESULT_SECONDS = 600.0
_AE_TITLE = "ECHONODE"


@dataclass(frozen=True, slots=True)
class _Ports:
    node: int
    archive: int
    http: int


def demo(out: Path, *, seed: int, engine: Path) -> int:
    """Run the whole main job once.

    Parameters
    ----------
    out : Path
        Folder for the node's storage, the archive and ``contact-sheet.png``; emptied first.
    seed : int
        The phantom patient.
    engine : Path
        Folder of the package that the node serves.

    Returns
    -------
    int
        0 where the archive holds the report and its EF is the pipeline's.

    Raises
    ------
    EngineError
        The package is not there or not whole; nothing was done.
    """
    engine = engine.resolve()
    try:
        load_manifest(engine)
    except EngineError as error:
        raise EngineError(f"{error}; run it from the folder that holds engines/, or give --engine") from error
    if out.exists():
        _empty(out)
    out.mkdir(parents=True, exist_ok=True)
    ports = _Ports(*_free_ports(3))
    path = _write_config(out, ports, engine)
    config = load(path)
    patient, exam = known_exam(seed, start=utc_now())
    receiving = archive.start(out / "archive", port=ports.archive, http_port=ports.http)
    node = _start_node(path, out / "node.log")
    try:
        archive.wait_for_echo(_AE_TITLE, ports.node, seconds=_START_SECONDS)
        peer = scu.Peer(ae_title=_AE_TITLE, host="127.0.0.1", port=ports.node)
        print(f"cart     -> node      {len(exam)} objects in one association")
        failed = [error for error in send_exam(exam, to=peer, calling_ae="PHANTOMCART") if error]
        if failed:
            raise EchoNodeError(f"the node refused {len(failed)} objects: {failed[0]}")
        released = time.monotonic()
        reading, objects = archive.wait_until(
            lambda: _report_in(receiving), seconds=_RESULT_SECONDS, what="the report"
        )
        print(f"node     -> archive   {objects} objects in {receiving.name}")
        print(f"association release to SR in the archive: {time.monotonic() - released:.1f} s")
    finally:
        node.terminate()
        node.wait(timeout=120)
        receiving.stop()
    return _show(config, out, patient, exam, reading)


def _empty(out: Path) -> None:
    """Remove an earlier demo's folder, and only such a one."""
    if not (out / "config.yaml").exists() and any(out.iterdir()):
        raise EchoNodeError(f"{out} is not empty and no earlier demo's folder; name another with --out")
    shutil.rmtree(out)


def _free_ports(count: int) -> list[int]:
    import socket

    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _write_config(out: Path, ports: _Ports, engine: Path) -> Path:
    """The node's settings for loopback, beside everything else it leaves."""
    settings = {
        "node": {"storage": "storage"},
        "receive": {"ae_title": _AE_TITLE, "port": ports.node, "min_free_disk_mib": 100},
        "study": {"quiet_seconds": 5, "close_on_association_end": True, "association_grace_seconds": 1},
        "analyse": {"engine": str(engine)},
        "deliver": {
            "destinations": [
                {"name": "archive", "ae_title": archive.AE_TITLE, "host": "127.0.0.1", "port": ports.archive}
            ],
            "first_retry_seconds": 1,
        },
    }
    path = out / "config.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return path


def _start_node(path: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as target:
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "echo_node", "--config", str(path), "serve"], stderr=target
        )


def _report_in(receiving: archive.Archive) -> tuple[Reading, int] | None:
    """The report's numbers once the archive holds it."""
    with suppress(OSError):  # an archive that is still starting its HTTP server
        objects = receiving.objects()
        for content in objects:
            reading = read_report(content)
            if reading is not None:
                return reading, len(objects)
    return None


def _show(config: Config, out: Path, patient: Patient, exam: Sequence[SimulatedObject], reading: Reading) -> int:
    """Print truth against measured, and write the contact sheet."""
    with opened_store(config) as store:
        clips = store.clip_analyses(exam[0].ds.StudyInstanceUID)
        paths = {i.SOPInstanceUID: i.path for i in store.study(exam[0].ds.StudyInstanceUID).instances}
    by_uid = {clip.SOPInstanceUID: clip for clip in clips}
    _print_views(exam, by_uid)
    _print_values(patient, exam, reading)
    tiles = []
    for item in exam:
        analysis = by_uid[item.ds.SOPInstanceUID]
        if analysis.prediction is not None:
            source = open_clip(paths[analysis.SOPInstanceUID])
            clip = source.read(shown_frames(analysis, source.NumberOfFrames))
            tiles.append(clip_tile(clip, analysis))
    sheet = out / "contact-sheet.png"
    sheet.write_bytes(png(contact_sheet(tiles, title=f"Phantom patient, true EF {patient.ef:.0f} %")))
    print(f"look at {sheet}")
    return 0 if _agrees(clips, reading) else 1


def _print_views(exam: Sequence[SimulatedObject], clips: dict[str, ClipAnalysis]) -> None:
    print(f"\n{'clip':16} {'recognised as':16} {'p':>5}  outcome")
    for item in exam:
        clip = clips[item.ds.SOPInstanceUID]
        view = "-" if clip.prediction is None else clip.prediction.view.name
        probability = "" if clip.prediction is None else f"{clip.prediction.probability:.2f}"
        outcome = "measured" if clip.outcome is None else clip.outcome.code.meaning
        print(f"{item.clip.view.name:16} {view:16} {probability:>5}  {outcome}")


def _print_values(patient: Patient, exam: Sequence[SimulatedObject], reading: Reading) -> None:
    truth = {Quantity.LVEF: patient.ef, Quantity.LV_EDV: patient.edv_ml, Quantity.LV_ESV: patient.esv_ml}
    by_uid = {item.ds.SOPInstanceUID: item.clip for item in exam}
    print(f"\n{'in the archive':28} {'truth':>7} {'measured':>9}")
    for m in reading.measurements:
        known = truth | wall_truth(by_uid[m.sources[0].SOPInstanceUID])
        digits = 2 if m.quantity is Quantity.LV_RWT else 1
        true = f"{known[m.quantity]:7.{digits}f}" if m.quantity in known else " " * 7
        print(f"{_name(m):28} {true} {m.value:9.{digits}f} {m.unit.code.value}")
    for finding in reading.findings:
        print(f"{finding.quantity.code.meaning}: {finding.value.code.meaning}")
    for n in reading.not_measured:
        if n.quantity is Quantity.LVEF_COMBINED:
            print(f"{n.reason.code.meaning}: {n.detail}")
    print()


def wall_truth(clip: SimulatedClip) -> dict[Quantity, float]:
    """A long-axis clip's true lengths at end diastole and end systole, and what they come to; else empty."""
    if clip.spacing_mm is None or not clip.landmarks:
        return {}
    places = np.stack([clip.landmarks[point] for point in WallPoint]) * np.array(clip.spacing_mm)  # [4,T,2]
    septum, cavity, posterior = np.linalg.norm(np.diff(places, axis=0), axis=2)  # [T] each
    ivsd, lvidd, lvpwd = (float(line[clip.ed_frame]) for line in (septum, cavity, posterior))
    return {
        Quantity.IVSD: ivsd,
        Quantity.LVIDD: lvidd,
        Quantity.LVPWD: lvpwd,
        Quantity.LVIDS: float(cavity[clip.es_frame]),
        Quantity.LV_RWT: 2 * lvpwd / lvidd,
        Quantity.LV_MASS: cube_mass_g(ivsd, lvidd, lvpwd),
    }


def _name(measurement: Measurement) -> str:
    plane = "biplane" if measurement.view is None else measurement.view.name
    by = " learned" if measurement.method is Method.LEARNED else ""
    return f"{measurement.quantity.name} {plane}{by}"


def _agrees(clips: Sequence[ClipAnalysis], reading: Reading) -> bool:
    """Every number that a clip gave stands in the report, to the digits that DICOM carries."""
    sent: dict[object, list[float]] = defaultdict(list)  # several clips may be of one view
    for m in reading.measurements:
        sent[m.quantity, m.view, m.method].append(m.value)
    return bool(sent) and all(
        any(abs(value - m.value) < 1e-3 for value in sent[m.quantity, m.view, m.method])
        for clip in clips
        for m in clip.measurements
    )
