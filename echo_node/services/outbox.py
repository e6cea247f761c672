"""``echo-node outbox`` and ``resend``: what became of the results, and the same bytes once more."""

from __future__ import annotations

from collections import Counter

from echo_node.config import Config
from echo_node.errors import ConfigError, StoreError
from echo_node.records import Delivery, DeliveryState, StudyState
from echo_node.services.addresses import taken_by
from echo_node.services.opened import opened_store
from echo_node.store import Store


def print_outbox(
    config: Config,
    *,
    destination: str | None = None,
    state: DeliveryState | None = None,
    StudyInstanceUID: str | None = None,
) -> int:
    """Print a line per delivery that fits what is given; 1 where one of them was given up.

    Raises
    ------
    ConfigError
        There is no such destination, now or earlier.
    """
    with opened_store(config) as store:
        found = store.outbox.deliveries(destination=destination, state=state, StudyInstanceUID=StudyInstanceUID)
        _check_destination(config, store, destination)
    for delivery in found:
        print(_line(delivery))
    return 1 if any(delivery.state is DeliveryState.DEAD for delivery in found) else 0


def resend(
    config: Config,
    *,
    StudyInstanceUID: str | None = None,
    SOPInstanceUID: str | None = None,
    destination: str | None = None,
) -> int:
    """Queue a study's results, or one of them, for all their destinations or one; prints how many.

    What was sent, confirmed or given up is sent once more: the very bytes of the first time. A destination that is
    named with a study also gets what it lacks of it, for it was added later. Where config.yaml no longer names a
    destination nothing is queued for it.

    Raises
    ------
    ConfigError
        There is no such destination, now or earlier.
    StoreError
        There is nothing to be sent to a destination that there still is, or the study is in quarantine.
    """
    with opened_store(config) as store:
        _check_destination(config, store, destination)
        found = store.outbox.deliveries(
            destination=destination, StudyInstanceUID=StudyInstanceUID, SOPInstanceUID=SOPInstanceUID
        )
        study = StudyInstanceUID or (found[0].StudyInstanceUID if found else None)
        if study is not None and store.study(study).state is StudyState.QUARANTINED:
            raise StoreError(f"study {study} is in quarantine: nothing of it is sent")
        named = {d.name: d for d in config.deliver.destinations}
        lacking = 0
        if destination in named and StudyInstanceUID is not None:
            lacking = store.outbox.enqueue_study(destination, taken_by(named[destination]), StudyInstanceUID)
        if not found and not lacking:
            where = "" if destination is None else f" for {destination}"
            raise StoreError(f"nothing of {StudyInstanceUID or SOPInstanceUID} was ever queued{where}, or is to be")
        gone = sorted({delivery.destination for delivery in found} - named.keys())
        found = [delivery for delivery in found if delivery.destination in named]
        if not found and not lacking:
            raise StoreError(f"deliver.destinations no longer names {', '.join(gone)}: nothing is sent there")
        count = store.outbox.send_again(found)
    if lacking:
        print(f"{destination}: {lacking} objects for the first time")
    for name, number in Counter(delivery.destination for delivery in found).items():
        print(f"{name}: {number} objects")
    for name in gone:
        print(f"{name}: none, deliver.destinations no longer names it")
    if count < len(found):
        print(
            f"{len(found) - count} of them stay: they are being sent at this moment, a person rejected them, or "
            "they were made before their study was released from quarantine"
        )
    return 0


def _check_destination(config: Config, store: Store, name: str | None) -> None:
    """A name that no delivery bears is a slip of the pen, unless config.yaml has it."""
    known = [d.name for d in config.deliver.destinations]
    if name is None or name in known or store.outbox.deliveries(destination=name):
        return
    raise ConfigError(f"deliver.destinations has no {name!r}; it has: {', '.join(known) or 'none'}")


def _line(delivery: Delivery) -> str:
    error = f"  {delivery.last_error}" if delivery.last_error else ""
    return (
        f"{delivery.destination}  {delivery.state.value:<9}  {_when(delivery):<28}  attempts {delivery.attempts:<3}"
        f"  {delivery.SOPInstanceUID}  study {delivery.StudyInstanceUID}{error}"
    )


def _when(delivery: Delivery) -> str:
    if delivery.state in (DeliveryState.QUEUED, DeliveryState.FAILED):
        return f"next {delivery.next_attempt_at:%Y-%m-%d %H:%M:%S} UTC"
    return "" if delivery.sent_at is None else f"sent {delivery.sent_at:%Y-%m-%d %H:%M:%S} UTC"
