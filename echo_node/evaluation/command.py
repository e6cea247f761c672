"""``echo-node evaluate``: how good an engine is, on phantoms or on one's own labelled clips."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from echo_node.codes import View
from echo_node.config import Backend
from echo_node.errors import EchoNodeError
from echo_node.evaluation.cases import Source
from echo_node.evaluation.folders import first_patients, open_folder
from echo_node.evaluation.phantoms import phantoms
from echo_node.evaluation.plots import write_plots
from echo_node.evaluation.report import as_csv, as_json, as_markdown, as_text
from echo_node.evaluation.results import Results, evaluate
from echo_node.inference.engine import Engine, load_engine
from echo_node.inference.plans import PlanCache

PHANTOMS, NO_HEARTS = "phantoms", "no-hearts"
PHANTOM_PATIENTS = 30
_OF_NO_HEARTS = 250  # patients, of each four pictures without a heart
SEED = 1000


def evaluate_package(
    package: Path,
    on: str,
    out: Path,
    *,
    patients: int | None,
    seed: int,
    backend: Backend,
    plans: PlanCache | None = None,
) -> Results:
    """Evaluate a package, print the table, and write it with its plots.

    Parameters
    ----------
    package : Path
        Folder of the engine package.
    on : str
        ``phantoms``, ``no-hearts`` (their pictures without a heart alone), or a folder or CSV file of labelled
        clips.
    out : Path
        Folder for ``results.json``, ``table.csv``, ``table.md`` and the PNG files.
    patients : int, optional
        At most so many; left out: 30 phantoms, 250 for ``no-hearts``, or everybody in the folder.
    seed : int
        Of the phantoms.
    backend : Backend
        The runtime.
    plans : PlanCache, optional
        What the TensorRT backend serves from.

    Raises
    ------
    EngineError, LabelError
        The package or the labelled data cannot be used.
    """
    if patients is not None and patients < 1:
        raise EchoNodeError(f"--patients {patients}: at least 1 is needed")
    engine = load_engine(package, backend=backend, threads=0, plans=plans)
    source = _source(engine, on, patients=patients, seed=seed)
    results = evaluate_source(engine, source)
    print(as_text(results))
    for path in write_results(results, out):
        print(path)
    return results


def evaluate_source(engine: Engine, source: Source) -> Results:
    """Evaluate with a bar that tells how far it is."""
    with tqdm(total=source.patients, desc="evaluate", unit="patient") as bar:
        return evaluate(engine, source, progress=lambda _: bar.update())


def write_results(results: Results, out: Path) -> tuple[Path, ...]:
    """All files of an evaluation; returns their paths."""
    out.mkdir(parents=True, exist_ok=True)
    texts = {"results.json": as_json(results), "table.csv": as_csv(results), "table.md": as_markdown(results)}
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8")
    return (*(out / name for name in texts), *write_plots(results, out))


def _source(engine: Engine, on: str, *, patients: int | None, seed: int) -> Source:
    if on == PHANTOMS:
        return phantoms(engine.views, patients=PHANTOM_PATIENTS if patients is None else patients, seed=seed)
    if on == NO_HEARTS:
        return phantoms((View.OTHER,), patients=_OF_NO_HEARTS if patients is None else patients, seed=seed)
    source = open_folder(Path(on))
    return source if patients is None else first_patients(source, patients)
