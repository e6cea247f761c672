"""Sections 1 and 3 of the statement: overview and introduction."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

import echo_node
from echo_node.dicom.clips import ULTRASOUND_IMAGES
from echo_node.dicom.contexts import accepted_for_storage, known_classes
from echo_node.reports.contents import Contents
from echo_node.services.conformance.markdown import table
from echo_node.services.receive import REPORTS

_WHERE_ASKED_FOR = "Yes, where asked for (section 4.2.2)"
_TOOLKITS = ("pydicom", "pynetdicom", "highdicom")


def overview(made: Iterable[Contents]) -> list[str]:
    """The cover and the table of network services."""
    names = {known.uid: known.name for known in known_classes()}
    own = {c.SOPClassUID for c in made}
    shown = [*sorted(ULTRASOUND_IMAGES), *sorted(own.union(REPORTS) - ULTRASOUND_IMAGES)]
    transfer = [(names[uid], uid, "Yes" if uid in own else "No", "Yes") for uid in shown]
    others = len(accepted_for_storage()) - 1 - len(shown)  # less the one that stands for all unknown ones
    return [
        "# DICOM conformance statement: echo-node",
        f"Version {echo_node.__version__}. Made by `echo-node conformance` of this version, with "
        f"{', '.join(f'{name} {version(name)}' for name in _TOOLKITS)}; not to be edited by hand.",
        "## 1 Conformance statement overview",
        "echo-node receives echocardiograms from ultrasound carts by the Storage Service, analyses their clips, "
        "reads what persons corrected and carts measured from structured reports, "
        "and sends what it found to archives: structured reports per study, one segmentation per outlined clip "
        "and, where asked for, clips with the findings drawn on them and a page. It is for research, not for "
        "diagnosis.",
        "Table 1-1: network services",
        table(
            ("SOP class", "UID", "User of service (SCU)", "Provider of service (SCP)"),
            [
                ("Verification", "1.2.840.10008.1.1", "Yes (of itself, section 4.2.3)", "Yes"),
                *transfer,
                (f"{others} other storage classes of PS3.6 (table 4.2-2)", "", "No", "Yes (kept, not analysed)"),
                ("Private SOP classes, any", "", "No", "Yes (kept, not analysed)"),
                ("Storage Commitment Push Model", "1.2.840.10008.1.20.1", _WHERE_ASKED_FOR, "No"),
                ("Study Root FIND", "1.2.840.10008.5.1.4.1.2.2.1", _WHERE_ASKED_FOR, "No"),
            ],
        ),
        "Storage Commitment and FIND (to see whether an object arrived) are used where a destination's settings "
        "ask for it, and so is STOW-RS in place of C-STORE. No retrieve, no worklist, no procedure step, no "
        "print, no other DICOMweb service. No media interchange services.",
        "Which of these classes a destination is sent, its settings say (table 4.2-7). Section 8.1 describes each "
        "kind of object; docs/results.md says what each is for.",
    ]


def introduction() -> list[str]:
    """For whom the statement is, and its words."""
    return [
        "## 3 Introduction",
        "### 3.1 Revision history",
        "The statement is made from the program and its configuration: its revision is the program's version "
        "above. What changed from version to version stands in CHANGELOG.md.",
        "### 3.2 Audience",
        "Those who connect carts and archives with the node, and know DICOM.",
        "### 3.3 Remarks",
        "A statement is no proof that two systems work together; trials with both are. The statement tells what "
        "the node does in the configuration that it was made of. `simulate` and `demo`, which play a cart and an "
        "archive on loopback for trials, are no part of it.",
        "### 3.4 Terms",
        table(
            ("word", "means"),
            [
                ("cart", "an ultrasound machine that sends"),
                ("destination", "an archive that results are sent to"),
                ("engine", "the package of trained models that the node analyses with"),
                ("set aside", "kept, not analysed, for a person to look at"),
                ("AE", "application entity"),
                ("SCU, SCP", "user and provider of a service"),
                ("SR, SEG", "structured report, segmentation object"),
                ("TID", "template of PS3.16"),
            ],
        ),
        "### 3.5 References",
        "DICOM PS3, in the edition of the tables that the toolkits named above hold; IHE RAD AI Results, see "
        "[results.md](results.md).",
    ]
