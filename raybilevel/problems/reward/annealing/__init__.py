"""Samples that move down a ladder of tilts, from p0 to where a pool of p0 says nothing."""
