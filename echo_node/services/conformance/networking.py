"""Sections 4.1, 4.3 and 4.4 of the statement: the implementation model, interfaces and configuration."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from echo_node.config import Config, Destination
from echo_node.services.conformance.markdown import table

_TABLES_OF_THEIR_OWN = ("carts", "destinations")


def model(config: Config) -> list[str]:
    """What flows from where to where (PS3.2 A.4.1)."""
    own, calling = config.receive.ae_title, config.deliver.calling_ae_title
    return [
        "## 4 Networking",
        "### 4.1 Implementation model",
        "#### 4.1.1 Application data flow",
        "```\n"
        f"cart --C-STORE--> [receive, AE {own}] --> spool and database\n"
        "                                              |\n"
        "                                           analyse\n"
        "                                              |\n"
        f"destination <--C-STORE-- [deliver, AE {calling}] <-- outbox\n"
        "```",
        "#### 4.1.2 Functional definition of the application entities",
        table(
            ("AE", "title", "does"),
            [
                ("receive", own, "Verification SCP and Storage SCP; keeps every object as its bytes came"),
                (
                    "deliver",
                    calling,
                    "Storage SCU; sends results from the outbox to each destination, by STOW-RS to one with `url`",
                ),
                ("status", _asking(config), "Verification SCU; `echo-node status` asks the node's own receiver"),
            ],
        ),
        "#### 4.1.3 Sequencing of real-world activities",
        "A cart stores a study. Each clip is analysed when it is there. When the study is complete (section "
        "4.4.2, `study`), its report is made, and report and segmentations go to the outbox in one transaction. "
        "A clip that comes later opens the study again, and so does a person's report that corrects one; the next "
        "report names the earlier one as its predecessor.",
        "### 4.2 Application entity specifications",
    ]


def _asking(config: Config) -> str:
    return next((c.ae_title for c in config.receive.carts if c.ae_title), config.receive.ae_title)


def interfaces(config: Config) -> list[str]:
    """Network interfaces and parameters (PS3.2 A.4.3 and A.4.4)."""
    settings = config.receive
    return [
        "### 4.3 Network interfaces",
        "#### 4.3.1 Physical network interface",
        "What the operating system has: the node speaks the DICOM upper layer over TCP/IP, and HTTP to "
        "destinations with `url`.",
        "#### 4.3.2 Additional protocols",
        "None. Names of destinations are resolved by the operating system.",
        "#### 4.3.3 IPv4 and IPv6",
        f"The receiver listens on {settings.host}{_family(settings.host)}. Destinations may have addresses of "
        "either.",
        "### 4.4 Configuration",
        "#### 4.4.1 AE title and presentation address mapping",
        table(
            ("AE", "title", "address", "port"),
            [
                ("receive", settings.ae_title, settings.host, str(settings.port)),
                ("deliver", config.deliver.calling_ae_title, "any of the machine", "any"),
                *(_address(d) for d in config.deliver.destinations),
            ],
        ),
        "The carts stand in section 7.",
        "#### 4.4.2 Parameters",
        "Of config.yaml, where unit and reason of each stand.",
        table(
            ("parameter", "value", "default"),
            [
                *_parameters("receive", config.receive),
                *_parameters("study", config.study),
                *_parameters("results", config.results),
                *_parameters("deliver", config.deliver),
            ],
        ),
    ]


def _family(host: str) -> str:
    try:
        return f" (IPv{ipaddress.ip_address(host).version})"
    except ValueError:
        return ""


def _address(destination: Destination) -> tuple[str, str, str, str]:
    if destination.url is not None:
        return f"destination {destination.name}", "none: STOW-RS", destination.url, "of the URL"
    return (
        f"destination {destination.name}",
        str(destination.ae_title),
        str(destination.host),
        str(destination.port),
    )


def _parameters(section: str, settings: BaseModel) -> Iterator[tuple[str, str, str]]:
    for name, field in type(settings).model_fields.items():
        if name not in _TABLES_OF_THEIR_OWN:
            yield f"{section}.{name}", plain(getattr(settings, name)), plain(field.default)


def plain(value: Any) -> str:
    """A setting as config.yaml writes it; a whole number of seconds without a point."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
