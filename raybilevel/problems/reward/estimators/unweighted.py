"""The paper's estimator: Adam on what guidance alone says; beside it, what exact weights say."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raybilevel.problems.base import Arrays, Metrics, Output, Stage, Status, Stop
from raybilevel.problems.reward.estimators.judged import Judged
from raybilevel.problems.reward.groups.scales import scales_at
from raybilevel.problems.reward.guiding.pairs import last_pairs, last_rows
from raybilevel.problems.reward.guiding.unweighted import PairsPlan, next_pairs
from raybilevel.problems.reward.pool_objective import PoolPoint
from raybilevel.problems.reward.pool_plan import size_of
from raybilevel.problems.reward.settings import RewardSettings
from raybilevel.problems.reward.state_objective import objective_of, of_one, prompts_of
from raybilevel.upper.guidance.unweighted import PathsAlone, mean_within, unweighted
from raybilevel.upper.optimisers.adam import Adam, cosine_decay
from raybilevel.upper.penalty import Estimate
from raybilevel.upper.prompts import Prompts
from raybilevel.upper.variables import Box

_STEP = 0.1  # of the box, in scaled coordinates: the first round's step
_VANISHED = 2.0  # standard errors, within which a gradient may be zero


def paired(settings: RewardSettings, state: Arrays) -> Generator[Stage, Output, Arrays]:
    """The state with a round's pairs at its next x."""
    coefficients, x = settings.coefficients, state.get("next_x", state["x"])
    scales = scales_at(coefficients, x, settings.prompt_count or 1, None)
    upper = 1 / (settings.gamma * coefficients.at(x)[0])
    return next_pairs({**state, "x": x}, PairsPlan.of(settings.pool_plan), scales, upper)


def solved_on_pairs(settings: RewardSettings, state: Arrays) -> Judged:
    """What the last round's pairs say, why to end, and the next x."""
    answer = _answer(settings, state)
    done, rounds = len(state["guided_scales"]) - 1, PairsPlan.of(settings.pool_plan).rounds
    stop = answer.stop(settings.pool_plan.remedy) if done >= rounds else None
    onwards = _stepped(answer, state, done, max(done, rounds))
    return Judged(answer.exact, answer.metrics, stop, onwards)


def weights_of_pairs(settings: RewardSettings, state: Arrays) -> np.ndarray:
    """(n,): what the last round drew counts alike within a prompt, and nothing else."""
    prompts, rows = _prompts(settings, state), last_rows(state)
    each = prompts.shares / np.bincount(prompts.of[rows], minlength=len(prompts.shares))
    weights = np.zeros(len(prompts.of))
    weights[rows] = each[prompts.of[rows]]
    return weights


@dataclass(frozen=True, eq=False)
class PairsAnswer:
    """What guidance alone says at x, and what the exact weights of its paths say there.

    Attributes
    ----------
    estimate : of the last round's pairs.
    paths : those of p_x; held_out : (m,) their held-out rewards, if there are any.
    prompts : which prompt each of them is of.
    exact : where the run stands, on all paths and at infinite gamma.
    """

    estimate: Estimate
    paths: PathsAlone
    held_out: np.ndarray | None
    prompts: Prompts
    exact: PoolPoint

    @cached_property
    def slope(self) -> tuple[np.ndarray, np.ndarray]:
        """The gradient (d,) and its standard error."""
        columns = self.exact.objective.columns
        return self.estimate.gradient[columns], self.estimate.gradient_se[columns]

    @property
    def metrics(self) -> Metrics:
        """The round's row of the history; `exact/...` is nan where weights say nothing."""
        names = [v.name for v in self.exact.objective.variables]
        found = self.exact.diagnostics
        row = {f"config/{n}": float(x) for n, x in zip(names, self.exact.x, strict=True)}
        row |= {"upper_loss": self.estimate.value, "upper_loss_se": self.estimate.value_se}
        row |= _of_variables("", names, *self.slope)
        row["kl"] = mean_within(self.prompts, self.paths.kl)
        if self.held_out is not None:
            row["held_out"] = mean_within(self.prompts, self.held_out)
        exact = self._exact(names)
        row |= exact if found.ok else dict.fromkeys(exact, math.nan)
        row |= {"ess": found.ess, "pareto_k": found.pareto_k}
        return row | {"pool_size": float(self.exact.objective.pool.n)}

    def _exact(self, names: list[str]) -> Metrics:
        e, columns = self.exact.exact, self.exact.objective.columns
        row = {"exact/upper_loss": e.value, "exact/upper_loss_se": e.value_se}
        row["exact/kl"] = self.exact.diagnostics.kl
        return row | _of_variables("exact/", names, e.gradient[columns], e.gradient_se[columns])

    @property
    def outwards(self) -> np.ndarray:
        """(d,) which variables are at a bound beyond which the objective still falls."""
        box, (gradient, _) = Box(self.exact.objective.variables), self.slope
        z = box.to_scaled(self.exact.x)
        at_low, at_high = np.isclose(z, box.low), np.isclose(z, box.high)
        return np.asarray((at_low & (gradient > 0)) | (at_high & (gradient < 0)))

    def stop(self, remedy: str) -> Stop:
        """The end: `converged` only where exact weights say how far off it is."""
        gradient, se = self.slope
        free = ~self.outwards
        if not np.all(np.abs(gradient[free]) <= _VANISHED * se[free]):
            said = "the gradient of unweighted guidance has not vanished at best_params"
            return Stop(Status.STOPPED, f"{said}; {remedy}; {self._distance}")
        where = "at best_params" if free.all() else "but for what is held at a bound"
        said = f"the gradient of unweighted guidance vanishes {where}"
        if not self.exact.diagnostics.ok:
            return Stop(Status.STOPPED, f"{said}, but {self._distance}")
        status = Status.CONVERGED if free.all() else Status.AT_BOUND
        return Stop(status, f"{said}; {self._distance}")

    @property
    def _distance(self) -> str:
        """How far guidance alone is from p_x, in words."""
        found, e = self.exact.diagnostics, self.exact.exact
        if not found.ok:
            return (
                "how far its samples are from p_x is not known, as their exact weights say nothing "
                f"({', '.join(found.failures)}); estimator: guided, or annealed, samples p_x itself"
            )
        row = self.metrics
        slopes = [
            f"{name.removeprefix('exact/gradient/')} {value:.3g} +- "
            f"{row[name.replace('gradient', 'gradient_se')]:.2g}"
            for name, value in row.items() if name.startswith("exact/gradient/")
        ]  # fmt: skip
        return (
            f"it says that F is {row['upper_loss']:.4g} +- {row['upper_loss_se']:.2g} and the KL "
            f"{row['kl']:.3g}; of p_x itself, by the exact weights of its paths, F is "
            f"{e.value:.4g} +- {e.value_se:.2g}, the KL {found.kl:.3g}, and F's slope in "
            f"{', '.join(slopes)}"
        )


def _of_variables(prefix: str, names: list[str], gradient: np.ndarray, se: np.ndarray) -> Metrics:
    row = {f"{prefix}gradient/{n}": float(g) for n, g in zip(names, gradient, strict=True)}
    return row | {f"{prefix}gradient_se/{n}": float(s) for n, s in zip(names, se, strict=True)}


def _answer(settings: RewardSettings, state: Arrays) -> PairsAnswer:
    prompts, rows = _prompts(settings, state), last_rows(state)
    of = Prompts(prompts.of[rows], prompts.shares)
    plain, penalised = last_pairs(state, prompts, [*settings.lower_rewards])
    held_out = state["pool/held_out"][rows] if "pool/held_out" in state else None
    exact = objective_of(settings, state).at_gamma(math.inf).at(state["x"])
    return PairsAnswer(unweighted(of, plain, penalised, settings.gamma), plain, held_out, of, exact)


def _prompts(settings: RewardSettings, state: Arrays) -> Prompts:
    return of_one(prompts_of(settings.prompt_list, state), size_of(state))


def _stepped(answer: PairsAnswer, state: Arrays, done: int, rounds: int) -> Arrays:
    """What changes in a state by Adam's step against the gradient, in shares of the box."""
    box, x = Box(answer.exact.objective.variables), state["x"]
    width, none = box.high - box.low, np.zeros(len(x))
    adam = Adam(
        box.to_scaled(x), state.get("adam_mean", none), state.get("adam_square", none), done - 1
    )
    size = _STEP * width * cosine_decay(done - 1, rounds)
    adam = adam.step(answer.slope[0] * box.slopes(x) * width, size, box.project)
    next_x = box.from_scaled(adam.z)
    return {"next_x": next_x, "adam_mean": adam.mean, "adam_square": adam.square}
