"""Print how far estimates from moved samples are off on average, and what does not explain it.

    python jobs/bench/bias.py NAME LEVEL [--replicates 110] [--seed-from 200]

Whole ladders to the optimum of an oracle of `annealed.py`; F and dF/dlambda at the true lambda*,
whatever the gates say: as they are given (jackknifed over islands, the a_k of the strata held),
without the jackknife's correction, with the a_k jackknifed too, and as they stood after each
round, in which no run has stopped before another. Biases are over the spread of replicates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
import typer
from annealed import CASES, MOST, priced_at
from replicates import processes, tuning

from raybilevel import RunConfig
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.runtime.rounds import Run, run_stage
from raybilevel.upper.derivatives_within import DerivativesWithin
from raybilevel.upper.island_sums import tilted_sums
from raybilevel.upper.within import EstimateWithin

_FEWEST = 30  # replicates that say anything of a round

Replicates = Annotated[int, typer.Option(min=2)]
SeedFrom = Annotated[int, typer.Option(min=0)]


@dataclass(frozen=True)
class Traced:
    """F and dF/dlambda (2,) of one run: at its end in three ways, and after each round."""

    given: np.ndarray
    plain: np.ndarray
    with_a: np.ndarray
    rounds: dict[int, np.ndarray]


class _WithA(DerivativesWithin):
    """Where the a_k are jackknifed too: the other islands' weights change with each left out."""

    def use(self, objective: PoolObjective) -> EstimateWithin:
        prompts, strata = objective.prompts, objective.strata
        assert prompts is not None and strata is not None, "samples were moved"
        tilt = (self._tilts[0].tilt + objective.pool.base)[prompts.order]
        self._p = tilted_sums(prompts, tilt, strata.without_islands[:, prompts.order])
        return self.estimate


def traced(name: str, level: float, seed: int) -> Traced:
    """Run a ladder to its end."""
    priced = priced_at(name, level)
    problem = tuning(priced, "annealed")
    worker, run = problem.worker("cpu"), Run.begin(problem, RunConfig(seed=seed, max_nfe=MOST))
    rounds: dict[int, np.ndarray] = {}
    while run.stop is None:
        run.play(lambda stage: run_stage(stage, worker, run, 1))
        objective = problem.objective(run.state)
        if objective.strata is not None:
            rounds[run.round] = _pair(objective.at(np.array([priced.lambda_])).exact)
    e = objective.at(np.array([priced.lambda_])).exact
    assert isinstance(e, EstimateWithin) and objective.prompts is not None, "samples were moved"
    added = np.array([e.value_correction, e.gradient_correction[0]])
    held = _WithA(objective.pool, objective.prompts, priced.lambda_, np.ones(1))
    return Traced(_pair(e), _pair(e) - added, _pair(held.use(objective)), rounds)


def _pair(e: EstimateWithin) -> np.ndarray:
    return np.array([e.value, e.gradient[0]])


def _show(title: str, found: np.ndarray, truth: np.ndarray) -> None:
    off = (found.mean(axis=0) - truth) / found.std(axis=0, ddof=1)
    print(f"  {title:24s} F {off[0]:+.2f}  dF/dlambda {off[1]:+.2f}  +- {len(found) ** -0.5:.2f}")


def main(name: str, level: float, replicates: Replicates = 110, seed_from: SeedFrom = 200) -> None:
    """Replicate, and print."""
    case = next(one for one in CASES if name in one)
    known = priced_at(case, level).answers(priced_at(case, level).lambda_)
    truth = np.array([known.value, known.slope])
    with processes() as pool:
        seeds = range(seed_from, seed_from + replicates)
        done = pool.map(partial(traced, case, level), seeds, chunksize=1)
    print(f"{case}, {level:.2%} of p0 effective, {replicates} runs")
    _show("given", np.array([t.given for t in done]), truth)
    _show("without the jackknife", np.array([t.plain for t in done]), truth)
    _show("a_k jackknifed too", np.array([t.with_a for t in done]), truth)
    for round_ in sorted({r for t in done for r in t.rounds}):
        there = [t.rounds.get(round_, t.given) for t in done if min(t.rounds) <= round_]
        if len(there) >= _FEWEST and any(max(t.rounds) > round_ for t in done):
            _show(f"after round {round_}", np.array(there), truth)


if __name__ == "__main__":
    typer.run(main)
