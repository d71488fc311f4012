"""`RewardTuning`: how strongly to hold a reward-tuned model to its pretrained self.

Lower level: p_x ~ p0 exp(sum_k w_k r2_k / lambda). Upper level: min_x -E_{p_x}[r1], over lambda or
the weights (Xiao et al. 2025, arXiv 2502.08808, section 3.1). Samples of p0 are drawn once, kept as
seeds and rewards, and reweighted for every x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from raybilevel.errors import InputError
from raybilevel.problems.asked_rewards import check_named
from raybilevel.problems.base import (
    Arrays,
    Cost,
    Output,
    Problem,
    Stage,
    Stop,
    Update,
)
from raybilevel.problems.model_options import pinned_options
from raybilevel.problems.reward.annealing.rungs import (
    COLUMNS,
    counting,
    counting_rows,
    is_annealing,
)
from raybilevel.problems.reward.convergence import stop_blackened
from raybilevel.problems.reward.drawing.batch import Batches
from raybilevel.problems.reward.drawing.chains import samples_of
from raybilevel.problems.reward.drawing.paths import columns as guided_columns
from raybilevel.problems.reward.drawing.paths import is_guided
from raybilevel.problems.reward.estimators.rounds import advanced, judged, weights_at
from raybilevel.problems.reward.evaluation import RewardEvaluation
from raybilevel.problems.reward.export import (
    dtype_drawn,
    write_curve,
    write_samples,
    write_weights,
)
from raybilevel.problems.reward.guiding.island_ladder import COLUMNS as ISLAND_COLUMNS
from raybilevel.problems.reward.guiding.pairs import columns as pairs_columns
from raybilevel.problems.reward.guiding.rounds import PILOT
from raybilevel.problems.reward.guiding.strata import stop_without_gradient
from raybilevel.problems.reward.guiding.unweighted import PairsPlan
from raybilevel.problems.reward.history import unknown_row
from raybilevel.problems.reward.parts import write_parts
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.problems.reward.pool_plan import size_of
from raybilevel.problems.reward.probe import check_rewards, probe_of, said_of_load
from raybilevel.problems.reward.settings import RewardSettings
from raybilevel.problems.reward.shown.rows import ShownRows
from raybilevel.problems.reward.state_objective import drawn_prompts, objective_of
from raybilevel.problems.reward.worker import RewardWorker, TableWorker
from raybilevel.problems.seeds import seed_base
from raybilevel.rewards import load_reward, pinned
from raybilevel.upper.resampling import resample

if TYPE_CHECKING:
    from torch import Tensor

_REWARDS = ("lower_reward", "upper_reward", "held_out_reward")


class RewardTuning(RewardSettings, Problem):
    """Tune the KL strength, or the weights of several rewards, of a pretrained diffusion model.

    Its arguments are the fields of `RewardSettings`, where each is described.
    """

    @property
    def resumable(self) -> Mapping[str, Any]:
        """How large the pool may be, where a table lies, and all bounds."""
        bounds = {
            f"{key}.{bound}": getattr(variable, bound)
            for key, variable in self.tuned.items()
            for bound in ("low", "high")
        }
        return {"max_pool_size": self.max_pool_size, "pool": self.pool, **bounds}

    @property
    def exact(self) -> bool:
        """Not where the memory may decide on batches."""
        return not self.halve_batches

    def exact_in(self, state: Arrays) -> bool:
        """Nor where it decided that samples cannot be guided."""
        return self.exact and not state.get("choice_by_memory", False)

    def check(self) -> None:
        """Resolve the model and the rewards, and try the rewards on a probe batch."""
        if not self.variables:
            raise InputError(
                "nothing is tuned: lambda_ and all weights are numbers; give one as a Variable"
            )
        if self.estimator == "annealed" and (why := self.source.why_fixed()):
            raise InputError(f"estimator is 'annealed', but {why}; or give estimator: pool")
        if self.table is not None:
            return  # what can be wrong with it was found when it was read
        probe = self.source.check()
        if self.guides:
            self.source.check_guided()
        if probe is None:  # a worker tries them on what it draws; networks are not loaded here
            check_named(self.columns, self.prompt_list)
        else:
            check_rewards(self._rewards("cpu"), probe, self.prompt_list)

    def _rewards(self, device: str) -> dict[str, Any]:
        return {column: load_reward(spec, column, device) for column, spec in self.columns.items()}

    def pinned(self, before: Mapping[str, Any] | None = None) -> Self:
        """The same with a hub's model, and those of rewards, named by their commits."""
        if self.pool is not None:
            return self
        stored = before or {}
        options = pinned_options(self.model, self.model_options, stored.get("model_options"))
        rewards = {name: pinned(getattr(self, name), stored.get(name)) for name in _REWARDS}
        return self.but(model_options=options, **rewards)

    def remarks(self) -> list[str]:
        """What a user should know of the model's files."""
        return self.source.remarks()

    def worker(self, device: str) -> RewardWorker | TableWorker:
        """Load the model and the rewards; where only that can tell, see what is drawn."""
        if self.table is not None:
            return TableWorker()
        from raybilevel.lower.sampling.pipelines.probe import peak_bytes

        sampler = self.source.sampler(device)
        report = sampler.probe()
        rewards = self._rewards(device)
        remarks: tuple[str, ...] = ()
        if report is not None:
            check_rewards(rewards, probe_of(report, self.prompt_list), self.prompt_list)
            remarks = said_of_load(self.source.named, report, self.pool_plan.size, peak_bytes())
        worker = RewardWorker(sampler, rewards, self.prompt_list, remarks)
        if self.guides:
            worker.try_guiding(pairs=self.pairs)
        return worker

    def init(self, seed: int) -> Arrays:
        """An empty pool; of a table all of it."""
        begin = {"x": np.array([v.init for v in self.variables]), "seed_base": seed_base(seed)}
        if self.table is not None:
            return {**begin, **self._prompt_arrays(seed), **self.table.arrays}
        return {
            **begin,
            "pool/seed": np.empty(0, dtype=np.int64),
            **self._prompt_arrays(seed),
            **{f"pool/{name}": np.empty(0) for name in self.columns},
            **self._columns_beside,
        }

    @property
    def _columns_beside(self) -> Arrays:
        """What rows of the pool have beside where they may not be p0's."""
        if self.resamples:
            return COLUMNS | ISLAND_COLUMNS
        if self.guides:
            beside = pairs_columns([*self.lower_rewards]) if self.pairs else {}
            return guided_columns(len(self.lower_rewards)) | beside
        guided = guided_columns(len(self.lower_rewards)) if self.may_guide else {}
        return COLUMNS | guided if self.may_move else {}

    def _prompt_arrays(self, seed: int) -> Arrays:
        """What the state has beside where there are prompts."""
        if self.prompt_list is None or self.prompt_count is None:
            return {}
        none = np.empty(0, dtype=np.int64)
        begin = {"pool/prompt": none, "prompts_digest": self.prompt_list.digest}
        if self.prompt_count == len(self.prompt_list):
            return begin
        return {**begin, "prompts_drawn": self.prompt_list.draw(self.prompt_count, seed)}

    def run_round(self, round_: int, state: Arrays) -> Generator[Stage, Output, Update]:
        """Draw a slice of the pool, solve on what there is; at the end show samples of p_x."""
        state = yield from advanced(self, state)
        if stop := stop_blackened(state) or self._without_gradient(state):
            return Update(state, unknown_row(self.variables, state["x"], size_of(state)), stop)
        found = judged(self, state)
        state |= found.onwards
        if found.stop is None or self.table is not None:
            return Update(state, found.metrics, found.stop)
        weights = weights_at(self, state, found.point)
        shown = ShownRows.of(state, found.point, weights, self.prompt_count)
        drawn = yield self.pool_plan.again(state, shown.grids, shown.more)
        return Update({**state, **shown.samples(drawn.rows["samples"])}, found.metrics, found.stop)

    def _without_gradient(self, state: Arrays) -> Stop | None:
        if not self.guides:  # where others are tried, samples are then moved
            return None
        names = [*(f"lower.{name}" for name in self.lower_rewards), "upper"]
        found = stop_without_gradient(state, "without_gradient", names)
        together = " + ".join(names[:-1])
        return found or stop_without_gradient(state, "without_gradient_together", [together])

    def objective(self, state: Arrays) -> PoolObjective:
        """The upper objective on a state's pool; `InputError` where its table has changed."""
        return objective_of(self, state)

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
        if self.table is not None:
            return RewardEvaluation(self, ends, self.pool_plan, self.objective, ())
        size = self.size if samples is None else samples
        if self.prompt_count is not None and size < self.fewest:
            raise InputError(
                f"{size} samples of {self.prompt_count} prompts say nothing of how sure they "
                "are; give two of each at least"
            )
        plan = self.plan_of(size, size, math.ceil(size / rounds))
        return RewardEvaluation(self, ends, plan, self.objective, self._columns_beside)

    @property
    def least_nfe(self) -> int:
        """Of guided paths; of the pool and the first rung, where samples are moved at once."""
        if self.guides_alone:
            return self._fewest_evaluations * self.source.least_nfe_per_sample
        if self.estimator != "annealed" and not self.resamples:
            return 0
        rung = (self.prompt_count or 1) * self.ladder_plan.evaluations_per_prompt
        pilot = PILOT * self.evaluations_a_step if self.resamples else 0
        return (self.pool_plan.size + pilot + rung) * self.source.least_nfe_per_sample

    @property
    def _fewest_evaluations(self) -> int:
        """Of guided paths, in those of as many samples: a pool's, or one round of pairs."""
        plan, each = self.pool_plan, self.evaluations_a_step
        if not self.pairs:
            return plan.size * each
        pairs = PairsPlan.of(plan)
        return pairs.first * each + pairs.step * (each + 1 + self.evaluations_a_gradient)

    def evaluation_cost(self) -> Cost:
        """A pool of `pool_size`, or as many of each prompt, which is drawn in one round."""
        nfe = self.pool_plan.size * self.source.nfe_per_sample
        return Cost(nfe, nfe)

    def costs(self) -> dict[str, int]:
        """Of p0's samples; what is moved or guided comes on top."""
        if self.table is not None:
            return {}
        plan, each = self.pool_plan, self.source.nfe_per_sample
        return {"of a first pool": plan.size * each, "of the largest pool of p0": plan.limit * each}

    def export(self, state: Arrays, directory: Path) -> None:
        """The pipeline, samples before and after or a table's weights, curve, prompts, groups."""
        if self.table is None:
            self.source.drawn_in(dtype_drawn(state)).export(directory)
            write_samples(state, drawn_prompts(self.prompt_list, state), directory)
        if size_of(state):
            self._export_pool(state, directory)

    def _export_pool(self, state: Arrays, directory: Path) -> None:
        objective = self.objective(state)
        if self.table is not None:
            write_weights(state, objective.at(state["x"]).weights, self.table, directory)
        write_curve(objective, state["x"], directory)
        prompts = drawn_prompts(self.prompt_list, state)
        if prompts is not None and objective.several is not None:
            held_out = counting(state).get("pool/held_out")
            write_parts(objective, state["x"], prompts, held_out, directory)

    def samples(self, state: Arrays, n: int, seed: int, device: str) -> Tensor:
        """`n` samples of p_x: the pool's seeds drawn with its weights, and sampled again.

        In batches of `shard_size`; for large n against the ESS a sample may come more than once.
        """
        import torch

        rewards = self._rewards(device) if self.resamples or is_guided(state) else {}
        batches = Batches(self.source.sampler(device), rewards, self.prompt_list)
        weights = weights_at(self, state, self.objective(state).at(state["x"]))
        rows = counting_rows(state)[resample(weights, n, np.random.default_rng(seed))]
        order = np.argsort(rows, kind="stable") if self.resamples else np.arange(n)
        shards = self.pool_plan.shown(state, rows[order])  # an island is drawn whole: once, if so
        drawn = torch.cat([samples_of(batches, shard).samples for shard in shards])
        return drawn[np.argsort(order)]

    def planned_rounds(self, state: Arrays) -> int | None:
        """Rounds to `pool_size`, or to the limit once the pool is beyond it; unknown of rungs."""
        if self.pairs:
            return PairsPlan.of(self.pool_plan).rounds
        if self.guides or is_annealing(state) or "choice_scales" in state:
            return None
        return self.pool_plan.rounds(size_of(state))
