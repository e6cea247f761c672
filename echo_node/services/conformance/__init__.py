"""``echo-node conformance``: the DICOM conformance statement of the node as it is configured.

Laid out after the template of PS3.2 Annex A. What it says is asked of the code that does it: the receiver's rule,
its gate, the sender's judgement of statuses, example objects, the coded concepts.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from echo_node.config import Config
from echo_node.errors import EchoNodeError
from echo_node.reports import example
from echo_node.services.conformance import introduction, media_and_security, networking, objects, receiving, sending
from echo_node.services.conformance.markdown import contents_list, page


def write_statement(config: Config, out: Path | None) -> int:
    """Print the statement, or write it to a file."""
    if out is not None and not out.parent.is_dir():  # said before the work
        raise EchoNodeError(f"{out}: cannot be written: {os.strerror(errno.ENOENT)}")
    text = statement(config)
    if out is None:
        print(text, end="")
        return 0
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EchoNodeError(f"{out}: cannot be written: {error.strerror}") from error
    return 0


def statement(config: Config) -> str:
    """The statement as Markdown; it names no patient, and no address that the configuration does not."""
    cases = (example.full(1), example.full(2), example.bare())
    made = objects.described(cases)
    after = [
        *introduction.introduction(),
        *networking.model(config),
        *receiving.receive_entity(config),
        *sending.deliver_entity(config, made),
        *sending.status_entity(config),
        *networking.interfaces(config),
        *media_and_security.sections(config),
        *objects.annexes(cases, made),
    ]
    listed = "## 2 Table of contents"
    first = introduction.overview(made.values())
    return page([*first, listed, contents_list([*first, listed, *after]), *after])
