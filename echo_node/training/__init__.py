"""Training: phantoms as data, losses, the fit loop and the evaluation. All that needs torch."""
