"""Self-supervised pretraining by the DINOv2 recipe (Oquab M et al., 2023), as EchoApex uses it."""
