"""What stands in the objects that the node makes: attributes by module, and the report's content items.

It is read off examples, so that it cannot say what is not so.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pydicom
from highdicom import _standard_utils as standard  # its copy of PS3.3's tables has no public door
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword

from echo_node.codes import Code, ObjectKind, Quantity
from echo_node.records import Report
from echo_node.reports.example import Example

_ELSEWHERE = "ContentSequence"  # the report's tree, which has a table of its own
_MOST_SHOWN = 3  # values of an attribute that has several

Path = tuple[str, ...]  # keywords from the top level down
Values = Mapping[Path, tuple[str, ...]]


class Presence(enum.Enum):
    """Is an attribute there, and has it a value (PS3.2 A.8.1)?"""

    ALWAYS = "always there with a value"
    VNAP = "always there, the value not always"
    ANAP = "not always there"
    EMPTY = "there without a value"


class Origin(enum.Enum):
    """Where a value comes from (PS3.2 A.8.1)."""

    FIXED = "the same in every object"
    COPY = "of the image that was analysed"
    AUTO = "made by the node"
    EITHER = "of the image, and made by the node where the image has none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute of an object."""

    path: Path
    tag: str
    vr: str
    presence: Presence
    origin: Origin | None  # None of a sequence and of what is empty
    value: str  # the fixed value, or the keyword that it is a copy of


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """The attributes that an object has of a module."""

    name: str
    usage: str  # M, C or U (PS3.3 A.1.3)
    attributes: tuple[Attribute, ...]


@dataclass(slots=True, kw_only=True)
class Node:
    """Content items of one kind at one place of the report's tree."""

    relationship: str
    value_type: str
    name: str
    template: str
    children: dict[tuple[str, str, str], Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """An example of a kind of object."""

    SOPClassUID: str
    TransferSyntaxUID: str
    modules: tuple[Module, ...]
    others: tuple[str, ...]  # keywords that no module of the object's IOD has


def contents(objects: Sequence[Report], cases: Sequence[Example]) -> Contents:
    """The attributes of a kind of object.

    Parameters
    ----------
    objects : sequence of Report
        One of the kind per case.
    cases : sequence of Example
        Two that share no value, and one whose source has what it must have only.
    """
    datasets = [_read(report) for report in objects]
    attributes = _attributes([_values(ds) for ds in datasets], [_values(case.source) for case in cases])
    first = datasets[0]
    modules = tuple(_modules(str(first.SOPClassUID), attributes))
    named = {a.path[0] for module in modules for a in module.attributes}
    return Contents(
        SOPClassUID=str(first.SOPClassUID),
        TransferSyntaxUID=str(first.file_meta.TransferSyntaxUID),
        modules=modules,
        others=tuple(dict.fromkeys(a.path[0] for a in attributes if a.path[0] not in named)),
    )


def content_tree(reports: Sequence[Report]) -> Node:
    """The content items that structured reports hold; items of one kind at one place are shown once."""
    root = Node(relationship="", value_type="", name="", template="")
    for report in reports:
        _grow(root, [_read(report)])
    return root


def pick(case: Example, kind: ObjectKind) -> Report:
    """An example's first object of a kind."""
    return next(report for report in case.reports if report.kind is kind)


def _read(report: Report) -> Dataset:
    return pydicom.dcmread(BytesIO(report.content))


def _values(ds: Dataset, above: Path = ()) -> dict[Path, tuple[str, ...]]:
    """Every value of a dataset by its path; of a sequence's items all values of one path together."""
    found: dict[Path, tuple[str, ...]] = {}
    for element in ds:
        path = (*above, element.keyword)
        if element.VR != "SQ":
            found[path] = () if element.is_empty else (_shown(element.value),)
            continue
        found[path] = ("",) if element.value and element.keyword != _ELSEWHERE else ()
        for item in () if element.keyword == _ELSEWHERE else element.value:
            for below, values in _values(item, path).items():
                found[below] = (*found.get(below, ()), *values)
    return found


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return "\\".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def _attributes(objects: Sequence[Values], sources: Sequence[Values]) -> list[Attribute]:
    """In the order of their tags, each item's below its sequence."""
    paths = dict.fromkeys(path for values in objects for path in values)
    return [
        _attribute(path, objects, sources) for path in sorted(paths, key=lambda p: [tag_for_keyword(k) for k in p])
    ]


def _attribute(path: Path, objects: Sequence[Values], sources: Sequence[Values]) -> Attribute:
    held = [values.get(path) for values in objects]
    is_sequence = dictionary_VR(path[-1]) == "SQ"
    origin, value = (None, "") if is_sequence or not any(held) else _origin(path, held, sources)
    tag = tag_for_keyword(path[-1])
    assert tag is not None, "the node writes no private attribute"
    return Attribute(
        path=path,
        tag=f"({tag >> 16:04X},{tag & 0xFFFF:04X})",
        vr=dictionary_VR(path[-1]),
        presence=_presence(path, held, objects),
        origin=origin,
        value=value,
    )


def _presence(path: Path, held: Sequence[tuple[str, ...] | None], objects: Sequence[Values]) -> Presence:
    """As seen in the objects that have the sequence around it."""
    around = [h for h, values in zip(held, objects, strict=True) if len(path) == 1 or values.get(path[:-1])]
    if None in around:
        return Presence.ANAP
    if path[-1] == _ELSEWHERE:
        return Presence.ALWAYS
    if not any(around):
        return Presence.EMPTY
    return Presence.ALWAYS if all(around) else Presence.VNAP


def _origin(path: Path, held: Sequence[tuple[str, ...] | None], sources: Sequence[Values]) -> tuple[Origin, str]:
    """Of two objects without a common source: what is alike is fixed, what the source has is a copy."""
    first, second, bare = (None if h is None else tuple(dict.fromkeys(h)) for h in held)
    if first == second and first:
        return Origin.FIXED, ", ".join(first) if len(first) <= _MOST_SHOWN else f"{len(first)} values"
    for keyword in (path[-1], *(p[-1] for p in sources[0])):
        if all(not h or h == _of(s, keyword) for h, s in zip((first, second), sources[:2], strict=True)):
            is_made = bare and bare != _of(sources[2], keyword)
            return (Origin.EITHER if is_made else Origin.COPY), "" if keyword == path[-1] else keyword
    return Origin.AUTO, ""


def _of(source: Values, keyword: str) -> tuple[str, ...] | None:
    return next((values for path, values in source.items() if path[-1] == keyword), None)


def _modules(SOPClassUID: str, attributes: Sequence[Attribute]) -> Iterator[Module]:
    """The IOD's modules of which the object has an attribute, each attribute in the first that has it."""
    iod = standard.get_sop_class_iod_map()[SOPClassUID]
    left = dict.fromkeys(a.path[0] for a in attributes)
    for module in standard.get_iod_module_map()[iod]:
        own = {a["keyword"] for a in standard.get_module_attribute_map()[module["key"]] if not a["path"]}
        found = tuple(a for a in attributes if a.path[0] in own and a.path[0] in left)
        for attribute in found:
            left.pop(attribute.path[0], None)
        if found:
            yield Module(name=module["key"].replace("-", " "), usage=module["usage"], attributes=found)


def _grow(node: Node, items: Sequence[Dataset]) -> None:
    for item in items:
        name = _name(item)
        key = (item.get("RelationshipType", ""), item.ValueType, name)
        if key not in node.children:
            templates = item.get("ContentTemplateSequence", [])
            node.children[key] = Node(
                relationship=key[0],
                value_type=key[1],
                name=name,
                template=f"TID {templates[0].TemplateIdentifier}" if templates else "",
            )
        _grow(node.children[key], item.get("ContentSequence", []))


def _name(item: Dataset) -> str:
    if not item.get("ConceptNameCodeSequence"):
        return ""
    held = item.ConceptNameCodeSequence[0]
    code = Code(held.CodeValue, held.CodingSchemeDesignator, held.CodeMeaning)
    if any(code.value == q.code.value and code.scheme == q.code.scheme for q in Quantity):
        return "a quantity"
    return f"({code.value}, {code.scheme}, {code.meaning})"
