"""The outbox's workers, one for each destination: results go there, with back-off, until it has them."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from echo_node.config import Commitment, Config, Destination
from echo_node.dicom import scu, stow
from echo_node.errors import ClassRefused, DeliveryError, DeliveryRefused
from echo_node.records import Delivery
from echo_node.services import retry
from echo_node.services.confirm import confirm_once
from echo_node.services.opened import opened_store
from echo_node.services.peers import outgoing, peer_of, web_service
from echo_node.services.process import POLL_SECONDS, Stop, is_gone, utc_now, worker_name
from echo_node.store import Store

_log = logging.getLogger(__name__)

BATCH = 50  # objects in one association
_LEASE_SECONDS = 600.0


def run(config: Config, stop: Stop) -> int:
    """Deliver until told to stop: to all destinations at once, so that none waits for one that is slow or gone."""
    destinations = config.deliver.destinations
    with opened_store(config) as store, ThreadPoolExecutor(max(1, len(destinations))) as pool:
        store.release(is_gone)
        serving = [pool.submit(_serve, store, config, destination, stop) for destination in destinations]
        while not stop.wait(POLL_SECONDS):
            if any(future.done() for future in serving):  # by what nobody expected: the next process goes on
                stop.set()
        for future in serving:
            future.result()
    return 0


def _serve(store: Store, config: Config, destination: Destination, stop: Stop) -> None:
    rng = random.Random()
    while not stop.is_set():
        busy = [work(store, config, destination, now=utc_now, rng=rng) for work in (deliver_once, confirm_once)]
        if not any(busy):
            stop.wait(POLL_SECONDS)


def deliver_once(
    store: Store,
    config: Config,
    destination: Destination,
    *,
    now: Callable[[], datetime],
    rng: random.Random,
) -> int:
    """Send what is due for one destination; returns how many objects were tried."""
    due = store.outbox.lease(destination.name, worker_name(), _LEASE_SECONDS, BATCH)
    if not due:
        return 0
    outcomes = _send(due, config=config, destination=destination)
    wants_word = destination.commitment is not Commitment.NONE
    for delivery, error in zip(due, outcomes, strict=True):
        if error is None:
            store.outbox.mark_sent(delivery, confirm_at=now() if wants_word else None)
            _log.info("%s sent to %s", delivery.SOPInstanceUID, destination.name)
        else:
            _record_failure(store, delivery, error, config=config, now=now(), rng=rng)
    return len(due)


def _send(due: Sequence[Delivery], *, config: Config, destination: Destination) -> Sequence[DeliveryError | None]:
    """One error or None per delivery."""
    objects = outgoing(due, destination)
    settings = config.deliver
    connect, response = settings.connect_seconds, settings.response_seconds
    try:
        if destination.url is not None:
            service = web_service(destination, destination.url)
            return stow.send(objects, to=service, connect_seconds=connect, response_seconds=response)
        return scu.send(
            objects,
            to=peer_of(destination),
            calling_ae=settings.calling_ae_title,
            connect_seconds=connect,
            response_seconds=response,
        )
    except DeliveryError as error:
        return [error] * len(due)


def _record_failure(
    store: Store,
    delivery: Delivery,
    error: DeliveryError,
    *,
    config: Config,
    now: datetime,
    rng: random.Random,
) -> None:
    if isinstance(error, ClassRefused):
        older = store.outbox.fall_back(delivery, str(error))
        if older is not None:
            where = delivery.SOPInstanceUID, delivery.destination
            _log.warning("%s to %s: %s; %s goes in its place, the same as an older class", *where, error, older)
            return
    if isinstance(error, DeliveryRefused):
        decision: retry.Again | retry.GiveUp = retry.GiveUp(str(error))
    else:
        decision = retry.after_failure(delivery.attempts, settings=config.deliver, now=now, rng=rng)
    if isinstance(decision, retry.GiveUp):
        store.outbox.mark_dead(delivery, str(error))
        _log.error("%s to %s: %s; given up", delivery.SOPInstanceUID, delivery.destination, error)
    else:
        store.outbox.mark_failed(delivery, str(error), next_attempt_at=decision.at)
        _log.warning("%s to %s: %s; again at %s", delivery.SOPInstanceUID, delivery.destination, error, decision.at)
