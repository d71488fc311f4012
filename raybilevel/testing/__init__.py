"""Conformance suites: what the author of a new part runs against it."""
