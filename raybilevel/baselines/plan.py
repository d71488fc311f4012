"""What a comparison will run, checked before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raybilevel.baselines.config import POOLED, STAGED, CompareConfig
from raybilevel.config.settings import Settings
from raybilevel.errors import InputError
from raybilevel.problems.base import Arrays, Cost, Problem
from raybilevel.problems.reward.problem import RewardTuning
from raybilevel.problems.reward.rivals.evaluation import RivalEvaluation
from raybilevel.report.standing import DEFAULT, FOLLOWED

_FEWEST_POOLED = 16  # samples, two a round
_TWO = 2

_MOST_POINTS = 1_000_000  # of a grid on a pool


@dataclass(frozen=True)
class Plan:
    """Methods, seeds and budgets.

    Attributes
    ----------
    given : what is tuned.
    compare : by what, at which budget.
    first_seed : of the run.
    """

    given: Problem
    compare: CompareConfig
    first_seed: int

    @cached_property
    def table(self) -> RewardTuning | None:
        """The problem whose pool is a table; None where there is a lower level to run."""
        given = self.given
        return given if isinstance(given, RewardTuning) and given.pool is not None else None

    @cached_property
    def problem(self) -> Problem:
        """What the methods see: of a table one half."""
        return self.given if self.table is None else self.table.but(pool_half="first")

    def scoring(self, ends: Sequence[Arrays]) -> Problem:
        """What says how good ends are, on samples that no method has seen."""
        if self.table is not None:
            return self.table.but(pool_half="second").evaluation(ends)
        return self.problem.evaluation(ends, self.compare.score_samples)

    def rivals(self, end: Arrays, nfe: int) -> RivalEvaluation:
        """What says what other ways to draw are worth where a run has ended, for as many NFE."""
        problem = self.followed
        if not isinstance(problem, RewardTuning):
            raise InputError(
                "compare.rivals is given, but only the reward problem's lower level is sampling; "
                "leave it out"
            )
        names, images = self.compare.rivals, self.compare.rival_images
        return RivalEvaluation(problem, end, names, images, nfe)

    def is_pooled(self, name: str) -> bool:
        """Whether a method searches one pool by reweighting."""
        return name in POOLED or (name == DEFAULT and self.table is not None)

    @cached_property
    def cost(self) -> Cost:
        """Of a trial."""
        return self.problem.evaluation_cost()

    @cached_property
    def followed(self) -> Problem:
        """The problem as the bilevel method has it."""
        assert isinstance(self.problem, Settings), "a problem comes from a configuration"
        return self.problem.but(**self.compare.bilevel)

    @property
    def budget(self) -> int:
        """NFE that each search may spend."""
        return self.compare.budget or (self.compare.trials or 0) * self.cost.whole

    @property
    def trials(self) -> int:
        """Whole ones that the budget holds."""
        return self.budget // self.cost.whole

    @property
    def seeds(self) -> range:
        """Of every method."""
        return range(self.first_seed, self.first_seed + self.compare.seeds)

    @property
    def methods(self) -> tuple[str, ...]:
        """The bilevel method first: each once."""
        return tuple(dict.fromkeys((FOLLOWED, *self.compare.searches)))

    def grid_points(self, name: str) -> int:
        """Points along each variable, for "grid" or "pool-grid"."""
        d = len(self.problem.variables)
        if self.compare.grid_points:
            return self.compare.grid_points
        wanted = self.compare.evaluations if self.is_pooled(name) else self.trials
        return int(wanted ** (1 / d) + 1e-9)

    def check(self) -> None:
        """Refuse searches that the problem or the budget does not allow.

        Raises
        ------
        InputError
            Naming the search, and what it needs.
        """
        self.compare.check_packages()
        if isinstance(self.problem, RewardTuning) and self.problem.target is not None:
            raise InputError(
                "compare has searches that minimise an upper reward's loss, but the problem has a "
                "target; give upper_reward in its place, or find the target by raybilevel run"
            )
        self._check_followed()
        start = {"x": np.array([v.init for v in self.problem.variables])}
        if self.compare.rivals:
            self.rivals(start, 0).check()
        if self.table is not None:
            self._check_table(self.table)
            self.scoring([start])
            return
        self.compare.check_budget()
        if not self.cost.whole:
            raise InputError(
                "a trial costs no NFE, so that there is no budget; give the model's "
                "nfe_per_sample as it is"
            )
        self.scoring([start])
        for name in self.compare.searches:
            if name in POOLED:
                self._check_pooled(name)
            else:
                self._check_trials(name)
        if "grid" in self.compare.searches:
            self._check_grid()

    def _check_followed(self) -> None:
        if self.followed.variables != self.problem.variables:
            own, searched = ([v.name for v in p.variables] for p in (self.followed, self.problem))
            raise InputError(
                f"compare.bilevel gives the bilevel method variables of its own ({own}), but it "
                f"must tune what the searches do ({searched}), with the same bounds"
            )

    def _check_table(self, table: RewardTuning) -> None:
        """On a table searches differ in nothing but where they look."""
        for name in ("trials", "budget"):
            if getattr(self.compare, name) is not None:
                raise InputError(
                    f"compare.{name} is given, but what is asked of pool '{table.pool}' costs "
                    "nothing; leave it out, and give compare.evaluations"
                )
        for name in ("pool", "pool_half"):
            if name in self.compare.bilevel:
                raise InputError(
                    f"compare.bilevel has {name}, but all methods see the same half of pool "
                    f"'{table.pool}'; leave it out"
                )
        if table.pool_half is not None:
            raise InputError(
                "pool_half is given, but a comparison tunes on one half and scores on the other; "
                "leave it out"
            )
        for name in self.compare.searches:
            if not self.is_pooled(name):
                raise InputError(
                    f"compare.searches has '{name}', whose trials draw samples, but pool "
                    f"'{table.pool}' is there already; the searches for it are "
                    f"{', '.join((DEFAULT, *POOLED))}"
                )
        self._check_pool_grid()

    def _check_pooled(self, name: str) -> None:
        if not isinstance(self.problem, RewardTuning):
            raise InputError(
                f"compare.searches has '{name}', but only the reward problem has a pool to share"
            )
        needed = max(_FEWEST_POOLED, self.problem.fewest) * self.problem.source.nfe_per_sample
        if self.budget < needed:
            raise InputError(
                f"compare.budget is {self.budget:,} NFE, but a pool of '{name}' needs "
                f"{needed:,}; give at least that"
            )
        self._check_pool_grid()

    def _check_pool_grid(self) -> None:
        points, d = self.grid_points("pool-grid"), len(self.problem.variables)
        if "pool-grid" in self.compare.searches and not (points > 1 and points**d <= _MOST_POINTS):
            raise InputError(
                f"a grid of {points} points along each of {d} variables is "
                f"{'none' if points < _TWO else 'too large'}; give compare.grid_points from 2 to "
                f"{max(int(_MOST_POINTS ** (1 / d)), _TWO)}, more compare.evaluations, or leave "
                "'pool-grid' out"
            )

    def _check_trials(self, name: str) -> None:
        if self.budget < self.cost.whole:
            raise InputError(
                f"compare.budget is {self.budget:,} NFE, but one trial of '{name}' needs "
                f"{self.cost.whole:,}; give at least that"
            )
        if name in STAGED and self.cost.unit == self.cost.whole:
            raise InputError(
                f"compare.searches has '{name}', which lives on results before a trial's end, but "
                "a trial of this problem has one result; leave it out"
            )

    def _check_grid(self) -> None:
        points, d = self.grid_points("grid"), len(self.problem.variables)
        if points < 2 or points**d > self.trials:
            raise InputError(
                f"a grid of {max(points, 2)} points along each of {d} variables has "
                f"{max(points, 2) ** d:,} points, but compare's budget holds {self.trials:,} "
                "trials; raise it, lower compare.grid_points, or leave 'grid' out"
            )
