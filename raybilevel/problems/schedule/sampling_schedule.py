"""`SamplingSchedule`: which noise levels a trained diffusion model should be sampled at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np
from pydantic import model_validator

from raybilevel.lower.hub import is_hub_name
from raybilevel.lower.pretrained import IN_PIXEL_SPACE, PRETRAINED
from raybilevel.lower.sampling.level_info import nearest_timesteps
from raybilevel.lower.sampling.pipeline_files import is_pixel_space
from raybilevel.problems.base import Arrays, Cost, Problem, Update
from raybilevel.problems.model_options import ModelOptions
from raybilevel.problems.schedule.comparison import ROUNDED
from raybilevel.problems.schedule.convergence import why_stop
from raybilevel.problems.schedule.evaluation import SamplingEvaluation
from raybilevel.problems.schedule.export import write_levels
from raybilevel.problems.schedule.network import Pretrained
from raybilevel.problems.schedule.problem import ScheduleProblem
from raybilevel.problems.schedule.real_images.objective import ObjectiveName
from raybilevel.problems.schedule.sampling_rounds import Stages
from raybilevel.problems.schedule.teacher.given import check_untrained
from raybilevel.problems.schedule.teacher.problem import TeacherSchedule
from raybilevel.problems.schedule.worker import ScheduleWorker


class SamplingSchedule(ScheduleProblem):
    """Tune the noise levels that a pretrained model is sampled at; nothing is trained.

    Its other arguments are those of `ScheduleProblem`; but with objective "teacher" or a reward,
    with an argument `teacher`, or of any other pipeline than those in pixel space, it is a
    `TeacherSchedule`: a class of its own, with arguments of its own, whose objective is "teacher"
    where none is given.

    Parameters
    ----------
    model
        A diffusers pipeline directory: unconditional, in pixel space, with a `UNet2DModel` of
        positional time embedding; or "digits" or "mnist5k-16", small models that come along.
    model_options
        `ModelOptions`, or a mapping of its arguments: which variant of the model's weights.
    """

    model: str
    model_options: ModelOptions = ModelOptions()

    def __new__(cls, **given: Any) -> Any:
        """Choose by the objective, and by what the model is."""
        objective = given.get("objective", "fid")
        to_data = not callable(objective) and objective in get_args(ObjectiveName)
        if to_data and "teacher" not in given and _draws_pixels(given.get("model")):
            return super().__new__(cls)
        return TeacherSchedule(**{"objective": "teacher", **given})

    @model_validator(mode="before")
    @classmethod
    def _trains_nothing(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            check_untrained(given, f"model '{given.get('model')}' is pretrained, and")
        return given

    @model_validator(mode="after")
    def _loads_a_network_alone(self) -> Self:
        self.model_options.check_variant_alone("SamplingSchedule")
        return self

    @property
    def _network(self) -> Pretrained:
        return Pretrained(self.model, self.model_options.variant)

    @cached_property
    def _bounds(self) -> tuple[float, float]:
        return self._network.info.bounds

    def remarks(self) -> list[str]:
        """Those of `ScheduleProblem`; and which of the model's files are used, of several."""
        return [*self.model_options.remarks_on(self.model), *super().remarks()]

    def worker(self, device: str) -> ScheduleWorker:
        """Load the network, the data and the extractors."""
        return ScheduleWorker(self.components, self.objective, device)

    def run_round(self, round_: int, state: Arrays) -> Stages[Update]:
        """Round 0 finds where to begin, each other one makes an update; the last compares."""
        if round_ == 0:
            seen = yield from self.rounds.see(state)
            return (yield from self.rounds.begin(seen, {}))
        if round_ <= self.optimizer.updates:
            return (yield from self.rounds.update(round_, round_, state, {}))
        return (yield from self._end(state))

    def _end(self, state: Arrays) -> Stages[Update]:
        """Take the mean of the last updates, or where they began if that is better; and compare."""
        rounds = self.rounds
        candidates = [rounds.optimizer.average(state["trace"]), state["x_start"]]
        x, found = yield from rounds.choose(candidates, state, {})
        state = state | {"x": x}
        stop = why_stop(self.variables, self.space.to_unit(x), state["gradients"])
        return (yield from rounds.end(state, found, stop, {}))

    def _more_subjects(self, learned: np.ndarray) -> Mapping[str, np.ndarray]:
        """The levels of the timesteps nearest to the learned ones, for DPM-Solver++."""
        if self.solver != "dpm++":
            return {}
        info = self.components.info
        return {ROUNDED: info.logsnr[nearest_timesteps(info, learned)]}

    def export(self, state: Arrays, directory: Path) -> None:
        """A stock pipeline, levels and nearest timesteps, comparison, and samples."""
        super().export(state, directory)
        lists: dict[str, Sequence[float]] = {**self._level_lists(state)}
        if self.solver == "dpm++":
            levels = self.space.levels(state["x"])
            lists["timesteps"] = nearest_timesteps(self.components.info, levels)
        write_levels(directory, lists)

    def evaluation(self, ends: Sequence[Arrays], samples: int | None = None) -> Problem:
        """The objective at each end's levels."""
        sized = self._sized(samples)
        return SamplingEvaluation(sized, ends, sized.rounds)

    def evaluation_cost(self) -> Cost:
        """One estimate of the objective."""
        nfe = self.estimation.samples * self.sampling_steps
        return Cost(nfe, nfe)

    def planned_rounds(self, state: Arrays) -> int:
        """The first look, the updates, and the comparison."""
        return self.optimizer.updates + 2


def _draws_pixels(model: Any) -> bool:
    """Whether a model is a pipeline in pixel space, or there is nothing to look at."""
    if not isinstance(model, str):
        return model is None
    if model in PRETRAINED:
        return model in IN_PIXEL_SPACE
    return is_pixel_space(model) if Path(model).is_dir() else not is_hub_name(model)
