"""Sections 5 to 7 of the statement: media, character sets and security."""

from __future__ import annotations

from pydicom.charset import python_encoding

from echo_node.config import Config
from echo_node.reports.source import UTF_8
from echo_node.services.conformance.markdown import table
from echo_node.services.receive import asked_to_commit


def sections(config: Config) -> list[str]:
    """Media interchange, character sets and security (PS3.2 A.5 to A.7)."""
    terms = [term for term in python_encoding if term.startswith(("ISO_IR", "GB"))]
    extensions = [term for term in python_encoding if term.startswith("ISO 2022 IR")]
    return [
        "## 5 Media interchange",
        "None.",
        "## 6 Support of character sets",
        "Objects are kept in whatever character set they came in, without being read. Of text only what reports "
        "take over is decoded (section 8.1.2).",
        table(
            ("character sets", "defined terms"),
            [
                ("received, without code extensions", f"none, {', '.join(terms)}"),
                ("received, with code extensions (ISO 2022)", ", ".join(extensions)),
                ("written", f"{UTF_8} always"),
            ],
        ),
        "Names and other text are written in UTF-8 with all their component groups. Code meanings are English.",
        "## 7 Security",
        "### 7.1 Security profiles",
        "None. Associations are not encrypted: TLS is not supported by the configuration, neither for receiving "
        "nor for sending. A destination whose `url` begins with https is sent to by TLS, and its certificate is "
        "checked; a password or token goes nowhere without it, but on loopback. User identity negotiation is not "
        "supported. Objects carry no digital signatures, and what a received one carries is not checked.",
        "### 7.2 Association level security",
        "An association is accepted from these only, by calling AE title and address: carts (`receive.carts`) that "
        f"call {config.receive.ae_title}, and archives that are asked for storage commitment (section 4.2.1.4).",
        table(("calling AE title", "addresses", "for"), _callers(config) or [("nobody", "nowhere", "nothing")]),
        "### 7.3 Application level security",
        "No patient data are logged. The sender sends to configured destinations only.",
    ]


def _callers(config: Config) -> list[tuple[str, str, str]]:
    carts = [(cart.ae_title or "any", ", ".join(cart.hosts), "storage") for cart in config.receive.carts]
    asked = [(str(d.ae_title), f"of {d.host}", "storage commitment") for d in asked_to_commit(config)]
    return [*carts, *asked]
