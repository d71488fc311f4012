"""Print how far estimates from moved samples are off on average, and what does not explain it.

    python jobs/bench/bias.py NAME LEVEL [--replicates 110] [--seed-from 200] [--until 30]

Whole ladders to the optimum of an oracle of `annealed.py`; F and dF/dlambda at the true lambda*,
whatever the gates say: as they are given (jackknifed over islands, the a_k of the strata held),
without the jackknife's correction, with the a_k jackknifed too, and as they stood after each
round. With `--until` runs go on to that round after their end, so that a round has all of them.
Those that had ended by the median of ends stand beside those that had not. Biases are over the
spread of replicates.
"""

from __future__ import annotations

from collections.abc import Sequence
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
Until = Annotated[int, typer.Option(min=0, help="Rounds that every run has at least.")]
SeedFrom = Annotated[int, typer.Option(min=0)]


@dataclass(frozen=True)
class Traced:
    """F and dF/dlambda (2,) of one run: at its end in three ways, and after each round.

    `end` is the round of its end, `se` the stated error of its dF/dlambda.
    """

    given: np.ndarray
    plain: np.ndarray
    with_a: np.ndarray
    rounds: dict[int, np.ndarray]
    end: int
    se: float


class _WithA(DerivativesWithin):
    """Where the a_k are jackknifed too: the other islands' weights change with each left out."""

    def use(self, objective: PoolObjective) -> EstimateWithin:
        prompts, strata = objective.prompts, objective.strata
        assert prompts is not None and strata is not None, "samples were moved"
        tilt = (self._tilts[0].tilt + objective.pool.base)[prompts.order]
        self._p = tilted_sums(prompts, tilt, strata.without_islands[:, prompts.order])
        return self.estimate


def traced(name: str, level: float, until: int, seed: int) -> Traced:
    """Run a ladder to its end, and on to round `until`."""
    priced = priced_at(name, level)
    problem = tuning(priced, "annealed")
    worker, run = problem.worker("cpu"), Run.begin(problem, RunConfig(seed=seed, max_nfe=MOST))
    rounds: dict[int, np.ndarray] = {}
    ended: Traced | None = None
    while ended is None or run.round < until:
        run.play(lambda stage: run_stage(stage, worker, run, 1))
        objective = problem.objective(run.state)
        if objective.strata is not None:
            rounds[run.round] = _pair(objective.at(np.array([priced.lambda_])).exact)
        if run.stop is not None and ended is None:
            ended = _at_end(objective, priced.lambda_, rounds, run.round)
        run.stop = None
    return ended


def _at_end(
    objective: PoolObjective, lambda_: float, rounds: dict[int, np.ndarray], end: int
) -> Traced:
    e = objective.at(np.array([lambda_])).exact
    assert isinstance(e, EstimateWithin) and objective.prompts is not None, "samples were moved"
    added = np.array([e.value_correction, e.gradient_correction[0]])
    held = _pair(_WithA(objective.pool, objective.prompts, lambda_, np.ones(1)).use(objective))
    return Traced(_pair(e), _pair(e) - added, held, rounds, end, float(e.gradient_se[0]))


def _pair(e: EstimateWithin) -> np.ndarray:
    return np.array([e.value, e.gradient[0]])


def _show(title: str, found: np.ndarray, truth: np.ndarray) -> None:
    off = (found.mean(axis=0) - truth) / found.std(axis=0, ddof=1)
    print(f"  {title:24s} F {off[0]:+.2f}  dF/dlambda {off[1]:+.2f}  +- {len(found) ** -0.5:.2f}")


def _show_rounds(done: Sequence[Traced], truth: np.ndarray, until: int) -> None:
    most = until or max(r for t in done for r in t.rounds)
    for round_ in sorted({r for t in done for r in t.rounds if r <= most}):
        there = [t.rounds.get(round_, t.given) for t in done if min(t.rounds) <= round_]
        if len(there) >= _FEWEST and any(max(t.rounds) > round_ for t in done):
            _show(f"after round {round_}", np.array(there), truth)


def _show_ends(done: Sequence[Traced], truth: np.ndarray) -> None:
    """What ending has to do with being off."""
    off = np.array([t.given[1] for t in done]) - truth[1]
    together = np.corrcoef(off, [t.se for t in done])[0, 1]
    print(f"  at the end, dF/dlambda's error and its stated error: correlation {together:+.2f}")
    middle = int(np.median([t.end for t in done]))
    ended = np.array([t.end <= middle for t in done])
    there = np.array([t.rounds.get(middle, t.given) for t in done]) - truth
    for words, which in ((f"ended by round {middle}", ended), ("not yet", ~ended)):
        at = there[which].mean(axis=0) / there.std(axis=0, ddof=1)
        print(f"  {words:24s} F {at[0]:+.2f}  dF/dlambda {at[1]:+.2f}  ({which.sum()} runs)")


def main(
    name: str,
    level: float,
    replicates: Replicates = 110,
    seed_from: SeedFrom = 200,
    until: Until = 0,
) -> None:
    """Replicate, and print."""
    case = next(one for one in CASES if name in one)
    known = priced_at(case, level).answers(priced_at(case, level).lambda_)
    truth = np.array([known.value, known.slope])
    with processes() as pool:
        seeds = range(seed_from, seed_from + replicates)
        done = pool.map(partial(traced, case, level, until), seeds, chunksize=1)
    print(f"{case}, {level:.2%} of p0 effective, {replicates} runs")
    _show("given", np.array([t.given for t in done]), truth)
    _show("without the jackknife", np.array([t.plain for t in done]), truth)
    _show("a_k jackknifed too", np.array([t.with_a for t in done]), truth)
    _show_rounds(done, truth, until)
    _show_ends(done, truth)


if __name__ == "__main__":
    typer.run(main)
