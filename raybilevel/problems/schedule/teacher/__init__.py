"""Noise levels for any pipeline, found by the distance to a teacher: no data, no labels."""
