"""What half precision costs: the shipped engine's fp16 graphs against its fp32 ones, on this CPU.

Run: ``python -m benchmarks.half``. ONNX Runtime rounds to fp16 between operators and computes inside them in
fp32, so that this is what the graph loses, not what a GPU's kernels lose.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx

from echo_node.codes import Structure, View
from echo_node.evaluation.phantoms import as_clip
from echo_node.export.half import halved
from echo_node.inference.backend import Arrays
from echo_node.inference.engine import Engine
from echo_node.inference.golden import load_golden
from echo_node.inference.manifest import Manifest, load_manifest
from echo_node.inference.onnxruntime_backend import OnnxRuntime
from echo_node.phantom import sample_patient, simulate_clip

SHIPPED = Path(__file__).parents[1] / "engines" / "echoapex-tiny-phantom"
VIEWS = (View.A4C, View.A2C)


def main() -> None:
    """Print the largest differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=8)
    chosen = parser.parse_args()
    manifest, digest = load_manifest(SHIPPED)
    whole, half = OnnxRuntime(SHIPPED, manifest, threads=1, on_gpu=False), half_runtime(manifest)
    for name in manifest.graphs:
        values: Arrays = load_golden(SHIPPED, manifest, name)
        inputs = {key.removeprefix("in_"): array for key, array in values.items() if key.startswith("in_")}
        expected = next(array for key, array in values.items() if key.startswith("out_"))
        differences = [np.abs(runtime.run(name, inputs) - expected).max() for runtime in (whole, half)]
        print(f"{name:8} fp32 {differences[0]:.1e}  fp16 {differences[1]:.1e}  of {np.abs(expected).max():.1f}")
    engines = Engine(manifest, digest, half), Engine(manifest, digest, whole)
    found = [compare(*engines, seed) for seed in range(chosen.clips)]
    for text, value in zip(("pixels that differ", "area", "probability"), np.max(found, axis=0), strict=True):
        print(f"{chosen.clips} apical clips, largest difference, {text}: {value:.1e}")


def half_runtime(manifest: Manifest) -> OnnxRuntime:
    """The fp16 graphs on a CPU."""
    with tempfile.TemporaryDirectory() as folder:
        for graph in manifest.graphs.values():
            content = halved(onnx.load(SHIPPED / graph.file)).SerializeToString()
            (Path(folder) / graph.file).write_bytes(content)
        return OnnxRuntime(Path(folder), manifest, threads=1, on_gpu=False)


def compare(first: Engine, second: Engine, seed: int) -> tuple[float, float, float]:
    """Share of pixels, of the cavity's area, and of the view's probability that differ on a phantom clip."""
    rng = np.random.default_rng([5, seed])
    simulated = simulate_clip(sample_patient(rng), VIEWS[seed % 2], rng=rng, frames=6, size=300)
    clip = as_clip(simulated, uid=f"1.{seed}")
    views = [engine.classify(clip) for engine in (first, second)]
    masks = [engine.segment(clip, [Structure.LV_CAVITY])[0].masks for engine in (first, second)]
    areas = [m.sum(axis=(1, 2)) for m in masks]
    return (
        float((masks[0] != masks[1]).mean()),
        float(np.abs(areas[0] / areas[1] - 1).max()),
        abs(views[0].probability - views[1].probability),
    )


if __name__ == "__main__":
    main()
