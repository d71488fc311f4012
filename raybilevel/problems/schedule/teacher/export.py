"""What a schedule with a teacher leaves behind: lists and their calls, a pipeline, a comparison."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from raybilevel.lower.sampling.level_lists.sigmas import to_logsnr
from raybilevel.lower.sampling.level_lists.taken import BAKED
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings
from raybilevel.lower.sampling.solvers import CLASSES
from raybilevel.problems.base import Arrays
from raybilevel.problems.named_pipeline import DRAWN_IN
from raybilevel.problems.pictures import write_grid
from raybilevel.problems.schedule.export import write_pipeline
from raybilevel.problems.schedule.teacher.comparison import LEARNED, Metric, frame, rivals_of
from raybilevel.problems.schedule.teacher.model import TaughtModel
from raybilevel.problems.schedule.teacher.settings import TeacherComparison
from raybilevel.problems.schedule.teacher.space import SigmaSpace

FILE = "schedule.json"
BEST_STOCK = "best-stock"
TEACHERS = "teacher"


@dataclass(frozen=True, eq=False)
class Exporting:
    """What is written of a state.

    Attributes
    ----------
    source, space, comparison, metric : the pipeline, its levels, their comparison, and what images
        are judged by there.
    export_weights : whether those of a model of the hub are exported too.
    """

    source: TaughtModel
    space: SigmaSpace
    comparison: TeacherComparison
    metric: Metric | None
    export_weights: bool

    def write(self, state: Arrays, directory: Path) -> None:
        """Write `schedule.json`, the pipeline and the comparison.

        The longest list stands in the pipeline's `call.json`.
        """
        said = json.dumps(self._schedule(state), indent=2)
        (directory / FILE).write_text(said + "\n", encoding="utf-8")
        if self.source.bakes:
            self._bake(state, directory)
        else:
            self._paste(state, directory)
        if "comparison" in state:
            self._write_comparison(state, directory)

    def _bake(self, state: Arrays, directory: Path) -> None:
        """A pipeline whose scheduler has the levels, in the order of their log-SNR."""
        unet, levels = self.source.loaded("cpu").unet, self._visited(state)[-1]
        solver, logsnr = CLASSES[BAKED], to_logsnr(levels, flow=False)
        write_pipeline(unet, self.source.levels, solver, logsnr, directory)

    def _paste(self, state: Arrays, directory: Path) -> None:
        """The pipeline as it was, and its call with the longest list."""
        pipeline = self.source.pipeline
        longest = self._argument(state, self._visited(state)[-1])
        options = {**pipeline.settings.call_options, **longest}
        pasted = replace(pipeline, settings=replace(pipeline.settings, call_options=options))
        pasted.export(directory, export_weights=self.export_weights)

    def _schedule(self, state: Arrays) -> dict[str, Any]:
        """The lists and their calls, and what they are for: levels belong to their sampler."""
        import diffusers

        settings, scheduler = self.source.pipeline.settings, self.source.scheduler
        before = self.space.lists(state["x_start"])
        lists = [self._said(state, *one) for one in zip(self._visited(state), before, strict=True)]
        return {
            **(lists[0] if len(lists) == 1 else {"lists": lists}),
            "key": {
                "model": self.source.pipeline.spec,
                "on_hub": self.source.pipeline.on_hub,
                "from_pretrained": _loading(settings),
                "pipeline": self.source.class_name,
                "scheduler": type(scheduler).__name__,
                "baked": self.source.bakes,
                "solver": settings.scheduler,
                "scheduler_config": _plain(dict(scheduler.config)),
                "call_options": dict(settings.call_options),
                "dtype": _dtype(state, settings),
                "diffusers": diffusers.__version__,
            },
        }

    def _said(
        self, state: Arrays, visited: np.ndarray, before: tuple[float, ...]
    ) -> dict[str, Any]:
        """One list by itself."""
        given = self._argument(state, visited)
        options = {**self.source.pipeline.settings.call_options, **given}
        return {
            **given,
            "call": _call(options, () if self.source.conditions is None else ("prompt",)),
            "sigmas_visited": visited.tolist(),
            "sigmas_before": list(before),
        }

    def _argument(self, state: Arrays, visited: np.ndarray) -> dict[str, Any]:
        """What the call is given."""
        if self.source.bakes:
            return {"num_inference_steps": len(visited)}
        return self.source.lists(float(state["mu"])).argument(visited)

    def _visited(self, state: Arrays) -> tuple[np.ndarray, ...]:
        """The levels that lists visit; the nearest where the run did not come to its end."""
        found = state.get("sigmas", np.concatenate(self.space.lists(state["x"])))
        lists, parts = self.source.lists(float(state["mu"])), self.space.parted(found)
        if not self.source.takes_whole:
            return parts
        return tuple(lists.sigmas_at(lists.timesteps(part)) for part in parts)

    def _write_comparison(self, state: Arrays, directory: Path) -> None:
        counts = self.space.counts
        rivals = rivals_of(self.source, counts, self.comparison, state["rival_steps"])
        table = frame(state["comparison"], counts, rivals, self.metric)
        table.to_parquet(directory / "comparison.parquet")
        (directory / "samples").mkdir()
        for name, images in zip(samples_of(counts), state["shown"], strict=True):
            write_grid(np.asarray(images) / 255, directory / "samples" / f"{name}.png")


def samples_of(counts: Sequence[int]) -> list[str]:
    """Names of the grids of samples: by the learned list and by its best rival, and the teacher's.

    Of several numbers of steps the shorter lists' first, and the number behind the name.
    """
    if len(counts) == 1:
        return [LEARNED, BEST_STOCK, TEACHERS]
    return [*(f"{n}-{steps}" for steps in counts for n in (LEARNED, BEST_STOCK)), TEACHERS]


def _dtype(state: Arrays, settings: PipelineSettings) -> str:
    """What workers drew in; as it was asked for where none has yet."""
    known = (name.removeprefix(DRAWN_IN) for name in state if name.startswith(DRAWN_IN))
    return next(known, settings.dtype)


def _loading(settings: PipelineSettings) -> dict[str, Any]:
    """Arguments of `from_pretrained` besides the model."""
    given = {"revision": settings.revision, "variant": settings.variant}
    return {name: value for name, value in given.items() if value is not None} | settings.without


def _call(given: dict[str, Any], first: tuple[str, ...]) -> str:
    """The call as it is pasted."""
    return f"pipe({', '.join([*first, *(f'{name}={value!r}' for name, value in given.items())])})"


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """What of a scheduler's configuration JSON can hold, and is no bookkeeping of diffusers'."""
    return {
        name: value
        for name, value in config.items()
        if not name.startswith("_") and isinstance(value, (bool, int, float, str, type(None)))
    }
