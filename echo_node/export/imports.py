"""``echo-node engines import``: graphs from elsewhere, and a few lines about them, to an engine package.

The lines are a YAML file beside the graphs; docs/engines.md has an example. Everything else in a manifest
is found here: sums, signatures, codes, tasks, and golden values from seeded inputs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from echo_node.codes import Structure, View
from echo_node.errors import EngineError, ManifestError
from echo_node.export.foreign import describe, read_foreign, without_notes
from echo_node.inference.backend import Arrays, Runtime
from echo_node.inference.buckets import buckets_of
from echo_node.inference.golden import TOLERANCE, check_golden, golden_file
from echo_node.inference.manifest import (
    MANIFEST,
    NEEDED,
    SCHEMA,
    FileEntry,
    GraphEntry,
    Label,
    Manifest,
    Preprocess,
    ViewSettings,
    load_manifest,
)
from echo_node.inference.onnxruntime_backend import OnnxRuntime
from echo_node.inference.prompts import PointKind
from echo_node.inference.signatures import check_graphs

_CARD = "card.md"
_ROWS, _TIMES = 2, 3  # of golden inputs: the batch, and every other free dimension


class Source(BaseModel):
    """What the user writes; paths count from the file's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    intended_use: str = Field(min_length=1)
    graphs: dict[str, Path]
    preprocess: Preprocess
    views: tuple[str, ...]  # names, in the order of the view graph's logits
    structures: tuple[str, ...]  # in the order of the segment graph's prompts
    view: ViewSettings
    batch_buckets: tuple[int, ...] = (1, 8, 32)
    card: Path | None = None
    measured: dict[str, float] = {}


def import_package(source: Path, out: Path, *, seed: int = 0) -> Manifest:
    """Make a package, whole or not at all.

    Parameters
    ----------
    source : Path
        The user's YAML.
    out : Path
        The package's folder, which must not be there yet.
    seed : int
        Of the golden inputs.

    Raises
    ------
    EngineError
        Something does not fit; it says what differs.
    """
    settings = _read_source(source)
    if out.exists():
        raise EngineError(f"{out}: is there already")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        folder = Path(scratch) / "package"
        folder.mkdir()
        graphs = dict(_copy_graphs(source.parent, settings, folder))
        _write_card(source.parent, settings, folder)
        draft = _manifest(source, settings, graphs, folder)
        check_graphs(source, draft)
        runtime = OnnxRuntime(folder, draft, threads=0, on_gpu=False)
        for name in graphs:
            np.savez_compressed(
                folder / golden_file(name), allow_pickle=False, **_golden(draft, name, runtime, seed)
            )
        _write_manifest(_manifest(source, settings, graphs, folder), folder)
        manifest, _ = load_manifest(folder)
        check_golden(folder, manifest, runtime)
        folder.rename(out)
    return manifest


def _read_source(path: Path) -> Source:
    try:
        return Source.model_validate(yaml.safe_load(path.read_bytes()))
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ManifestError(f"{path}: is not YAML") from error
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ManifestError(f"{path}: {'; '.join(faults)}") from error


def _copy_graphs(here: Path, settings: Source, folder: Path) -> Iterator[tuple[str, GraphEntry]]:
    for name, file in settings.graphs.items():
        path = here / file
        model = read_foreign(path)
        entry = describe(path, model, f"{name}.onnx")
        buckets_of(entry, settings.batch_buckets)  # the batch comes first and is free
        (folder / entry.file).write_bytes(without_notes(model).SerializeToString())
        yield name, entry


def _write_card(here: Path, settings: Source, folder: Path) -> None:
    text = (
        f"# {settings.name} {settings.version}\n\n{settings.intended_use}\n\nImported; no figures came with it.\n"
    )
    if settings.card is not None:
        path = here / settings.card
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise EngineError(f"{path}: the card cannot be read") from error
    (folder / _CARD).write_text(text, encoding="utf-8")


def _manifest(source: Path, settings: Source, graphs: Mapping[str, GraphEntry], folder: Path) -> Manifest:
    try:
        return Manifest(
            schema=SCHEMA,
            name=settings.name,
            version=settings.version,
            tasks=tuple(task for task, needed in NEEDED.items() if set(needed) <= set(graphs)),
            intended_use=settings.intended_use,
            files={path.name: FileEntry.of(path) for path in sorted(folder.iterdir())},
            graphs=dict(graphs),
            preprocess=settings.preprocess,
            views=tuple(_label(source, View, name) for name in settings.views),
            structures=tuple(_label(source, Structure, name) for name in settings.structures),
            view=settings.view,
            batch_buckets=settings.batch_buckets,
            measured=settings.measured,
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ManifestError(f"{source}: {place}: {first['msg']}") from error


def _label(source: Path, known: type[View] | type[Structure], name: str) -> Label:
    if name not in known.__members__:
        kind = known.__name__.lower()
        raise ManifestError(f"{source}: {name!r} is no {kind}; known are {', '.join(known.__members__)}")
    return Label.of(known[name])


def _golden(manifest: Manifest, name: str, runtime: Runtime, seed: int) -> Arrays:
    """Seeded inputs and what fp32 makes of them; each row alone must give the same.

    A batch is filled up to a bucket, so that a graph whose rows see each other would give what depends on the
    clips that happen to come together.
    """
    graph = manifest.graphs[name]
    inputs = dict(_inputs(manifest, graph, np.random.default_rng(seed)))
    together = runtime.run(name, inputs)
    alone = [runtime.run(name, {n: a[row : row + 1] for n, a in inputs.items()}) for row in range(_ROWS)]
    difference = float(np.abs(together - np.concatenate(alone)).max())
    if not difference <= TOLERANCE:
        raise EngineError(f"graph {name}: a row differs by {difference:.1e} from the same row alone in its batch")
    return {f"in_{n}": a for n, a in inputs.items()} | {f"out_{next(iter(graph.outputs))}": together}


def _inputs(
    manifest: Manifest, graph: GraphEntry, rng: np.random.Generator
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Normal numbers, but labels where labels are asked for: the last one first, which too small a graph lacks."""
    labels = {"structure": len(manifest.structures), "kinds": len(PointKind)}
    for name, tensor in graph.inputs.items():
        free = tuple(_TIMES if isinstance(size, str) else size for size in tensor.shape[1:])
        shape = (_ROWS, *free)
        if tensor.dtype == "float32":
            yield name, rng.normal(size=shape).astype(np.float32)
        elif tensor.dtype == "uint8":
            yield name, rng.integers(0, 256, shape).astype(np.uint8)
        else:
            count = labels.get(name, 1)
            yield name, (count - 1 - np.arange(np.prod(shape, dtype=int)) % count).reshape(shape).astype(np.int64)


def _write_manifest(manifest: Manifest, folder: Path) -> None:
    values = manifest.model_dump(mode="json", by_alias=True)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
