"""Metrics of samples, and the extractors that their features come from."""
