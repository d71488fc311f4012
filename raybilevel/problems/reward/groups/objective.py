"""The upper objective over groups of prompts that have variables of their own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from raybilevel.problems.reward.groups.coefficients import GroupedCoefficients
from raybilevel.problems.reward.pool_objective import PoolObjective, PoolPoint, Restricted
from raybilevel.upper.diagnostics import Diagnostics
from raybilevel.upper.penalty import Estimate


@dataclass(frozen=True, eq=False)
class GroupedObjective(PoolObjective):
    """F is the average over groups by the shares of their prompts.

    Attributes
    ----------
    groups : what each of the prompts (C,) belongs to.
    """

    coefficients: GroupedCoefficients
    groups: tuple[str, ...] = field(kw_only=True)

    def at(self, x: np.ndarray) -> GroupedPoint:
        """What the pool says at `x` (d,)."""
        return GroupedPoint(self, x)

    def estimate(self, x: np.ndarray) -> Estimate:
        """Objective and gradient at `x` (d,)."""
        return self.at(x).estimate

    @cached_property
    def parts(self) -> dict[str, Restricted]:
        """Every group's own objective."""
        of = np.array(self.groups)
        return {g: self._part(np.flatnonzero(of == g), g) for g in self.coefficients.groups}

    def by_group(self, x: np.ndarray) -> list[tuple[PoolObjective, np.ndarray]]:
        """Every group's own objective, and its values among x (d,)."""
        places = self.coefficients.places
        return [(part.objective, x[places[g]]) for g, part in self.parts.items()]

    def by_variable(self, x: np.ndarray) -> Iterator[tuple[PoolObjective, np.ndarray, int]]:
        """Its own objective for what groups share, and a group's for that group's own variables."""
        shared = len(self.coefficients.shared)
        yield from ((self, x, place) for place in range(shared))
        for group, part in self.parts.items():
            places = self.coefficients.places[group]
            own = np.flatnonzero(places >= shared)
            yield from ((part.objective, x[places], int(place)) for place in own)

    def worst(self, seen: Mapping[str, Diagnostics]) -> Diagnostics:
        """The worst of what each group's gates have seen; the ESS is that of all."""
        n, parts = self.pool.n, self.parts
        inverse = sum(parts[g].share ** 2 / d.ess for g, d in seen.items())
        needed = [d.samples_needed * n / len(parts[g].rows) for g, d in seen.items()]
        ks = [d.pareto_k for d in seen.values() if not math.isnan(d.pareto_k)]
        failures = tuple(f"{g}: {', '.join(d.failures)}" for g, d in seen.items() if d.failures)
        return Diagnostics(
            1 / inverse, max(d.kl for d in seen.values()), max(ks, default=math.nan),
            max(d.share for d in seen.values()), max(needed), failures,
            overlap=min(d.overlap for d in seen.values()),
            log_z_sd=max(d.log_z_sd for d in seen.values()),
        )  # fmt: skip

    def of_prompts(self, places: np.ndarray, x: np.ndarray) -> tuple[Restricted, np.ndarray]:
        """The objective on prompts of one group, with that group's variables, and x of them."""
        group = self.groups[places[0]]
        return self._part(places, group), x[self.coefficients.places[group]]

    def _part(self, places: np.ndarray, group: str) -> Restricted:
        part = self._restricted(places)
        own, all_ = self.coefficients.parts[group], part.objective
        alone = PoolObjective(all_.pool, own, self.gamma, all_.prompts, all_.strata)
        return replace(part, objective=alone)


@dataclass(frozen=True, eq=False)
class GroupedPoint(PoolPoint):
    """What a pool says at one x (d,), from what its groups say."""

    objective: GroupedObjective

    @cached_property
    def parts(self) -> dict[str, PoolPoint]:
        """Every group's own point."""
        places = self.objective.coefficients.places
        return {g: p.objective.at(self.x[places[g]]) for g, p in self.objective.parts.items()}

    @property
    def _shared(self) -> Iterator[tuple[Restricted, PoolPoint]]:
        return zip(self.objective.parts.values(), self.parts.values(), strict=True)

    @cached_property
    def estimate(self) -> Estimate:
        """Objective, and the gradients of all groups one after the other.

        How sure a gradient is a group says of its own: for all of them it would be (n, d).
        """
        n, value, gradient = self.objective.units, 0.0, []
        influence = np.empty(n)
        for part, point in self._shared:
            e = point.estimate
            value += part.share * e.value
            gradient.append(part.share * e.gradient)
            influence[part.units] = part.share * n / len(part.units) * e.value_influence
        return Estimate(value, np.concatenate(gradient), influence, np.empty((n, 0)), ())

    @cached_property
    def diagnostics(self) -> Diagnostics:
        """The worst of the groups'; the ESS is that of all."""
        return self.objective.worst({g: point.diagnostics for g, point in self.parts.items()})

    @property
    def weights(self) -> np.ndarray:
        """The samples' weights (n,) under p_x, summing to one; within a prompt to its share."""
        weights = np.empty(self.objective.pool.n)
        for part, point in self._shared:
            weights[part.rows] = part.share * point.weights
        return weights

    @property
    def lower_loss(self) -> float:
        """The average of the groups'."""
        return sum(part.share * point.lower_loss for part, point in self._shared)

    def mean(self, h: np.ndarray) -> tuple[float, float]:
        """E[h] under p_x and its standard error, for h (n,)."""
        found = [(part.share, point.mean(h[part.rows])) for part, point in self._shared]
        mean = sum(share * value for share, (value, _) in found)
        return mean, math.sqrt(sum((share * se) ** 2 for share, (_, se) in found))
