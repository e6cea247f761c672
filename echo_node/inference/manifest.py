"""The manifest of an engine package: what is in it, checked before anything of it is used."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from echo_node.codes import Structure, View
from echo_node.errors import ManifestError

MANIFEST = "manifest.yaml"
SCHEMA = 1
# The graphs behind each task. A task that this node does not know is the business of a newer one.
NEEDED = {
    "view": ("encoder", "view"),
    "segmentation": ("encoder", "segment"),
    "ejection fraction by the method of disks": ("encoder", "view", "segment"),
    "wall thickness": ("encoder", "view", "walls"),
    "ejection fraction from the sequence": ("encoder", "view", "segment", "ejection"),
}
_LARGEST_FILE = 4 << 30  # bytes
_KINDS = (".onnx", ".npz", ".safetensors", ".yaml", ".md")  # nothing that runs when it is read


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _relative(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise ValueError(f"{name!r} leaves the package")
    if path.suffix not in _KINDS:
        raise ValueError(f"{name!r} is none of {', '.join(_KINDS)}")
    return name


FileName = Annotated[str, BeforeValidator(_relative)]


BatchSize = Annotated[int, Field(ge=1, le=1024)]


class FileEntry(_Part):
    """A file's size in bytes and its sha256."""

    size: int = Field(ge=0, le=_LARGEST_FILE)
    sha256: str = Field(pattern=re.compile(r"^[0-9a-f]{64}$"))

    @classmethod
    def of(cls, path: Path) -> FileEntry:
        """A file as it is."""
        with path.open("rb") as file:
            return cls(size=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


class TensorEntry(_Part):
    """An input or output of a graph: its type and shape; a word stands for a free dimension."""

    dtype: str
    shape: tuple[int | str, ...]


class GraphEntry(_Part):
    """An ONNX graph and what it takes and gives."""

    file: FileName
    inputs: dict[str, TensorEntry]
    outputs: dict[str, TensorEntry]


class Preprocess(_Part):
    """From a sector to the encoder's input: see ``inference.preprocess``."""

    size: int = Field(ge=16, le=1024)  # pixels, square
    channels: Literal[1, 3] = 1  # 1: a frame alone; 3: beside its clip's mean and deviation
    mean: float
    std: float = Field(gt=0)
    margin: float = Field(ge=1)  # of a closer window: its side over the structure's longer side


class Label(_Part):
    """A view or structure by the name of its code in ``codes``, with that code spelt out."""

    name: str
    code: str
    scheme: str
    meaning: str

    @classmethod
    def of(cls, concept: View | Structure) -> Label:
        """A concept of this node."""
        code = concept.code
        return cls(name=concept.name, code=code.value, scheme=code.scheme, meaning=code.meaning)


_NAME, _VERSION = re.compile(r"^[a-z0-9-]{1,64}$"), re.compile(r"^\d+\.\d+\.\d+$")


def check_name(name: str, version: str) -> None:
    """Can a package be called so? To be asked before the work of hours that it will hold.

    Raises
    ------
    ManifestError
        What is wrong with either.
    """
    if _NAME.match(name) is None:
        raise ManifestError(f"{name!r} is no package's name: 1 to 64 of a to z, 0 to 9 and -; name its folder so")
    if _VERSION.match(version) is None:
        raise ManifestError(f"{version!r} is no package's version: three numbers are needed, as 1.2.3")


class ViewSettings(_Part):
    """How logits become a probability, and from which one a view is believed."""

    temperature: float = Field(gt=0)
    threshold: float = Field(ge=0, le=1)


class Manifest(_Part):
    """Everything about an engine but its numbers."""

    schema_version: int = Field(alias="schema")
    name: str = Field(pattern=_NAME)
    version: str = Field(pattern=_VERSION)
    tasks: tuple[str, ...]
    intended_use: str
    files: dict[FileName, FileEntry]
    graphs: dict[str, GraphEntry]
    preprocess: Preprocess
    views: tuple[Label, ...]
    structures: tuple[Label, ...]
    view: ViewSettings
    batch_buckets: tuple[BatchSize, ...] = Field(min_length=1)
    measured: dict[str, float]


def load_manifest(folder: Path) -> tuple[Manifest, str]:
    """Read a package's manifest and check every file against it.

    Returns
    -------
    Manifest, str
        And the manifest's own sha256, which stands for the whole package.

    Raises
    ------
    ManifestError
        Something is missing, has another content, or lies outside the package. It says what.
    """
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
        manifest = Manifest.model_validate(yaml.safe_load(content))
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ManifestError(f"{path}: is not YAML") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ManifestError(f"{path}: {place}: {first['msg']}") from error
    if manifest.schema_version != SCHEMA:
        raise ManifestError(f"{path}: schema {manifest.schema_version}; this node reads {SCHEMA}")
    for name, entry in manifest.files.items():
        _check_file(folder, name, entry)
    for name, graph in manifest.graphs.items():
        if graph.file not in manifest.files:
            raise ManifestError(f"{path}: graph {name}: {graph.file} is not among the files")
    for task in manifest.tasks:
        missing = [name for name in NEEDED.get(task, ()) if name not in manifest.graphs]
        if missing:
            raise ManifestError(f"{path}: the task {task!r} needs the graph {missing[0]}, which is not there")
    _check_labels(path, manifest)
    return manifest, hashlib.sha256(content).hexdigest()


def _check_file(folder: Path, name: str, entry: FileEntry) -> None:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise ManifestError(f"{path}: is not in the package")
    if path.stat().st_size != entry.size:
        raise ManifestError(f"{path}: has {path.stat().st_size} bytes; the manifest says {entry.size}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != entry.sha256:
        raise ManifestError(f"{path}: sha256 is {digest}; the manifest says {entry.sha256}")


def _check_labels(path: Path, manifest: Manifest) -> None:
    """A label must be known here, and mean the same."""
    for known, labels in ((View, manifest.views), (Structure, manifest.structures)):
        names = [label.name for label in labels]
        if len(set(names)) < len(names):
            raise ManifestError(f"{path}: {max(names, key=names.count)!r} stands twice among the labels")
        for label in labels:
            if label.name not in known.__members__:
                raise ManifestError(f"{path}: {label.name!r} is no {known.__name__.lower()} of this node")
            code = known[label.name].code
            if (code.value, code.scheme) != (label.code, label.scheme):
                raise ManifestError(
                    f"{path}: {label.name} is {label.code} {label.scheme}, not {code.value} {code.scheme}"
                )
