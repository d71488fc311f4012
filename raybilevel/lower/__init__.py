"""Lower level: sampling and training on one device, in one process. Knows no Ray."""
