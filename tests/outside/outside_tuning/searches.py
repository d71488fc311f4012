"""A search of Ray Tune's, by a name of its own."""

from __future__ import annotations

from ray import tune

from raybilevel.baselines.searches import Ask, Search


def corners(ask: Ask) -> Search:
    """Both bounds of every variable."""
    return Search({v.name: tune.grid_search([v.low, v.high]) for v in ask.variables}, 1)
