"""Paths that are pushed along rewards' gradients, in strata of several strengths."""
