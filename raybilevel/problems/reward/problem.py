"""`RewardTuning`: how strongly to hold a reward-tuned model to its pretrained self.

Lower level: p_x ~ p0 exp(sum_k w_k r2_k / lambda). Upper level: min_x -E_{p_x}[r1], over lambda or
the weights (Xiao et al. 2025, arXiv 2502.08808, section 3.1). Samples of p0 are drawn once, kept as
seeds and rewards, and reweighted for every x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from raybilevel.config.settings import Settings
from raybilevel.errors import InputError
from raybilevel.imports import said_in_a_sentence
from raybilevel.problems.base import EVALUATED, Arrays, Cost, Output, Problem, Stage, Stop, Update
from raybilevel.problems.reward.convergence import explain, judge, samples_needed
from raybilevel.problems.reward.evaluation import RewardScoring
from raybilevel.problems.reward.export import write_curve, write_pipeline, write_samples
from raybilevel.problems.reward.history import evaluated_row, row
from raybilevel.problems.reward.model import Model
from raybilevel.problems.reward.pool_plan import Plan, grown, resample
from raybilevel.problems.reward.pool_solver import Found, Solver
from raybilevel.problems.reward.worker import RewardWorker
from raybilevel.problems.seeds import seed_base
from raybilevel.rewards import evaluate, load_reward
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
    estimator
        "pool": one pool of samples of p0, reweighted.
    pool_size, max_pool_size
        Samples to begin with, and how many the pool may grow to when the health gates ask for
        more; None is four times `pool_size`.
    shard_size, round_size
        Samples that a worker draws at once, and samples a round (None: a quarter of `pool_size`).
        A round ends in a checkpoint and an estimate.
    sampling_steps
        Scheduler steps of a pipeline; None is 50, or all where there are fewer.
    mixed_precision
        "no", "fp16" or "bf16".
    at
        Values of all variables by name: then nothing is tuned, but the objective evaluated there,
        on a pool of `pool_size`, which is drawn in one round.
    prompts
        For text-to-image pipelines, which are not supported yet: None.
    """

    resumable: ClassVar[frozenset[str]] = frozenset({"max_pool_size"})

    model: str | Callable[..., Any]
    lower_reward: str | Callable[..., Any] | dict[str, str | Callable[..., Any]]
    upper_reward: str | Callable[..., Any]
    held_out_reward: str | Callable[..., Any] | None = None
    lambda_: Variable | float = Variable("lambda", 1.0, 0.05, 20.0, "log")
    weights: dict[str, Variable | float] | None = None
    gamma: float = Field(default=math.inf, gt=0)
    estimator: Literal["pool"] = "pool"
    pool_size: int = Field(default=4096, ge=1)
    max_pool_size: int | None = Field(default=None, ge=1)
    shard_size: int = Field(default=64, ge=1)
    round_size: int | None = Field(default=None, ge=1)
    sampling_steps: int | None = Field(default=None, ge=1)
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    at: dict[str, float] | None = None
    prompts: None = None

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
        if self._plan.limit < self.pool_size:
            raise InputError(
                f"max_pool_size {self._plan.limit} is below pool_size {self.pool_size}; it must "
                "be at least that"
            )
        self._check_identified()
        return self

    def _check_identified(self) -> None:
        tuned = [*self._coefficients.values()]
        if all(isinstance(c, Variable) for c in tuned):
            raise InputError(
                "lambda_ and all weights are free together, but samples depend on weights / lambda "
                "alone; give lambda_ or one weight as a number"
            )
        names = [v.name for v in self.variables]
        if len(set(names)) < len(names):
            raise InputError(f"the variables are named {names}, but each needs a name of its own")

    @property
    def _lower_rewards(self) -> Mapping[str, Any]:
        given = self.lower_reward
        return given if isinstance(given, dict) else {"lower": given}

    @property
    def _coefficients(self) -> dict[str, Variable | float]:
        """(lambda, w_1, ..., w_K), each tuned or fixed."""
        weights = self.weights or dict.fromkeys(self._lower_rewards, 1.0)
        return {"lambda": self.lambda_, **{k: weights[k] for k in self._lower_rewards}}

    @property
    def _plan(self) -> Plan:
        limit = 4 * self.pool_size if self.max_pool_size is None else self.max_pool_size
        rounds = _ROUNDS if self.at is None else 1
        wanted = self.round_size or math.ceil(self.pool_size / rounds)
        whole = math.ceil(wanted / self.shard_size) * self.shard_size
        return Plan(self.pool_size, limit, whole, self.shard_size)

    @property
    def _columns(self) -> dict[str, Any]:
        """The rewards by their column in the pool."""
        lower = {f"lower.{name}": reward for name, reward in self._lower_rewards.items()}
        held_out = {} if self.held_out_reward is None else {"held_out": self.held_out_reward}
        return {"upper": self.upper_reward, **lower, **held_out}

    @property
    def variables(self) -> tuple[Variable, ...]:
        """What is tuned among lambda and the weights."""
        return tuple(c for c in self._coefficients.values() if isinstance(c, Variable))

    def check(self) -> None:
        """Resolve the model and the rewards, and try the rewards on a probe batch."""
        if not self.variables:
            raise InputError(
                "nothing is tuned: lambda_ and all weights are numbers; give one as a Variable"
            )
        self._check_at()
        samples = self.source.probe()
        for column, spec in self._columns.items():
            reward = load_reward(spec, column, "cpu")
            with said_in_a_sentence(f"reward '{column}'", f"a batch of {tuple(samples.shape)}"):
                values = evaluate(reward, samples, f"reward '{column}'")
            if not np.isfinite(values).all():
                raise InputError(
                    f"reward '{column}' gave {values[~np.isfinite(values)][0]} on a probe batch; "
                    "it must be a finite number for every sample"
                )

    def _check_at(self) -> None:
        names = [v.name for v in self.variables]
        if self.at is not None and sorted(self.at) != sorted(names):
            raise InputError(f"at names {sorted(self.at)}, but the variables are {names}")
        for v in self.variables:
            if self.at is not None and not v.low <= self.at[v.name] <= v.high:
                raise InputError(
                    f"at has {v.name} {self.at[v.name]:g}, outside its bounds "
                    f"[{v.low:g}, {v.high:g}]"
                )

    @cached_property
    def source(self) -> Model:
        """The pretrained model."""
        return Model(self.model, self.sampling_steps, self.mixed_precision)

    def worker(self, device: str) -> RewardWorker:
        """Load the model and the rewards."""
        return RewardWorker(*self.source.sampler(device), self._columns, device)

    def trial(self, x: Mapping[str, float]) -> RewardTuning:
        """The objective alone at the variables `x`, by name, on a pool of its own."""
        return self.model_copy(update={"at": dict(x)})

    def trial_cost(self) -> Cost:
        """A pool of `pool_size`."""
        nfe = self.pool_size * self.source.nfe_per_sample
        return Cost(nfe, nfe)

    def scoring(self, ends: Sequence[Arrays], samples: int) -> Problem:
        """The objective at each end's x, on one pool."""
        size = {"pool_size": samples, "max_pool_size": samples, "round_size": None}
        return RewardScoring(self.model_copy(update=size), ends)

    def landscape(self, state: Arrays) -> Callable[[np.ndarray], float]:
        """The objective at any x (d,), as a state's pool has it."""
        solver = self.solver(state)
        return lambda x: solver.exact(x).value

    def init(self, seed: int) -> Arrays:
        """An empty pool."""
        pool = {f"pool/{name}": np.empty(0) for name in self._columns}
        return {
            "x": np.array([v.init if self.at is None else self.at[v.name] for v in self.variables]),
            "seed_base": seed_base(seed),
            "pool/seed": np.empty(0, dtype=np.int64),
            **pool,
        }

    def stage(self, round_: int, state: Arrays, done: list[Output]) -> Stage | Update:
        """Draw a slice of the pool, solve on what there is; at the end show samples of p_x."""
        if not done:
            return self._plan.draw(round_, state)
        state = grown(state, done[0])
        solver = self.solver(state)
        if self.at is not None:
            evaluated = evaluated_row(self.variables, solver, state["x"])
            drawn = len(state["pool/seed"]) >= self.pool_size
            return Update(state, evaluated, EVALUATED if drawn else None)
        found = solver.solve()
        state["x"] = found.x
        metrics = row(self.variables, self._tuned, solver, found, state.get("pool/held_out"))
        stop = self._stop(found, len(state["pool/seed"]))
        if stop is None:
            return Update(state, metrics)
        if len(done) == 1:
            return self._plan.show(round_, state, solver.exact(found.x).tilts[0].weights)
        before, after = np.split(done[1].rows["samples"], 2)
        return Update(state | {"samples_before": before, "samples_after": after}, metrics, stop)

    def _stop(self, found: Found, n: int) -> Stop | None:
        """Why to end with this pool; None where it should grow."""
        reason = judge(found)
        needed = samples_needed(found, reason, n)
        may_grow = n < self._plan.limit and needed <= self._plan.limit
        if n < self.pool_size or (needed > 0 and may_grow):
            return None
        return explain(reason, found, self.variables, n, needed)

    def pool(self, state: Arrays) -> Pool:
        """The rewards of a state's pool."""
        lower = [state[f"pool/lower.{name}"] for name in self._lower_rewards]
        return Pool(state["pool/upper"], np.column_stack(lower))

    @property
    def _tuned(self) -> list[int]:
        """What each variable is among (lambda, w_1, ..., w_K)."""
        return [i for i, c in enumerate(self._coefficients.values()) if isinstance(c, Variable)]

    def solver(self, state: Arrays) -> Solver:
        """The upper level on a state's pool."""
        given = self._coefficients.values()
        base = np.array([c.init if isinstance(c, Variable) else c for c in given])
        return Solver(self.pool(state), self.variables, self._tuned, base, self.gamma)

    def export(self, state: Arrays, directory: Path) -> None:
        """The pretrained pipeline, samples before and after, and the objective's curve."""
        write_pipeline(self.source.directory, directory)
        write_samples(state, directory)
        if len(state["pool/seed"]):
            write_curve(self.solver(state), state["x"], self.variables, directory)

    def samples(self, state: Arrays, n: int, seed: int, device: str) -> Tensor:
        """`n` samples of p_x: the pool's seeds drawn with its weights, and sampled again.

        In batches of `shard_size`; for large n against the ESS a sample may come more than once.
        """
        import torch

        weights = self.solver(state).exact(state["x"]).tilts[0].weights
        chosen = resample(state["pool/seed"], weights, n, np.random.default_rng(seed)).tolist()
        sample, _ = self.source.sampler(device)
        size = self.shard_size
        return torch.cat([sample(chosen[i : i + size]) for i in range(0, n, size)])

    def planned_rounds(self, state: Arrays) -> int:
        """Rounds to `pool_size`, or to the limit once the pool is beyond it."""
        return self._plan.rounds(len(state["pool/seed"]))
