"""Searches over the same problem, at the same budget: the only place that knows `ray.tune`."""
