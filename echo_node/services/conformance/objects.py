"""Section 8 of the statement: what stands in the node's objects, and what is read of those that it receives."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID

import echo_node.services.conformance.terms as terms
from echo_node.codes import ObjectKind
from echo_node.dicom.contexts import known_classes
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


_COLUMNS = ("attribute", "tag", "VR", "presence", "source", "value, or the attribute that it is a copy of")
_ALL_STANDARD = "None: all objects are of standard SOP classes, and each attribute is of a module of its IOD."


_WHOLE = (  # kinds with tables of their own
    ObjectKind.SR, ObjectKind.SEG, ObjectKind.SR_TID5200, ObjectKind.SR_TID5300, ObjectKind.OVERLAY, ObjectKind.PDF,
    ObjectKind.REJECTION, ObjectKind.EDIT,
)  # fmt: skip
_LIKE = {  # other forms, told by what is not as in the first
    ObjectKind.SR_COMPREHENSIVE: ObjectKind.SR,
    ObjectKind.SR_TID5200_SRT: ObjectKind.SR_TID5200,
    ObjectKind.SEG_LABELMAP: ObjectKind.SEG,
}
_TREES = (ObjectKind.SR, ObjectKind.SR_TID5200, ObjectKind.SR_TID5300, ObjectKind.EDIT)

Made = Mapping[ObjectKind, Contents]


def described(cases: Sequence[Example]) -> Made:
    """The contents of every kind of object."""
    return {kind: contents([pick(case, kind) for case in cases], cases) for kind in (*_WHOLE, *_LIKE)}


def annexes(cases: Sequence[Example], made: Made) -> list[str]:
    """IOD contents, attributes used and mapped, codes, and what is not standard (PS3.2 A.8)."""
    return [
        "## 8 Annexes",
        "### 8.1 IOD contents",
        "#### 8.1.1 Created SOP instances",
        "Of each kind that a destination's `objects` may name, the note of a rejection, which goes wherever what "
        "was rejected went, and the report of what a person drew on the node, which goes with the first results "
        "that rest on it. Presence and source of each attribute, as seen in "
        "objects made of headers that are full and of one that has only what it must have. `>` is the depth of "
        "nesting.",
        table(
            ("word", "means"),
            [*((p.name, p.value) for p in Presence), *((origin.name, origin.value) for origin in Origin)],
        ),
        *_sections(cases, made),
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


def _sections(cases: Sequence[Example], made: Made) -> Iterator[str]:
    """A section per kind and per content tree, numbered on."""
    numbers = (f"8.1.1.{number}" for number in itertools.count(1))
    for kind in _WHOLE:
        yield from _created(next(numbers), kind, made[kind])
    for kind, first in _LIKE.items():
        yield from _differing(next(numbers), kind, made, like=first)
    for kind in _TREES:
        yield from _tree(next(numbers), kind, cases)


def _heading(number: str, kind: ObjectKind, made: Contents) -> Iterator[str]:
    name = next(known.name for known in known_classes() if known.uid == made.SOPClassUID)
    yield f"##### {number} {name}, `{kind.value}`"
    yield f"SOP class {made.SOPClassUID}, transfer syntax {UID(made.TransferSyntaxUID).name}."


def _created(number: str, kind: ObjectKind, made: Contents) -> Iterator[str]:
    yield from _heading(number, kind, made)
    for module in made.modules:
        yield f"Module {module.name} ({module.usage})"
        yield table(_COLUMNS, [_row(attribute) for attribute in module.attributes])


def _differing(number: str, kind: ObjectKind, made: Made, *, like: ObjectKind) -> Iterator[str]:
    """A kind by the attributes that are not those of another kind."""
    yield from _heading(number, kind, made[kind])
    first, other = ({a.path: a for module in made[k].modules for a in module.attributes} for k in (like, kind))
    of_codes = " and for its codes, which are SNOMED RT's" if kind is ObjectKind.SR_TID5200_SRT else ""
    yield f"As `{like.value}`, but for its UIDs{of_codes}, and for what is told here."
    rows = [(" > ".join(path), *_row(a)[1:]) for path, a in other.items() if first.get(path) != a]
    if rows:
        yield table(_COLUMNS, rows)
    gone = [" > ".join(path) for path in first if path not in other]
    if gone:
        yield f"Not there: {', '.join(gone)}."


def _row(attribute: Attribute) -> tuple[str, ...]:
    depth = ">" * (len(attribute.path) - 1)
    origin = "" if attribute.origin is None else attribute.origin.name
    name = f"{depth} {attribute.path[-1]}".strip()
    return name, attribute.tag, attribute.vr, attribute.presence.name, origin, attribute.value


def _tree(number: str, kind: ObjectKind, cases: Sequence[Example]) -> Iterator[str]:
    root = content_tree([pick(case, kind) for case in cases])
    yield f"##### {number} Content tree of `{kind.value}`"
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
        "Of the images of table 4.2-1. Of its structured reports the identity, and what docs/corrections.md and "
        "docs/agreement.md say; of others the identity only.",
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


def _mapped(made: Made) -> list[str]:
    """Copies by the attribute that they are a copy of, of all objects."""
    copies: dict[tuple[str, str], list[str]] = {}
    for kind, described_ in made.items():
        for module in described_.modules:
            for a in module.attributes:
                if a.origin in (Origin.COPY, Origin.EITHER):
                    copies.setdefault((a.value or a.path[-1], " > ".join(a.path)), []).append(kind.value)
    return [
        "#### 8.1.3 Attribute mapping",
        "From the image to the objects made of it. What is not valid in the image (dates, times, PatientSex, "
        "numbers) is mended where that loses nothing, and else left empty.",
        table(
            ("of the image", "in the object", "objects"),
            [
                (source, target, "all" if len(kinds) == len(made) else ", ".join(kinds))
                for (source, target), kinds in copies.items()
            ],
        ),
    ]


def _not_standard(made: Made) -> list[str]:
    extended = [
        (kind.value, keyword, "standard extended: no module of the IOD has it")
        for kind, m in made.items()
        for keyword in m.others
    ]
    return [
        "### 8.5 Standard extended, specialised and private SOP classes",
        table(("object", "attribute", "what"), extended) if extended else _ALL_STANDARD,
        "### 8.6 Private transfer syntaxes",
        "The node writes none. It keeps objects in private ones and reads no frames of them (table 4.2-3).",
    ]
