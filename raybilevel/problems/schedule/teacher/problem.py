"""`SamplingSchedule` with objective "teacher": noise levels for any pipeline's own call."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_lists.sigmas import is_flow
from raybilevel.problems.asked_rewards import check_named
from raybilevel.problems.base import Arrays, Cost, Output, Problem, Stage, Update
from raybilevel.problems.model_options import pinned_options
from raybilevel.problems.schedule.real_images.extraction import FeatureExtraction
from raybilevel.problems.schedule.real_images.images import RealImages
from raybilevel.problems.schedule.real_images.judging import FEWEST_JUDGED
from raybilevel.problems.schedule.real_images.reference import check_given
from raybilevel.problems.schedule.real_images.remarks import remarks_on
from raybilevel.problems.schedule.teacher.drawing import PairedDraws
from raybilevel.problems.schedule.teacher.ending import end
from raybilevel.problems.schedule.teacher.evaluation import TeacherEvaluation
from raybilevel.problems.schedule.teacher.export import Exporting
from raybilevel.problems.schedule.teacher.plan import PairPlan
from raybilevel.problems.schedule.teacher.rounds import TeacherRounds
from raybilevel.problems.schedule.teacher.schedule_settings import TeacherScheduleSettings
from raybilevel.problems.schedule.teacher.worker import TeacherWorker
from raybilevel.problems.seeds import sample_seeds, seed_base
from raybilevel.rewards import load_reward, pinned

if TYPE_CHECKING:
    from torch import Tensor

_BATCH = 64  # images


class TeacherSchedule(TeacherScheduleSettings, Problem):
    """Tune the noise levels of a pipeline's call: few steps that come near to many.

    What is minimised is the mean squared distance between samples of the list of levels and a
    teacher's, of the same noise and prompt; or it is that to begin with, and then minus a reward of
    the samples, or their FID or KID. Those two alone need data, without labels. Residuals are
    paired, so that Gauss-Newton steps from central differences do with tens of noises.

    Its arguments are the fields of `TeacherScheduleSettings`, where each is described.
    """

    said_as: ClassVar[str | None] = "SamplingSchedule"
    registered_as: ClassVar[str | None] = "sampling_schedule"

    @property
    def plan(self) -> PairPlan:
        """How noises are cut into shards."""
        shares = None if self.prompt_list is None else tuple(self.prompt_list.shares.tolist())
        return PairPlan(self.estimation.shard_size, shares)

    @property
    def rounds(self) -> TeacherRounds:
        """What the driver does."""
        return TeacherRounds(
            self.source, self.plan, self.space, self.estimation, self.optimizer, self.compared,
            self.metric, self.real,
        )  # fmt: skip

    def admissible(self, x: Mapping[str, float]) -> dict[str, float]:
        """Levels in rising order of log-SNR, a gap apart; other parameters as they are."""
        return self.space.inner.admissible(x)

    # --- a run ------------------------------------------------------------------------------------

    def init(self, seed: int) -> Arrays:
        """The schedule's initial parameters; nothing is taught yet."""
        x = self.space.inner.schedule.init
        return {
            "x": x,
            "x_start": x,
            "seed_base": seed_base(seed),
            "mu": np.array(np.nan),
            "rival_steps": np.empty((0, 0), int),
            "taught": np.empty((0, 0), np.float32),
            "spacings": np.empty((0, len(x))),
            "judged_noises": np.array(self.rounds.objectives[-1].first),
            "updates": np.zeros(self._objectives, int),
            "settled": np.zeros(self._objectives, bool),
        }

    def run_round(self, round_: int, state: Arrays) -> Generator[Stage, Output, Update]:
        """Round 0 finds where to begin, each other one makes an update; the last compares."""
        if round_ == 0:
            return (yield from self.rounds.begin(state))
        which = self.rounds.unsettled(state)
        if which is not None:
            return (yield from self.rounds.update(state, which))
        return (yield from end(self.rounds, state))

    @property
    def _objectives(self) -> int:
        return 1 if self.metric is None else 2

    def worker(self, device: str) -> TeacherWorker:
        """Load the pipeline."""
        rewarded = self.metric == "reward"
        reward = load_reward(self.objective, "objective", device) if rewarded else None
        draws = PairedDraws(self.source, self.prompt_list, reward, device)
        extraction = None if self.real is None else FeatureExtraction(self.real, device)
        return TeacherWorker(draws, self.source.teacher, extraction)

    def planned_rounds(self, state: Arrays) -> int:
        """The first look, at most so many updates, and the comparison."""
        return self.optimizer.updates * self._objectives + 2

    def lean(self) -> Self:
        """Without the comparison at the end."""
        return self.but(comparison={"samples": 0})

    def evaluation(self, ends: Sequence[Arrays], samples: int | None = None) -> Problem:
        """The objective at each end's levels."""
        return TeacherEvaluation(
            self, ends, self.rounds, samples or self.rounds.objectives[-1].most
        )

    def evaluation_cost(self) -> Cost:
        """The lists and their teacher, on as many noises as an update has at most."""
        evaluations = sum(map(self.source.evaluations, self.counts))
        evaluations += 0 if self.metric else self.teacher.steps
        noises = self.rounds.objectives[-1].most
        whole = noises * self.source.nfe_per_step * evaluations
        return Cost(whole, whole)

    # --- what is refused, and what is said --------------------------------------------------------

    def pinned(self, before: Mapping[str, Any] | None = None) -> Self:
        """With the commit that a model of the hub has now."""
        stored = (before or {}).get("model_options")
        options = pinned_options(self.model, self.model_options, stored)
        objective = pinned(self.objective, (before or {}).get("objective"))
        return self.but(model_options=options, objective=objective)

    def check(self) -> None:
        """Refuse schedulers that take no list, and what JSON, tokenizers and rewards tell."""
        self.source.remarks  # noqa: B018 - reading them is the check
        if self.source.bakes and len(self.counts) > 1:
            raise InputError(
                f"sampling_steps is {self.sampling_steps}, but levels of {self.source.named}, "
                "which is in pixel space, are baked into a pipeline, which has one list; give one "
                "number"
            )
        if self.metric == "reward":
            self._check_reward()
        if self.real is not None:
            self._check_data(self.real)
        if self.counts[0] < 1 + is_flow(self.source.scheduler):
            raise InputError(
                f"sampling_steps is {self.sampling_steps}, but the first level of flow matching is "
                "pure noise, so that there is nothing to tune in one step; give 2 or more"
            )

    def _check_reward(self) -> None:
        try:
            check_named({"objective": self.objective}, self.prompt_list)
        except InputError as error:
            raise InputError(f"{error}, or it is 'teacher', or with data 'fid' or 'kid'") from error

    def _check_data(self, real: RealImages) -> None:
        if real.statistics is not None:
            check_given(real.data, str(self.metric), self.extractor, self.second_extractor)
        if 0 < (self.compared.samples or 0) < FEWEST_JUDGED:
            raise InputError(
                f"comparison.samples is {self.comparison.samples}, but {self.metric} is judged of "
                f"at least {FEWEST_JUDGED}; give more, or 0"
            )
        real.check(self.source.named)

    def remarks(self) -> list[str]:
        """Those on the pipeline's files; and on the data, and what FID is taken of."""
        real = self.real
        if real is None:
            return list(self.source.remarks)
        counts: dict[str, int | None] = {}
        if self.metric == "fid":
            counts = {
                "estimation.first_images": self.estimation.first_images,
                "comparison.samples": self.compared.samples or None,
                "data": real.count,
            }
        known = {name: count for name, count in counts.items() if count is not None}
        return [*self.source.remarks, *remarks_on(real, known)]

    # --- what is left behind ----------------------------------------------------------------------

    def export(self, state: Arrays, directory: Path) -> None:
        """`schedule.json` with the calls to paste, the pipeline, the comparison, and images."""
        exporting = Exporting(
            self.source, self.space, self.compared, self.metric, self.export_weights
        )
        exporting.write(state, directory)

    def samples(self, state: Arrays, n: int, seed: int, device: str) -> Tensor:
        """`n` images (n, C, H, W) by the stock call with the learned list, the longest."""
        import torch

        _, sampler, *_ = self.source.samplers(device)
        seeds = sample_seeds(seed_base(seed), 0, n)
        known = self.source.conditions
        lists = state.get("sigmas", np.concatenate(self.space.lists(state["x"])))
        sigmas = self.space.parted(lists)[-1]
        drawn = []
        for first in range(0, n, _BATCH):
            part = range(first, min(first + _BATCH, n))
            conditions = None if known is None else [known[i % len(known)] for i in part]
            drawn.append(
                sampler.draw([seeds[i] for i in part], conditions, sigmas, exact=False).images
            )
        return torch.cat(drawn)
