"""Samples that were moved down a ladder of tilts."""
