"""The engine that the node serves, and ``echo-node engines``: packages listed, verified, described, compiled."""

from __future__ import annotations

from pathlib import Path

from echo_node.config import Backend, Config
from echo_node.errors import EchoNodeError, EngineError
from echo_node.inference.backend import open_runtime
from echo_node.inference.engine import Engine, load_engine
from echo_node.inference.golden import check_golden
from echo_node.inference.manifest import MANIFEST, load_manifest
from echo_node.inference.plans import PlanCache
from echo_node.inference.signatures import check_graphs


def open_engine(config: Config) -> Engine:
    """The engine that config.yaml names, on the runtime that it names."""
    settings = config.analyse
    return load_engine(
        settings.engine, backend=settings.backend, threads=settings.threads, plans=plan_cache(config)
    )


def plan_cache(config: Config) -> PlanCache:
    """The node's TensorRT plans."""
    return PlanCache(config.plan_cache, config.node_key)


def list_engines(folder: Path) -> int:
    """One line per package below a folder; 1 where one is not whole, or there is none."""
    found = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
    if not found:
        raise EchoNodeError(f"{folder}: holds no engine package (no */{MANIFEST})")
    is_whole = True
    for package in found:
        try:
            manifest, digest = load_manifest(package)
        except EngineError as error:
            print(f"{package.name:32} refused: {error}")
            is_whole = False
        else:
            print(f"{manifest.name:32} {manifest.version:8} {digest[:12]}  {', '.join(manifest.tasks)}")
    return 0 if is_whole else 1


def verify(package: Path, *, backend: Backend, plans: PlanCache | None = None) -> int:
    """Check every file against the manifest, and every graph against its golden values."""
    manifest, digest = load_manifest(package)
    check_graphs(package, manifest)
    runtime = open_runtime(backend, package, manifest, threads=0, plans=plans)
    for graph, difference in check_golden(package, manifest, runtime).items():
        print(f"{graph:12} differs from its golden values by {difference:.1e}")
    print(f"{manifest.name} {manifest.version}: {len(manifest.files)} files whole, on {runtime.name}, {digest}")
    return 0


def import_graphs(source: Path, out: Path) -> int:
    """Make a package from graphs that others made."""
    from echo_node.export.imports import import_package

    manifest = import_package(source, out)
    print(f"{out}: {manifest.name} {manifest.version} for {', '.join(manifest.tasks)}")
    return 0


def compile_plans(package: Path, plans: PlanCache) -> int:
    """Build and try TensorRT plans for this machine's GPU; 1 where one of them may not serve."""
    from echo_node.export.plans import compile_package

    is_good = True
    for graph, acceptance in compile_package(package, plans):
        found = ", ".join(f"{bucket}: {value:.1e}" for bucket, value in acceptance.differences.items())
        verdict = "accepted" if acceptance.is_good else "refused"
        print(f"{graph:12} {verdict}; differs by batch bucket by {found}; {acceptance.allowed:.1e} is allowed")
        is_good = is_good and acceptance.is_good
    print(f"{package}: plans in {plans.folder}")
    return 0 if is_good else 1


def show_card(package: Path) -> int:
    """Print the package's card."""
    load_manifest(package)
    print((package / "card.md").read_text(encoding="utf-8"))
    return 0
