"""Training: loss, trainer, networks."""
