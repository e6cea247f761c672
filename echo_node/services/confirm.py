"""What was sent and is to be confirmed: archives are asked, and their answers carried out."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from echo_node.config import Commitment, Config, Destination
from echo_node.dicom import commitment
from echo_node.dicom.find import find
from echo_node.errors import DeliveryError
from echo_node.records import Delivery, DeliveryState
from echo_node.services import retry
from echo_node.services.peers import outgoing, peer_of
from echo_node.store import Store, Verdict

_log = logging.getLogger(__name__)

_BATCH = 50  # objects in one request
_LOOKS = 5  # an object that so many queries do not find is sent once more: some archives index late
_LONGEST_PAUSE = timedelta(days=1)
# FailureReason (PS3.3 C.14.1.1) that sending the same bytes again cannot mend
_HOPELESS = {0x0119: "class and instance do not fit", 0x0122: "SOP class not supported"}
_DUPLICATE_TRANSACTION = 0x0131


def confirm_once(
    store: Store,
    config: Config,
    destination: Destination,
    *,
    now: Callable[[], datetime],
    rng: random.Random,
) -> int:
    """Ask a destination about what it was sent; returns how many objects it was asked about."""
    if destination.commitment is Commitment.NONE:
        return 0
    due = store.outbox.to_confirm(destination.name, _BATCH)
    if not due:
        return 0
    # The request is on disk before it is made: its answer finds it, and a kill in between only costs time.
    uid = commitment.transaction_uid(destination.name, *(f"{d.SOPInstanceUID}|{d.sent_at}|{d.asks}" for d in due))
    asked = store.outbox.ask([(d, _unanswered(d, config, now())) for d in due], uid)
    if not asked:
        return 0
    try:
        if destination.commitment is Commitment.REQUEST:
            _request(store, config, destination, asked, now=now, rng=rng)
        else:
            _find(store, config, destination, asked, now=now, rng=rng)
    except DeliveryError as error:
        store.outbox.settle(
            [_later(d, DeliveryState.SENT, str(error), config=config, now=now(), rng=rng) for d in asked]
        )
        _log.warning("%s cannot confirm %d objects: %s", destination.name, len(asked), error)
    return len(asked)


def _unanswered(delivery: Delivery, config: Config, now: datetime) -> datetime:
    """When to ask again if no answer comes at all; the wait doubles up to a day."""
    doubled = timedelta(seconds=config.deliver.commitment_again_seconds) * 2.0 ** min(delivery.asks, 20)
    return now + min(doubled, _LONGEST_PAUSE)


def _request(
    store: Store,
    config: Config,
    destination: Destination,
    asked: Sequence[Delivery],
    *,
    now: Callable[[], datetime],
    rng: random.Random,
) -> None:
    settings = config.deliver
    assert asked[0].TransactionUID is not None
    commitment.request(
        outgoing(asked, destination),
        asked[0].TransactionUID,
        to=peer_of(destination),
        calling_ae=settings.calling_ae_title,
        on_result=lambda ae, result: take_result(store, config, ae, result, now=now, rng=rng),
        seconds=(settings.connect_seconds, settings.response_seconds, settings.commitment_wait_seconds),
    )


def take_result(
    store: Store,
    config: Config,
    ae_title: str,
    result: commitment.CommitmentResult,
    *,
    now: Callable[[], datetime],
    rng: random.Random,
) -> None:
    """Carry out what an archive says: committed, or sent once more, or given up.

    An answer to a request that was made anew since, or of another archive than was asked, changes nothing.
    """
    names = {d.name for d in config.deliver.destinations if d.ae_title == ae_title}
    asked = [d for d in store.outbox.asked(result.TransactionUID) if d.destination in names]
    if not asked:
        _log.warning("%s answers on transaction %s, which is not open", ae_title, result.TransactionUID)
        return
    store.outbox.settle(
        [
            _verdict(d, result, config=config, now=now(), rng=rng)
            for d in asked
            if d.SOPInstanceUID in result.committed or d.SOPInstanceUID in result.failed
        ]
    )
    _log.info(
        "%s committed itself to %d objects of %s, and not to %d",
        ae_title,
        len(result.committed),
        result.TransactionUID,
        len(result.failed),
    )


def _verdict(
    delivery: Delivery,
    result: commitment.CommitmentResult,
    *,
    config: Config,
    now: datetime,
    rng: random.Random,
) -> Verdict:
    if delivery.SOPInstanceUID in result.committed:
        return Verdict(delivery=delivery, state=DeliveryState.COMMITTED)
    reason = result.failed[delivery.SOPInstanceUID]
    error = f"not committed: failure reason {reason:04X}"
    if reason in _HOPELESS:
        return Verdict(delivery=delivery, state=DeliveryState.DEAD, error=f"{error}, {_HOPELESS[reason]}")
    state = DeliveryState.SENT if reason == _DUPLICATE_TRANSACTION else DeliveryState.QUEUED
    return _later(delivery, state, error, config=config, now=now, rng=rng)


def _find(
    store: Store,
    config: Config,
    destination: Destination,
    asked: Sequence[Delivery],
    *,
    now: Callable[[], datetime],
    rng: random.Random,
) -> None:
    settings = config.deliver
    there = find(
        outgoing(asked, destination),
        to=peer_of(destination),
        calling_ae=settings.calling_ae_title,
        connect_seconds=settings.connect_seconds,
        response_seconds=settings.response_seconds,
    )
    verdicts = []
    for delivery in asked:
        if delivery.SOPInstanceUID in there:
            verdicts.append(Verdict(delivery=delivery, state=DeliveryState.COMMITTED))
        else:
            state = DeliveryState.QUEUED if delivery.asks >= _LOOKS else DeliveryState.SENT
            verdicts.append(_later(delivery, state, "C-FIND does not find it", config=config, now=now(), rng=rng))
    store.outbox.settle(verdicts)
    _log.info("%s has %d of %d objects", destination.name, len(there), len(asked))


def _later(
    delivery: Delivery, state: DeliveryState, error: str, *, config: Config, now: datetime, rng: random.Random
) -> Verdict:
    """After a pause sent once more (QUEUED) or asked about again (SENT); given up after too many tries."""
    tried = delivery.attempts if state is DeliveryState.QUEUED else delivery.asks
    decision = retry.after_failure(tried, settings=config.deliver, now=now, rng=rng)
    if isinstance(decision, retry.GiveUp):
        return Verdict(delivery=delivery, state=DeliveryState.DEAD, error=error)
    return Verdict(delivery=delivery, state=state, error=error, again_at=decision.at)
