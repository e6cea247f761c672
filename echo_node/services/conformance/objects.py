"""Section 8 of the statement: what stands in the node's objects, and what is read of those that it receives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID

import echo_node.services.conformance.terms as terms
from echo_node.codes import ObjectKind
from echo_node.reports.contents import Attribute, Contents, Node, Origin, Presence, content_tree, contents, pick
from echo_node.reports.example import Example
from echo_node.reports.source import WANTED
from echo_node.services.conformance.markdown import table

READ = {  # by the receiver and the analyser, and what for
    "SOPClassUID": "to find what can be analysed; must be the command's",
    "SOPInstanceUID": "identity; must be the command's",
    "SeriesInstanceUID": "identity",
    "StudyInstanceUID": "identity",
    "PatientID": "to tell another patient in a known study",
    "PatientBirthDate": "to tell another patient under the same ID",
    "NumberOfFrames": "pixels",
    "Rows": "pixels",
    "Columns": "pixels",
    "SamplesPerPixel": "pixels",
    "PhotometricInterpretation": "pixels",
    "PlanarConfiguration": "pixels",
    "BitsAllocated": "pixels",
    "BitsStored": "pixels",
    "RedPaletteColorLookupTableDescriptor": "pixels; green and blue too",
    "RedPaletteColorLookupTableData": "pixels; green and blue too",
    "SegmentedRedPaletteColorLookupTableData": "pixels; green and blue too",
    "PixelData": "pixels",
    "FrameTimeVector": "times of the frames",
    "FrameTime": "times of the frames, where there is no vector",
    "CineRate": "times of the frames, where there is neither",
    "RecommendedDisplayFrameRate": "times of the frames, where there is none of the three",
    "SequenceOfUltrasoundRegions": "calibration, image mode, and where the ultrasound is",
    "PatientSex": "limits of the mass index",
    "PatientSize": "body surface",
    "PatientWeight": "body surface",
}


_ALL_STANDARD = "None: both objects are of standard SOP classes, and each attribute is of a module of its IOD."


def described(cases: Sequence[Example]) -> tuple[Contents, Contents]:
    """The SR's and the SEG's contents."""
    report, segmentation = (
        contents([pick(case, kind) for case in cases], cases) for kind in (ObjectKind.SR, ObjectKind.SEG)
    )
    return report, segmentation


def annexes(cases: Sequence[Example], made: tuple[Contents, Contents]) -> list[str]:
    """IOD contents, attributes used and mapped, codes, and what is not standard (PS3.2 A.8)."""
    return [
        "## 8 Annexes",
        "### 8.1 IOD contents",
        "#### 8.1.1 Created SOP instances",
        "Presence and source of each attribute, as seen in objects made of headers that are full and of one that "
        "has only what it must have. `>` is the depth of nesting.",
        table(
            ("word", "means"),
            [*((p.name, p.value) for p in Presence), *((origin.name, origin.value) for origin in Origin)],
        ),
        *_created("8.1.1.1", made[0]),
        *_created("8.1.1.2", made[1]),
        *_tree(cases),
        *_used(),
        *_mapped(made),
        "#### 8.1.4 Coerced and modified fields",
        "None: a received object is never changed.",
        "### 8.2 Data dictionary of private attributes",
        "None: the node writes no private attributes, and takes none over.",
        *terms.sections(),
        "### 8.4 Grayscale image consistency",
        "Not applicable: the node shows no images.",
        *_not_standard(made),
    ]


def _created(number: str, made: Contents) -> Iterator[str]:
    yield f"##### {number} {UID(made.SOPClassUID).name}"
    yield f"SOP class {made.SOPClassUID}, transfer syntax {UID(made.TransferSyntaxUID).name}."
    for module in made.modules:
        yield f"Module {module.name} ({module.usage})"
        yield table(
            ("attribute", "tag", "VR", "presence", "source", "value, or the attribute that it is a copy of"),
            [_row(attribute) for attribute in module.attributes],
        )


def _row(attribute: Attribute) -> tuple[str, ...]:
    depth = ">" * (len(attribute.path) - 1)
    origin = "" if attribute.origin is None else attribute.origin.name
    name = f"{depth} {attribute.path[-1]}".strip()
    return name, attribute.tag, attribute.vr, attribute.presence.name, origin, attribute.value


def _tree(cases: Sequence[Example]) -> Iterator[str]:
    root = content_tree([pick(case, ObjectKind.SR) for case in cases])
    yield "##### 8.1.1.3 Content tree of the report"
    yield (
        "Content items that a report may hold, those of one kind at one place once. The quantities stand in "
        "section 8.3.1; each may also have a reason in place of its value."
    )
    yield table(("depth", "relationship", "value type", "concept name", "template"), _items(root, depth=0))


def _items(node: Node, *, depth: int) -> Iterator[tuple[str, ...]]:
    for child in node.children.values():
        yield ">" * depth, child.relationship, child.value_type, child.name, child.template
        yield from _items(child, depth=depth + 1)


def _used() -> list[str]:
    return [
        "#### 8.1.2 Usage of attributes of received objects",
        "Of objects of table 4.2-1; of others the identity only.",
        table(
            ("attribute", "tag", "used for"),
            [(keyword, _tag(keyword), use) for keyword, use in READ.items()],
        ),
        "Read for reports too: " + ", ".join(k for k in WANTED if k not in READ) + ".",
    ]


def _tag(keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _mapped(made: Sequence[Contents]) -> list[str]:
    """Copies by the attribute that they are a copy of, of both objects."""
    copies: dict[tuple[str, str], list[str]] = {}
    for kind, described_ in zip(("SR", "SEG"), made, strict=True):
        for module in described_.modules:
            for a in module.attributes:
                if a.origin in (Origin.COPY, Origin.EITHER):
                    copies.setdefault((a.value or a.path[-1], " > ".join(a.path)), []).append(kind)
    return [
        "#### 8.1.3 Attribute mapping",
        "From the image to the objects made of it. What is not valid in the image (dates, times, PatientSex, "
        "numbers) is mended where that loses nothing, and else left empty.",
        table(
            ("of the image", "in the object", "objects"),
            [(source, target, ", ".join(kinds)) for (source, target), kinds in copies.items()],
        ),
    ]


def _not_standard(made: Sequence[Contents]) -> list[str]:
    extended = [
        (UID(m.SOPClassUID).name, keyword, "standard extended: no module of the IOD has it")
        for m in made
        for keyword in m.others
    ]
    return [
        "### 8.5 Standard extended, specialised and private SOP classes",
        table(("SOP class", "attribute", "what"), extended) if extended else _ALL_STANDARD,
        "### 8.6 Private transfer syntaxes",
        "The node writes none. It keeps objects in private ones and reads no frames of them (table 4.2-3).",
    ]
