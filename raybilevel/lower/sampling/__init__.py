"""Sampling: solvers, noise levels, pipelines."""
