"""From torch to an engine package: ONNX graphs, parity, golden values, manifest, card."""
