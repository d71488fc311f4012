"""`RewardTuning`: how strongly to hold a reward-tuned model to its pretrained self.

Lower level: p_x ~ p0 exp(sum_k w_k r2_k / lambda). Upper level: min_x -E_{p_x}[r1], over lambda or
the weights (Xiao et al. 2025, arXiv 2502.08808, section 3.1). Samples of p0 are drawn once, kept as
seeds and rewards, and reweighted for every x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from raybilevel.config.settings import Settings
from raybilevel.errors import InputError
from raybilevel.problems.base import Arrays, Cost, Output, Problem, Stage, Update
from raybilevel.problems.model_options import ModelOptions
from raybilevel.problems.reward.coefficients import Coefficients
from raybilevel.problems.reward.convergence import stop_with
from raybilevel.problems.reward.evaluation import RewardEvaluation
from raybilevel.problems.reward.export import write_curve, write_pipeline, write_samples
from raybilevel.problems.reward.history import row
from raybilevel.problems.reward.model import Model
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.problems.reward.pool_plan import PoolPlan, grown, resample
from raybilevel.problems.reward.pool_solver import solve
from raybilevel.problems.reward.probe import check_rewards
from raybilevel.problems.reward.worker import RewardWorker
from raybilevel.problems.seeds import seed_base
from raybilevel.upper.penalty import Pool
from raybilevel.upper.variables import Variable

if TYPE_CHECKING:
    from torch import Tensor

_ROUNDS = 4  # to draw pool_size in


class RewardTuning(Settings, Problem):
    """Tune the KL strength, or the weights of several rewards, of a pretrained diffusion model.

    Parameters
    ----------
    model
        A diffusers pipeline directory; or a callable `sample(seeds: list[int]) -> Tensor (N, ...)`
        or its import path "package.module:name" (rewards then get that tensor as it is; set its
        attribute `nfe_per_sample` for the ledger); or "digits", the small model that comes along.
    lower_reward
        What the model is tuned for: a callable images (N, C, H, W) in [0, 1] -> (N,), its import
        path, a built-in's name; or {name: reward} for several.
    upper_reward
        What is truly wanted; the same kinds.
    held_out_reward
        Reported beside the upper reward, never optimised.
    lambda_
        The KL strength, above 0: a `Variable`, or a number to hold it fixed.
    weights
        {name: `Variable` or number} for each lower reward; None is 1 for each. p_x depends on
        w / lambda alone, so lambda and all weights cannot be free together.
    gamma
        Penalty constant; inf gives the exact gradient.
    pool_size, max_pool_size
        Samples to begin with, and how many the pool may grow to when the gates ask for more;
        None is four times `pool_size`.
    shard_size, round_size
        Samples that a worker draws at once, and samples a round (None: a quarter of `pool_size`).
        A round ends in a checkpoint and an estimate.
    sampling_steps
        Scheduler steps of a pipeline; None is 50, or all where there are fewer.
    mixed_precision
        "no", "fp16" or "bf16".
    model_options
        `ModelOptions`, or a mapping of its arguments: which variant of a pipeline's weights.
    """

    resumable: ClassVar[frozenset[str]] = frozenset({"max_pool_size"})

    model: str | Callable[..., Any]
    lower_reward: str | Callable[..., Any] | dict[str, str | Callable[..., Any]]
    upper_reward: str | Callable[..., Any]
    held_out_reward: str | Callable[..., Any] | None = None
    lambda_: Variable | float = Variable("lambda", 1.0, 0.05, 20.0, "log")
    weights: dict[str, Variable | float] | None = None
    gamma: float = Field(default=math.inf, gt=0)
    pool_size: int = Field(default=4096, ge=1)
    max_pool_size: int | None = Field(default=None, ge=1)
    shard_size: int = Field(default=64, ge=1)
    round_size: int | None = Field(default=None, ge=1)
    sampling_steps: int | None = Field(default=None, ge=1)
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    model_options: ModelOptions = ModelOptions()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self._lower_rewards:
            raise InputError("lower_reward is empty; name at least one reward")
        low = self.lambda_.low if isinstance(self.lambda_, Variable) else self.lambda_
        if not low > 0:
            raise InputError(f"lambda_ reaches down to {low:g}, but a KL strength is above 0")
        if self.weights is not None and self.weights.keys() != self._lower_rewards.keys():
            raise InputError(
                f"weights are given for {sorted(self.weights)}, but the lower rewards are "
                f"{sorted(self._lower_rewards)}; give each a Variable or a number"
            )
        if self.pool_plan.limit < self.pool_size:
            raise InputError(
                f"max_pool_size {self.pool_plan.limit} is below pool_size {self.pool_size}; "
                "it must be at least that"
            )
        self._coefficients.check()
        self.model_options.check_for(self.model)
        return self

    @property
    def _lower_rewards(self) -> Mapping[str, Any]:
        given = self.lower_reward
        return given if isinstance(given, dict) else {"lower": given}

    @property
    def _columns(self) -> dict[str, Any]:
        """The rewards by their column in the pool."""
        lower = {f"lower.{name}": reward for name, reward in self._lower_rewards.items()}
        held_out = {} if self.held_out_reward is None else {"held_out": self.held_out_reward}
        return {"upper": self.upper_reward, **lower, **held_out}

    @property
    def _coefficients(self) -> Coefficients:
        """Lambda and the weights, in the order of the lower rewards."""
        weights = self.weights or dict.fromkeys(self._lower_rewards, 1.0)
        return Coefficients((self.lambda_, *(weights[name] for name in self._lower_rewards)))

    @property
    def variables(self) -> tuple[Variable, ...]:
        """What is tuned among lambda and the weights."""
        return self._coefficients.variables

    @property
    def pool_plan(self) -> PoolPlan:
        """How the pool is drawn."""
        limit = 4 * self.pool_size if self.max_pool_size is None else self.max_pool_size
        round_size = self.round_size or math.ceil(self.pool_size / _ROUNDS)
        return PoolPlan.of(self.pool_size, limit, round_size, self.shard_size)

    def check(self) -> None:
        """Resolve the model and the rewards, and try the rewards on a probe batch."""
        if not self.variables:
            raise InputError(
                "nothing is tuned: lambda_ and all weights are numbers; give one as a Variable"
            )
        check_rewards(self._columns, self.source.probe())

    @cached_property
    def source(self) -> Model:
        """The pretrained model."""
        options = self.model_options
        return Model(self.model, self.sampling_steps, self.mixed_precision, options.variant)

    def remarks(self) -> list[str]:
        """Which of a pipeline directory's files are used, where it leaves a choice."""
        return self.model_options.remarks_on(self.model)

    def worker(self, device: str) -> RewardWorker:
        """Load the model and the rewards."""
        return RewardWorker(*self.source.sampler(device), self._columns, device)

    def init(self, seed: int) -> Arrays:
        """An empty pool."""
        return {
            "x": np.array([v.init for v in self.variables]),
            "seed_base": seed_base(seed),
            "pool/seed": np.empty(0, dtype=np.int64),
            **{f"pool/{name}": np.empty(0) for name in self._columns},
        }

    def run_round(self, round_: int, state: Arrays) -> Generator[Stage, Output, Update]:
        """Draw a slice of the pool, solve on what there is; at the end show samples of p_x."""
        drawn = yield self.pool_plan.draw(state)
        state = grown(state, drawn.rows)
        solution = solve(self.objective(state))
        state["x"] = solution.x
        metrics = row(solution, state.get("pool/held_out"))
        stop = stop_with(solution, self.pool_plan)
        if stop is None:
            return Update(state, metrics)
        shown = yield self.pool_plan.show(state, solution.point.weights)
        before, after = np.split(shown.rows["samples"], 2)
        return Update({**state, "samples_before": before, "samples_after": after}, metrics, stop)

    def objective(self, state: Arrays) -> PoolObjective:
        """The upper objective on a state's pool."""
        lower = np.column_stack([state[f"pool/lower.{name}"] for name in self._lower_rewards])
        return PoolObjective(Pool(state["pool/upper"], lower), self._coefficients, self.gamma)

    def landscape(self, state: Arrays) -> Callable[[np.ndarray], float]:
        """F at any x (d,), as a state's pool has it."""
        objective = self.objective(state).at_gamma(math.inf)
        return lambda x: objective.estimate(x).value

    def evaluation(
        self, ends: Sequence[Arrays], samples: int | None = None, *, rounds: int = 1
    ) -> RewardEvaluation:
        """F at each end's x on one fresh pool of `samples`, None for `pool_size`.

        Parameters
        ----------
        rounds : to draw the pool in; after each F is known at the last end, on what there is.
        """
        size = self.pool_size if samples is None else samples
        plan = PoolPlan.of(size, size, math.ceil(size / rounds), self.shard_size)
        return RewardEvaluation(self, ends, plan, self.objective)

    def evaluation_cost(self) -> Cost:
        """A pool of `pool_size`, which is drawn in one round."""
        nfe = self.pool_size * self.source.nfe_per_sample
        return Cost(nfe, nfe)

    def export(self, state: Arrays, directory: Path) -> None:
        """The pretrained pipeline, samples before and after, and the objective's curve."""
        write_pipeline(self.source, directory)
        write_samples(state, directory)
        if len(state["pool/seed"]):
            write_curve(self.objective(state), state["x"], directory)

    def samples(self, state: Arrays, n: int, seed: int, device: str) -> Tensor:
        """`n` samples of p_x: the pool's seeds drawn with its weights, and sampled again.

        In batches of `shard_size`; for large n against the ESS a sample may come more than once.
        """
        import torch

        weights = self.objective(state).at(state["x"]).weights
        chosen = resample(state["pool/seed"], weights, n, np.random.default_rng(seed)).tolist()
        sample, _ = self.source.sampler(device)
        size = self.shard_size
        return torch.cat([sample(chosen[i : i + size]) for i in range(0, n, size)])

    def planned_rounds(self, state: Arrays) -> int:
        """Rounds to `pool_size`, or to the limit once the pool is beyond it."""
        return self.pool_plan.rounds(len(state["pool/seed"]))
