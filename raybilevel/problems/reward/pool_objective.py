"""The upper objective on one pool, at any x: free of network evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from raybilevel.problems.reward.coefficients import Coefficients
from raybilevel.upper.curvature import hessian
from raybilevel.upper.derivatives_within import DerivativesWithin, estimate_within
from raybilevel.upper.diagnostics import Diagnostics, examine
from raybilevel.upper.gates import Gates, gates_for
from raybilevel.upper.interval import Degrees, degrees_of_carriers
from raybilevel.upper.island_gates import examine_islands
from raybilevel.upper.islands import degrees_of_islands
from raybilevel.upper.ladder.strata import Strata
from raybilevel.upper.penalty import Estimate, Pool, estimate
from raybilevel.upper.prompts import Prompts, TiltedWithin
from raybilevel.upper.tilting import Tilted
from raybilevel.upper.variables import Variable

Hessian = Callable[[], np.ndarray]
"""Gives second derivatives (d, d)."""


@dataclass(frozen=True, eq=False)
class PoolObjective:
    """F, or L_gamma, of the variables.

    Attributes
    ----------
    pool : rewards of samples of p0.
    coefficients : lambda and the weights; x (d,) are values of those that are tuned.
    gamma : penalty constant; inf for F.
    prompts : which sample belongs to which prompt; None where all are of one, or of none.
    strata : the rungs that moved samples are of, whose islands `prompts` is then; None of p0's.
    """

    pool: Pool
    coefficients: Coefficients
    gamma: float = math.inf
    prompts: Prompts | None = None
    strata: Strata | None = None

    @property
    def several(self) -> Prompts | None:
        """Which sample belongs to which prompt; None of a single one, in islands or not."""
        prompts = self.prompts
        return None if prompts is None or len(prompts.shares) == 1 else prompts

    @property
    def units(self) -> int:
        """How many influences an estimate has: one a sample, or one an island."""
        return self.pool.n if self.prompts is None else len(self.prompts.units.of)

    @property
    def degrees(self) -> float | Degrees:
        """Degrees of freedom of an optimum's variance."""
        if self.strata is not None:
            return degrees_of_islands(self.strata.islands.units)
        return math.inf if self.prompts is None else degrees_of_carriers

    @property
    def variables(self) -> tuple[Variable, ...]:
        """What x (d,) is made of."""
        return self.coefficients.variables

    @property
    def columns(self) -> list[int]:
        """What each variable is among (lambda, w_1, ..., w_K), as in `Estimate.gradient`."""
        return self.coefficients.columns

    def at(self, x: np.ndarray) -> PoolPoint:
        """What the pool says at `x` (d,)."""
        return PoolPoint(self, x)

    def at_gamma(self, gamma: float) -> Self:
        """The same with another penalty constant."""
        return replace(self, gamma=gamma)

    def by_group(self, x: np.ndarray) -> list[tuple[PoolObjective, np.ndarray]]:
        """The objective of every group, and what x (d,) is there; its own where there are none."""
        return [(self, x)]

    def by_variable(self, x: np.ndarray) -> Iterator[tuple[PoolObjective, np.ndarray, int]]:
        """The objective that each variable moves, what x (d,) is there, and its place in that."""
        yield from ((self, x, place) for place in range(len(x)))

    def of_prompts(self, places: np.ndarray, x: np.ndarray) -> tuple[Restricted, np.ndarray]:
        """The objective on some of its prompts alone, and what x (d,) is there."""
        return self._restricted(places), x

    def _restricted(self, places: np.ndarray) -> Restricted:
        """The objective on some prompts alone, with the variables of all."""
        prompts, strata = self.prompts, self.strata
        own: Prompts | None = None
        assert prompts is not None, "there are several"
        rows, units = prompts.rows_of(places), prompts.units.rows_of(places)
        if strata is not None:
            strata = strata.at(rows, places)
            own = strata.islands
        elif len(places) > 1 or self.pool.log_base is not None:
            own = prompts.at(places)
        part = replace(self, pool=self.pool.at(rows), prompts=own, strata=strata)
        return Restricted(rows, units, float(prompts.shares[places].sum()), part)

    def estimate(self, x: np.ndarray) -> Estimate:
        """Objective and gradient at `x` (d,)."""
        return self.curved(x)[0]

    def curved(self, x: np.ndarray) -> tuple[Estimate, Hessian]:
        """The same, and the second derivatives there, which are computed where they are asked for.

        Over prompts the sums that both are made of are kept only as long as the latter.
        """
        lambda_, weights = self._at(x)
        if self.prompts is not None:
            within = DerivativesWithin(self.pool, self.prompts, lambda_, weights, self.gamma)
            return within.estimate, lambda: self._of_variables(within.hessian())
        assert self.pool.log_base is None, "weighted samples are of prompts, or of one"
        found = estimate(self.pool, lambda_, weights, self.gamma)
        return found, lambda: self._of_variables(
            hessian(self.pool, found, lambda_, weights, self.gamma)
        )

    def _of_variables(self, whole: np.ndarray) -> np.ndarray:
        return whole[np.ix_(self.columns, self.columns)]

    def _at(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        lambda_, *weights = self.coefficients.at(x)
        return float(lambda_), np.array(weights)

    @property
    def gates(self) -> Gates:
        """Those that an estimate has to pass."""
        return gates_for(self.prompts)

    def examine(self, estimate_: Estimate, *, of_size: bool = False) -> Diagnostics:
        """Whether an estimate of this objective can be believed; perhaps by gates of size alone."""
        if self.strata is not None:
            return examine_islands(estimate_, self.strata)
        return self.examine_rows(estimate_, self.gates.of_size if of_size else self.gates)

    def examine_rows(self, estimate_: Estimate, gates: Gates) -> Diagnostics:
        """The same of independent samples, by gates that are given."""
        return examine(estimate_, self.columns, gates)

    def score(self, estimate_: Estimate) -> tuple[float, float]:
        """What an estimate of F comes to, and its standard error."""
        return estimate_.value, estimate_.value_se


@dataclass(frozen=True, eq=False)
class Restricted:
    """Some of an objective's prompts.

    Attributes
    ----------
    rows : (m,) of the pool.
    units : which of the whole's influences are of these prompts.
    share : of these prompts among all.
    objective : on these rows alone, shares summing to one.
    """

    rows: np.ndarray
    units: np.ndarray
    share: float
    objective: PoolObjective


@dataclass(frozen=True, eq=False)
class PoolPoint:
    """What a pool says at one x (d,). Each number is computed once, when it is first asked for."""

    objective: PoolObjective
    x: np.ndarray

    @cached_property
    def estimate(self) -> Estimate:
        """Objective and gradient."""
        return self.objective.estimate(self.x)

    @cached_property
    def exact(self) -> Estimate:
        """F and its gradient, whatever gamma is."""
        if math.isinf(self.objective.gamma):
            return self.estimate
        return self.objective.at_gamma(math.inf).estimate(self.x)

    @cached_property
    def diagnostics(self) -> Diagnostics:
        """Of all gates."""
        return self.objective.examine(self.estimate)

    @property
    def score(self) -> tuple[float, float]:
        """F and its standard error, or how far from a target it is."""
        return self.objective.score(self.exact)

    @property
    def weights(self) -> np.ndarray:
        """The samples' weights (n,) under p_x, summing to one; within a prompt to its share."""
        return self.exact.tilts[0].weights

    @property
    def lower_loss(self) -> float:
        """-E[r2] + lambda KL(p_x || p0), which is -lambda log E_{p0}[exp(r2 / lambda)].

        Over prompts the average of theirs.

        The tilt is r2 / lambda up to a constant, on which log Z depends and the KL does not.
        """
        lambda_, *weights = self.objective.coefficients.at(self.x)
        p = self.exact.tilts[0]
        return float(lambda_ * p.kl - p.mean(self.objective.pool.lower @ np.array(weights)))

    def mean_of_p0(self, h: np.ndarray) -> float:
        """E[h] under p0, by the same samples, for h (n,)."""
        prompts, pool = self.objective.prompts, self.objective.pool
        untilted = np.zeros(pool.n)
        p = Tilted(untilted) if prompts is None else TiltedWithin(prompts, untilted, pool.base)
        return float(p.mean(h))

    def mean(self, h: np.ndarray) -> tuple[float, float]:
        """E[h] under p_x and its standard error, for h (n,)."""
        if self.objective.prompts is None:
            p = self.exact.tilts[0]
            return float(p.mean(h)), float(np.sqrt(np.sum((self.weights * p.centred(h)) ** 2)))
        pool = replace(self.objective.pool, upper=h)
        lambda_, *weights = self.objective.coefficients.at(self.x)
        minus = estimate_within(pool, self.objective.prompts, lambda_, np.array(weights))
        return -minus.value, minus.value_se
