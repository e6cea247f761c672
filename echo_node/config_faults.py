"""A settings file as YAML, and what is wrong in it: one line per fault, ``file:line: key: what is wrong``."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from echo_node.errors import ConfigError

Location = tuple[Any, ...]  # keys and places in lists, from the file's root
_NO_SECTION = ("model_type", "dict_type", "model_attributes_type")
# What PyYAML's constructors raise of a value that is not of the kind that its looks or its tag say.
_NO_VALUE = (AttributeError, LookupError, OverflowError, TypeError, ValueError)


class _Loader(yaml.SafeLoader):
    """The safe loader, which also says where a value stands that is none."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except _NO_VALUE as error:
            problem = f"this is no {node.tag.rpartition(':')[2]}; in quotes it is text"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


def read(path: Path) -> tuple[yaml.Node | None, Any]:
    """What a settings file holds: with its lines, and as plain values.

    Raises
    ------
    ConfigError
        The file cannot be read, is not YAML, or a key stands twice.
    """
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=_Loader)
        data = yaml.load(text, Loader=_Loader)  # noqa: S506  it is a safe one
        if root is not None:
            _refuse_repeated_keys(path, root)
    except OSError as error:
        is_elsewhere = isinstance(error, FileNotFoundError)
        hint = "; name the file with --config or in ECHO_NODE_CONFIG" if is_elsewhere else ""
        raise ConfigError(f"{path}: cannot be read: {error.strerror}{hint}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: is not YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{path}:{line}: is not YAML: U+{error.character:04X}: {error.reason}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: lists and sections lie too deep in each other") from error
    return root, data


def place(path: Path, location: Location) -> str:
    """``file:line: key`` in a settings file that was read before; the section's line where the key is left out."""
    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=_Loader)
    return f"{path}:{_line_of(root, location)}: {'.'.join(str(part) for part in location)}"


def _refuse_repeated_keys(path: Path, node: yaml.Node, around: tuple[yaml.Node, ...] = ()) -> None:
    """YAML lets a repeated key win silently, and an alias hold itself; here both are errors."""
    if node in around:
        line = node.start_mark.line + 1
        raise ConfigError(f"{path}:{line}: what the alias stands for holds the alias: there is no end to it")
    around = (*around, node)
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(path, item, around)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if key.value in seen:
            raise ConfigError(f"{path}:{key.start_mark.line + 1}: {key.value}: this key stands twice")
        seen.add(key.value)
        _refuse_repeated_keys(path, value, around)


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
