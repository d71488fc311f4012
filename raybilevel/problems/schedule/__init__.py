"""The schedule problems."""
