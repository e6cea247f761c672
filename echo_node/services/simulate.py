"""``echo-node simulate``: a cart that sends a phantom patient's exam."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom import dcmwrite

from echo_node.dicom import scu
from echo_node.phantom import Patient, sample_patient
from echo_node.phantom.exam import SimulatedObject, simulate_exam
from echo_node.phantom.heart import Condition, Rhythm
from echo_node.services.process import utc_now


def simulate(to: tuple[str, str, int], *, calling_ae: str, seed: int) -> int:
    """Send one exam; prints what was sent and what the patient's truth is.

    Raises
    ------
    DeliveryError
        Nobody answers C-ECHO there: asked first, for an exam takes long to make.
    """
    peer = scu.Peer(ae_title=to[0], host=to[1], port=to[2])
    scu.echo(peer, calling_ae=calling_ae)
    patient, exam = known_exam(seed, start=utc_now())
    errors = send_exam(exam, to=peer, calling_ae=calling_ae)
    for item, error in zip(exam, errors, strict=True):
        status = "sent" if error is None else f"failed: {error}"
        print(f"{item.clip.view.name:14} {item.ds.SOPInstanceUID}  {status}")
    print(f"truth: EF {patient.ef:.1f} %, EDV {patient.edv_ml:.0f} ml, ESV {patient.esv_ml:.0f} ml")
    return 1 if any(errors) else 0


def known_exam(seed: int, *, start: datetime) -> tuple[Patient, list[SimulatedObject]]:
    """The patient and the exam that belong to a seed; UIDs differ with the start time, pictures do not.

    A usual patient in a regular rhythm: what an exam is tried with, not what an engine is judged by.
    """
    rng = np.random.default_rng(seed)
    patient = sample_patient(rng, Condition.NORMAL, rhythm=Rhythm.REGULAR)
    return patient, simulate_exam(patient, rng=rng, start=start)


def send_exam(exam: Sequence[SimulatedObject], *, to: scu.Peer, calling_ae: str) -> Sequence[Exception | None]:
    """Send an exam in one association, as a cart at the end of an exam does."""
    with tempfile.TemporaryDirectory() as folder:
        outgoing = []
        for number, item in enumerate(exam):
            path = Path(folder) / f"{number:03d}.dcm"
            dcmwrite(path, item.ds, enforce_file_format=True)
            outgoing.append(scu.Outgoing(item.ds.SOPClassUID, item.ds.SOPInstanceUID, path))
        return scu.send(outgoing, to=to, calling_ae=calling_ae)
