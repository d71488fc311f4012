"""`ScheduleTuning`: which noise levels a diffusion model should be sampled at, and trained on.

Upper level: min_q f(q, z), f = FID or KID of samples drawn with schedule q and network z (Xiao et
al. 2025, arXiv 2502.08808, section 3.2), by two-point zeroth-order gradients (its Algorithm 5).
The lower level is sampling where the network is pretrained, and else training it on the same
schedule too (its Algorithm 6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.errors import InputError
from raybilevel.lower.training.unet import WIDEST, network_config
from raybilevel.metrics.fid_kid import few_samples_warning
from raybilevel.problems.base import EVALUATED, Arrays, Cost, Output, Problem, Stage, Update
from raybilevel.problems.schedule.components import Source, images_of
from raybilevel.problems.schedule.evaluation import ScheduleScoring
from raybilevel.problems.schedule.export import check_divides, network, write
from raybilevel.problems.schedule.joint_training import Course, first_state
from raybilevel.problems.schedule.network import Pretrained, Untrained, usual_scheduler
from raybilevel.problems.schedule.optimizer import Solver
from raybilevel.problems.schedule.sampling_options import STEP, SamplingOptions
from raybilevel.problems.schedule.sampling_rounds import Rounds
from raybilevel.problems.schedule.space import Search, make_schedule
from raybilevel.problems.schedule.worker import ScheduleWorker
from raybilevel.problems.seeds import seed_base
from raybilevel.schedules import Schedule
from raybilevel.upper.variables import Variable

if TYPE_CHECKING:
    from torch import Tensor

_BATCH = 256  # images
_CLIP = 1.0  # of the clean image that a trained network predicts, where DDIM samples
_TRAINING_NFE = 3  # a sample: forward once, and backward for twice as much


class ScheduleTuning(SamplingOptions, Problem):
    """Tune the noise levels that a diffusion model is sampled at, and trained on if it is.

    Its arguments are those of `SamplingOptions`, and where it trains those of `TrainingOptions`.
    """

    @cached_property
    def source(self) -> Source:
        """What workers load."""
        return Source(
            self._network, self.data, self.sampler, self.mixed_precision,
            self.extractor, self.second_extractor,
        )  # fmt: skip

    @cached_property
    def _network(self) -> Pretrained | Untrained:
        if self.model is not None:
            return Pretrained(self.model)
        return Untrained(
            network_config(images_of(self.data), self.network),
            self.conditioning, self.prediction_type, _CLIP,
            usual_scheduler(self._schedule, self._x_fixed, self.prediction_type, _CLIP),
        )  # fmt: skip

    @cached_property
    def _schedule(self) -> Schedule:
        """What is tuned."""
        bounds = WIDEST if self.model is None else Pretrained(self.model).info.bounds
        return make_schedule(self.schedule, self.sampling_steps, bounds, self.schedule_options)

    @cached_property
    def search(self) -> Search:
        """Variables and levels."""
        return Search(self._schedule, self.sampling_steps, self.source.info.bounds)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The schedule's parameters."""
        return self._schedule.variables

    @property
    def exact(self) -> bool:
        """A compiled network's bits are not promised."""
        return not self.compile

    @property
    def rounds(self) -> Rounds:
        """What the driver does with samples."""
        return Rounds(
            self._plan,
            self.search,
            self._solver,
            self.source,
            self.metric,
            self.compare_steps,
            fixed=self.at is not None,
        )

    @property
    def _solver(self) -> Solver:
        m = self.directions
        if self.direction_kind == "orthogonal":
            m = min(m, len(self.variables))
        return Solver(self.search, m, self.direction_kind, self._step_sizes, self.updates)

    @property
    def _step_sizes(self) -> np.ndarray:
        if not isinstance(self.step_size, Mapping):
            return np.full(len(self.variables), self.step_size)
        return np.array([self.step_size.get(v.name, STEP) for v in self.variables])

    @property
    def _moves(self) -> int:
        return 0 if self.at is not None else self.updates

    @property
    def _course(self) -> Course:
        return Course(
            self.rounds, self._lesson, self.training_rounds, self.train_shards,
            self.inner_steps, self._warm_rounds, self._moves,
            self._gammas, self.average_decay, self.evaluate_every,
        )  # fmt: skip

    def check(self) -> None:
        """Refuse numbers of steps that cannot be, and models, data, extractors that do not fit."""
        info = self.source.info
        self._schedule.check_prediction(info.prediction_type)
        train_steps = len(info.logsnr)
        given = [("sampling_steps", self.sampling_steps)]
        given += [("compare_steps", steps) for steps in self.compare_steps]
        for name, steps in given:
            if not 1 <= steps <= train_steps:
                raise InputError(
                    f"{name} is {steps}, but {self.source.network} takes from 1 to {train_steps} "
                    "of them"
                )
        if self.sampler == "ddim":
            check_divides(self.sampling_steps, train_steps)
        self._check_names("at", self.at)
        if isinstance(self.step_size, Mapping):
            self._check_names("step_size", {**dict.fromkeys(self._names), **self.step_size})
        self._check_at()
        self.source.check()
        if self.z_step == "truncated":
            self.source.check_gradient()
        images = len(self.source.folds[0].images)
        if self.model is None and images < self.batch_size:
            raise InputError(
                f"batch_size is {self.batch_size}, but data '{self.data}' has {images} images to "
                "train on; take a smaller batch"
            )

    @property
    def _names(self) -> list[str]:
        return [v.name for v in self.variables]

    def _check_names(self, where: str, given: Mapping[str, Any] | None) -> None:
        if given is not None and sorted(given) != sorted(self._names):
            raise InputError(f"{where} names {sorted(given)}, but the variables are {self._names}")

    def _check_at(self) -> None:
        """Refuse levels that do not rise."""
        x = self._x_fixed
        if x is not None and not np.allclose(self._schedule.project(x), x, atol=1e-9):
            raise InputError(f"at is {self.at}, which is outside the variables' bounds")

    @property
    def _x_fixed(self) -> np.ndarray | None:
        """The variables (d,) that `at` gives."""
        if self.at is None:
            return None
        self._check_names("at", self.at)
        return np.array([self.at[name] for name in self._names])

    def remarks(self) -> list[str]:
        """Warnings: fewer samples than features, and no second extractor."""
        train, _ = self.source.folds
        features = self.source.extractor("cpu")(train.images[:2]).shape[1]
        counts = {
            "samples_per_evaluation": self.samples_per_evaluation if self.metric == "fid" else None,
            "compare_samples": self.compare_samples or None,
            "data": len(train.images),
        }
        warnings = {
            name: few_samples_warning(count, features)
            for name, count in counts.items()
            if count is not None
        }
        said = [f"{name}: {warning}" for name, warning in warnings.items() if warning is not None]
        if self.source.has_second:
            return said
        return [*said, "second_extractor: data without labels have no second one, so its columns "
                "repeat the objective's; give one"]  # fmt: skip

    def worker(self, device: str) -> ScheduleWorker:
        """Load the network, the data and the extractors."""
        if self.model is not None:
            return ScheduleWorker(self.source, self.metric, device)
        return ScheduleWorker(self.source, self.metric, device, self._lesson, self._schedule)

    def trial(self, x: Mapping[str, float]) -> ScheduleTuning:
        """The objective alone at the variables `x`, by name; after training there if it is due."""
        return self.but(at=dict(x))

    def lean(self) -> ScheduleTuning:
        """Without the comparison at the end."""
        return self.but(compare_samples=0)

    def admissible(self, x: Mapping[str, float]) -> dict[str, float]:
        """Levels in rising order, a gap apart; other schedules' parameters as they are."""
        values = np.array([x[name] for name in self._names])
        if self.schedule == "knots":
            values = np.sort(values)
        found = self._schedule.project(values)
        return dict(zip(self._names, found.tolist(), strict=True))

    def trial_cost(self) -> Cost:
        """An evaluation; or a training and the evaluations on its way and at its end."""
        nfe = self.samples_per_evaluation * self.sampling_steps
        if self.model is not None:
            return Cost(nfe, nfe)
        course = self._course
        evaluations = (course.length - 1) // course.evaluate_every + 1
        round_ = _TRAINING_NFE * course.shards * course.steps * self.batch_size
        most = min(course.length, course.evaluate_every)
        return Cost(course.length * round_ + evaluations * nfe, most * round_ + nfe)

    def scoring(self, ends: Sequence[Arrays], samples: int) -> Problem:
        """The objective at each end's levels, with its network."""
        sized = self.but(samples_per_evaluation=samples, shard_size=self._plan.shard_size)
        return ScheduleScoring(sized, ends)

    def init(self, seed: int) -> Arrays:
        """The schedule's initial parameters; where the run's noises begin; the first weights."""
        x = self._schedule.init if self._x_fixed is None else self._x_fixed
        nothing = np.empty((0, len(x)))
        state = {"x": x, "seed_base": seed_base(seed), "gradients": nothing, "trace": nothing}
        state["x_start"] = x
        if isinstance(self.source.network, Pretrained):
            return state
        return state | first_state(self.source.network.weights(seed))

    def stage(self, round_: int, state: Arrays, done: list[Output]) -> Stage | Update:
        """Round 0 finds where to begin, each other one makes an update; the last compares.

        Where the network is trained, `Course` says what each round does.
        """
        if self.model is None:
            return self._course.stage(round_, state, done)
        rounds = self.rounds
        if round_ == 0:
            return self._begin(rounds, state, done)
        if round_ > self.updates:
            found = [self._solver.average(state["trace"]), state["x_start"]]
            return rounds.end(round_, state, done, found)
        return rounds.update(round_, state, done, 0, update=round_)

    def _begin(self, rounds: Rounds, state: Arrays, done: list[Output]) -> Stage | Update:
        seen = rounds.see(state, done)
        if isinstance(seen, Stage):
            return seen
        looked, number = done[rounds.folds :], len(done)
        if self.at is None:
            return rounds.begin(0, seen, looked, number)
        found = rounds.evaluate(0, seen, looked, number)
        if isinstance(found, Stage):
            return found
        x = seen["x"]
        state, row = self._solver.begin(seen | {"x_before": x}, x, found)
        return Update(state, row, EVALUATED)

    def export(self, state: Arrays, directory: Path) -> None:
        """A stock pipeline with the schedule baked in, levels, comparison, and samples."""
        write(state, self.search, self.source, self.rounds.subjects(state), directory)

    def samples(self, state: Arrays, n: int, seed: int, device: str) -> Tensor:
        """`n` images (n, C, H, W), as the exported pipeline draws them from one generator."""
        import torch

        from raybilevel.lower.sampling.level_sampler import LevelSampler

        sampler = LevelSampler(
            self.source.info, network(self.source, state), self.sampler, device,
            self.mixed_precision,
        )  # fmt: skip
        levels = self.search.levels(state["x"]).tolist()
        batches = sampler.noise(seed, n).split(_BATCH)
        return torch.cat([sampler.sample(noise, levels).cpu() for noise in batches])

    def planned_rounds(self, state: Arrays) -> int:
        """The first look, the updates or the training, and the comparison."""
        if self.model is None:
            return self.training_rounds + 2
        return 1 if self.at is not None else self.updates + 2
