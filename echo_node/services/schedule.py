"""The clock's work: closing studies. All that knows APScheduler."""

from __future__ import annotations

import logging

from apscheduler.schedulers.background import BackgroundScheduler

from echo_node.config import Config
from echo_node.errors import StoreError
from echo_node.services.opened import opened_store
from echo_node.services.process import POLL_SECONDS, Stop
from echo_node.store import ClosePolicy, Store

_log = logging.getLogger(__name__)

CLOSE_EVERY_SECONDS = 1


def run(config: Config, stop: Stop) -> int:
    """Run the schedule until told to stop."""
    scheduler = BackgroundScheduler(timezone="UTC")
    with opened_store(config) as store:
        scheduler.add_job(
            close_studies,
            "interval",
            args=(store, close_policy(config)),
            seconds=CLOSE_EVERY_SECONDS,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
        scheduler.start()
        try:
            while not stop.wait(POLL_SECONDS):
                pass
        finally:
            scheduler.shutdown(wait=True)
    return 0


def close_policy(config: Config) -> ClosePolicy:
    """config.yaml's closing rules as the store takes them."""
    carts = config.receive.carts
    return ClosePolicy(
        quiet_seconds=config.study.quiet_seconds,
        quiet_by_cart={c.ae_title: c.quiet_seconds for c in carts if c.ae_title and c.quiet_seconds},
        on_association_end=config.study.close_on_association_end,
        grace_seconds=config.study.association_grace_seconds,
        hard_cap_seconds=config.study.hard_cap_seconds,
    )


def close_studies(store: Store, policy: ClosePolicy) -> None:
    """Close what is due; a database that is away is tried again at the next tick."""
    try:
        for closed in store.close_studies(policy):
            _log.info("study %s closed: %s", closed.StudyInstanceUID, closed.because.value)
    except StoreError as error:
        _log.error("closing studies: %s", error)
