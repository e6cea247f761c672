"""What is wrong in a settings file, and where: one line per fault, ``file:line: key: what is wrong``."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from echo_node.errors import ConfigError

Location = tuple[Any, ...]  # keys and places in lists, from the file's root
_NO_SECTION = ("model_type", "dict_type", "model_attributes_type")


def refuse_repeated_keys(path: Path, node: yaml.Node) -> None:
    """YAML lets a repeated key win silently; here it is an error."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            refuse_repeated_keys(path, item)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if key.value in seen:
            raise ConfigError(f"{path}:{key.start_mark.line + 1}: {key.value}: this key stands twice")
        seen.add(key.value)
        refuse_repeated_keys(path, value)


def faults(
    path: Path,
    root: yaml.Node | None,
    error: ValidationError,
    settings: type[BaseModel],
    *,
    secrets: Collection[Location] = (),
) -> list[str]:
    """One line for each fault that pydantic found.

    Parameters
    ----------
    path : Path
        The file.
    root : yaml.Node or None
        What the file holds, with its lines.
    error : ValidationError
        The faults.
    settings : type of BaseModel
        What the file was read as.
    secrets : collection of Location
        Keys whose values are not repeated, nor those of the sections around them.
    """
    lines = []
    found = error.errors()
    for fault in found:
        location = tuple(part for part in fault["loc"] if part != "[key]")
        if fault["type"] == "too_short" and any(_is_inside(other, location) for other in found):
            continue  # the items of this list were left out for what is said of them
        line = _line_of(root, location)
        key = ".".join(str(part) for part in location) or path.name
        said = _explain(settings, location, fault)
        is_secret = any(secret[: len(location)] == location for secret in secrets)  # or holds one
        is_shown = "input" in fault and not isinstance(fault["input"], dict) and not is_secret
        lines.append(f"{path}:{line}: {key}: {said}" + (f" (found {fault['input']!r})" if is_shown else ""))
    return lines


def _is_inside(fault: Any, location: Location) -> bool:
    return len(fault["loc"]) > len(location) and fault["loc"][: len(location)] == location


def _explain(settings: type[BaseModel], location: Location, fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        return f"unknown key; allowed here: {', '.join(_allowed(settings, location[:-1]))}"
    if fault["type"] in _NO_SECTION:
        keys = ", ".join(_allowed(settings, location))
        return "a section with keys is needed" + (f": {keys}" if keys else "")
    if fault["type"] == "tuple_type":
        return "a list is needed"
    return str(fault["msg"]).removeprefix("Value error, ")


def _allowed(settings: type[BaseModel], location: Location) -> list[str]:
    """The keys that the section at this location knows."""
    model: Any = settings
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        model = next((a for a in getattr(annotation, "__args__", ()) if hasattr(a, "model_fields")), annotation)
    return sorted(getattr(model, "model_fields", {}))


def _line_of(node: yaml.Node | None, location: tuple[Any, ...]) -> int:
    """The line of the deepest part of a location that the file holds."""
    line = 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
