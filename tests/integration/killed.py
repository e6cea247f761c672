"""A sender that is killed between every two steps of delivery, and starts again.

Run as a program of its own, which forks one sender per step; :mod:`tests.integration.test_killed` reads what it
prints: for each killed sender its name and the states of its deliveries in the end.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from echo_node.config import Config
from echo_node.dicom import commitment, scu, stow
from echo_node.services import confirm
from echo_node.services.deliver import deliver_once
from echo_node.services.process import is_gone
from echo_node.store import Store
from echo_node.store.delivering import Outbox
from tests.unit.store.builders import STUDY, Clock

# Everything that changes the node's records or speaks to an archive: before and after each is a moment to die.
STEPS: tuple[tuple[Any, str], ...] = (
    (Outbox, "lease"),
    (scu, "_send_one"),
    (stow._Sender, "store"),
    (Outbox, "mark_sent"),
    (Outbox, "to_confirm"),
    (Outbox, "ask"),
    (commitment, "request"),
    (confirm, "find"),
    (Outbox, "settle"),
)


def _ticking(function: Callable[..., Any], tick: Callable[[], None]) -> Callable[..., Any]:
    def step(*args: Any, **named: Any) -> Any:
        tick()
        result = function(*args, **named)
        tick()
        return result

    return step


def _die_at(last: int) -> None:
    """Let this process be killed at a moment of its work, counted from 0."""
    ticks: Iterator[int] = itertools.count()

    def tick() -> None:
        if next(ticks) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    for owner, name in STEPS:
        setattr(owner, name, _ticking(getattr(owner, name), tick))


def _deliver(root: Path, name: str, address: dict[str, Any], *, rounds: int) -> list[str]:
    """What a sender's process does, from its start on."""
    clock = Clock()
    clock.pass_(1000)
    place = {
        key: value.replace("NAME", name) if isinstance(value, str) else value for key, value in address.items()
    }
    deliver = {"destinations": [{"name": "pacs", **place}], "calling_ae_title": name}
    config = Config.model_validate({"deliver": deliver})
    (pacs,) = config.deliver.destinations
    store = Store(f"sqlite:///{root / 'node.db'}", root, now=clock)
    store.release(is_gone)
    for _ in range(rounds):
        for step in (deliver_once, confirm.confirm_once):
            step(store, config, pacs, now=clock, rng=random.Random(1))
        clock.pass_(7200)
    return [delivery.state.value for delivery in store.deliveries(STUDY)]


def _forked(work: Callable[[], None]) -> bool:
    """Do it in a process of its own; was that killed?"""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit(f"a sender ended with {os.WEXITSTATUS(status)}")
    return os.WIFSIGNALED(status)


def _life(template: Path, name: str, address: dict[str, Any], last: int | None) -> bool:
    """A sender's two processes; was the first killed? Without ``last`` it is the archive that kills it."""
    root = template.parent / f"killed-{name}"
    shutil.copytree(template, root)

    def first() -> None:
        (template.parent / f"{name}.pid").write_text(str(os.getpid()), encoding="ascii")
        if last is not None:
            _die_at(last)
        _deliver(root, name, address, rounds=1)

    was_killed = _forked(first)
    _forked(lambda: print(name, was_killed, *_deliver(root, name, address, rounds=3), flush=True))
    return was_killed


def main() -> None:
    """Arguments: the folder of a sender that has not begun, where to send, and who is killed by the archive."""
    template, address, by_archive = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]
    for name in by_archive:
        _life(template, name, address, None)
    for moment in itertools.count():
        if not _life(template, f"STEP{moment}", address, moment):
            break


if __name__ == "__main__":
    main()
