"""``echo-node requeue``: what was given up is tried again, once a person has mended what failed it."""

from __future__ import annotations

from echo_node.config import Config
from echo_node.errors import EchoNodeError
from echo_node.records import JobKind
from echo_node.services.opened import opened_store


def requeue(config: Config, *, StudyInstanceUID: str | None, destination: str | None) -> int:
    """Give dead jobs and deliveries a fresh start, and print how many.

    Parameters
    ----------
    config : Config
        The node's settings. Deliveries to destinations that it no longer names stay as they are.
    StudyInstanceUID : str, optional
        Only what is of this study.
    destination : str, optional
        Only deliveries to this one.

    Raises
    ------
    EchoNodeError
        The study or the destination is not known.
    """
    names = [d.name for d in config.deliver.destinations]
    if destination is not None and destination not in names:
        raise EchoNodeError(f"{destination!r} is not in deliver.destinations; there: {', '.join(names) or 'none'}")
    with opened_store(config) as store:
        if StudyInstanceUID is not None:
            store.study(StudyInstanceUID)
        if destination is None:
            jobs = store.requeue_jobs(StudyInstanceUID)
            clips, corrections, reports = (jobs[k] for k in (JobKind.CLIP, JobKind.CORRECTION, JobKind.STUDY))
            print(f"{clips} clips, {corrections} corrections and {reports} reports are tried again")
        wanted = names if destination is None else [destination]
        print(f"{store.requeue_deliveries(wanted, StudyInstanceUID)} deliveries are tried again")
    return 0
