"""Samples in the run directory, to be looked at."""
