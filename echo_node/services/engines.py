"""``echo-node engines``: which packages there are, whether they are whole, what they are made for."""

from __future__ import annotations

from pathlib import Path

from echo_node.config import Backend
from echo_node.errors import EchoNodeError, EngineError
from echo_node.inference.backend import open_runtime
from echo_node.inference.golden import check_golden
from echo_node.inference.manifest import MANIFEST, load_manifest


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


def verify(package: Path, *, backend: Backend) -> int:
    """Check every file against the manifest, and every graph against its golden values."""
    manifest, digest = load_manifest(package)
    runtime = open_runtime(backend, package, manifest, threads=0)
    for graph, difference in check_golden(package, manifest, runtime).items():
        print(f"{graph:12} differs from its golden values by {difference:.1e}")
    print(f"{manifest.name} {manifest.version}: {len(manifest.files)} files whole, on {runtime.name}, {digest}")
    return 0


def show_card(package: Path) -> int:
    """Print the package's card."""
    load_manifest(package)
    print((package / "card.md").read_text(encoding="utf-8"))
    return 0
