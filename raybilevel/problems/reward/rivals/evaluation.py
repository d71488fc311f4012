"""What other ways to draw by a reward are worth, at one x and for as many NFE: a problem."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from raybilevel.errors import InputError
from raybilevel.problems.base import EVALUATED, Arrays, Output, Stage, Update
from raybilevel.problems.evaluation import Evaluation
from raybilevel.problems.prompts.prompt_list import prompt_places
from raybilevel.problems.reward.annealing.rungs import counting
from raybilevel.problems.reward.groups.scales import scales_at
from raybilevel.problems.reward.rivals.methods import RIVALS, Drawing
from raybilevel.problems.reward.state_objective import drawn_prompts, shares_of
from raybilevel.problems.seeds import sample_seeds
from raybilevel.upper.prompts import Prompts, stratified_means

if TYPE_CHECKING:
    from raybilevel.problems.reward.problem import RewardTuning


class RivalEvaluation(Evaluation):
    """Draws as many images by each way, a round each.

    Parameters
    ----------
    problem : whose model and rewards they are.
    end : state of the run that has ended there: x, and which prompts were drawn.
    rivals : names of ways.
    images : that each delivers, at least; with prompts as many of each.
    nfe : that each may spend.

    Its last state has (rivals, rewards) `rival_means` and `rival_errors`, in the order of the
    problem's columns, and (rivals,) `rival_kl`, `rival_nfe` and `rival_each`, samples an image.
    """

    problem: RewardTuning

    def __init__(
        self, problem: RewardTuning, end: Arrays, rivals: Sequence[str], images: int, nfe: int
    ) -> None:
        kept: Arrays = {name: end[name] for name in ("x", "prompts_drawn") if name in end}
        super().__init__(_guided(problem, rivals), [kept])
        self.rivals, self._nfe = tuple(rivals), nfe
        count = problem.prompt_count or 1
        self.images = max(math.ceil(images / count), 2) * count

    def init(self, seed: int) -> Arrays:
        """Nothing drawn yet, at x."""
        begin = {k: v for k, v in self.problem.init(seed).items() if "/" not in k}
        return {**begin, **self.ends[0]}

    def run_round(self, round_: int, state: Arrays) -> Generator[Stage, Output, Update]:
        """One of the ways."""
        rival, state = RIVALS[self.rivals[round_]], dict(state)
        affordable = self._nfe // (self.images * self.problem.source.nfe_per_sample)
        at_once = self.problem.batch_size or self.problem.shard_size
        drawing = self._drawing(state, rival.each(max(affordable, 1), at_once))
        drawn = yield Stage(tuple(rival.shards(drawing)))
        told = self._told(drawn.rows, rival.delivered(drawn.rows, drawing), drawing.images)
        told |= {
            "rival_kl": np.array(rival.kl(drawn.rows, drawing)),
            "rival_nfe": np.array(drawn.nfe),
            "rival_each": np.array(drawing.each),
        }
        row = {"upper_loss": math.nan, "upper_loss_se": math.nan}
        if "upper" in self.problem.columns:
            place = [*self.problem.columns].index("upper")
            mean, error = (told[f"rival_{part}"][place] for part in ("means", "errors"))
            row = {"upper_loss": -float(mean), "upper_loss_se": float(error)}
        for name, one in told.items():
            state[name] = np.stack([*state.get(name, ()), one])
        stop = EVALUATED if round_ + 1 == len(self.rivals) else None
        named = zip(self.variables, state["x"], strict=True)
        config = {f"config/{v.name}": float(x) for v, x in named}
        return Update(state, config | row, stop)

    def planned_rounds(self, state: Arrays) -> int:
        """One a way."""
        return len(self.rivals)

    def _drawing(self, state: Arrays, each: int) -> Drawing:
        problem, count = self.problem, self.images * each
        seeds = np.array(sample_seeds(state["seed_base"], 0, count))
        drawn, places = drawn_prompts(problem.prompt_list, state), None
        prompts = problem.prompt_count or 1
        groups = None if drawn is None else drawn.groups
        scales = scales_at(problem.coefficients, state["x"], prompts, groups)
        if drawn is not None:
            places = np.repeat(prompt_places(state, prompts), count // prompts)
        scales = np.repeat(scales, count // prompts, axis=0)
        shares = shares_of(problem.prompt_list, state)
        return Drawing(seeds, places, scales, each, shares, problem.shard_size)

    def _told(self, rows: Arrays, images: np.ndarray, of: Prompts) -> Arrays:
        """Means of the rewards over images, and their standard errors."""
        values = np.column_stack([rows[f"pool/{c}"][images] for c in self.problem.columns])
        means, influence = stratified_means(of, values)
        errors = np.sqrt(np.sum(influence**2, axis=0)) / len(images)
        return {"rival_means": means, "rival_errors": errors}


def of_p_x(problem: RewardTuning, state: Arrays) -> tuple[np.ndarray, np.ndarray, float]:
    """Means and standard errors of the rewards under p_x where a run has ended, and the KL.

    All nan where its samples cannot be believed there: by gates of size, as no gradient is told.
    """
    objective, counted = problem.objective(state).at_gamma(math.inf), counting(state)
    point = objective.at(state["x"])
    if not objective.examine(point.exact, of_size=True).ok:
        nothing = np.full(len(problem.columns), math.nan)
        return nothing, nothing, math.nan
    means, errors = zip(*(point.mean(counted[f"pool/{c}"]) for c in problem.columns), strict=True)
    return np.array(means), np.array(errors), point.diagnostics.kl


def _guided(problem: RewardTuning, rivals: Sequence[str]) -> RewardTuning:
    """The problem as what guides needs it; `InputError` where it cannot be."""
    if problem.pool is not None:
        raise InputError(
            f"compare.rivals draw samples, but pool '{problem.pool}' is there already; leave them "
            "out, or give a model"
        )
    if not any(RIVALS[name].guides for name in rivals):
        return problem
    guided = problem.but(estimator="guided")
    guided.source.check_guided()
    if type(guided.source) is not type(problem.source):
        raise InputError(
            f"compare.rivals has ways that guide a pipeline's own call, but {problem.source.named} "
            "is drawn from otherwise; give its call_options or a scheduler, or leave them out"
        )
    return guided if any(RIVALS[name].differentiates for name in rivals) else problem
