"""What a schedule with a teacher leaves behind: the list and its call, a pipeline, a comparison."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from raybilevel.lower.sampling.pipelines.settings import PipelineSettings
from raybilevel.problems.base import Arrays
from raybilevel.problems.named_pipeline import DRAWN_IN
from raybilevel.problems.pictures import write_grid
from raybilevel.problems.schedule.teacher.comparison import LEARNED, START, frame, subjects
from raybilevel.problems.schedule.teacher.model import TaughtModel
from raybilevel.problems.schedule.teacher.settings import TeacherComparison
from raybilevel.problems.schedule.teacher.space import SigmaSpace

FILE = "schedule.json"


@dataclass(frozen=True, eq=False)
class Exporting:
    """What is written of a state.

    Attributes
    ----------
    source, space, steps, comparison : the pipeline, the levels, how many, and their comparison.
    export_weights : whether those of a model of the hub are exported too.
    """

    source: TaughtModel
    space: SigmaSpace
    steps: int
    comparison: TeacherComparison
    export_weights: bool

    def write(self, state: Arrays, directory: Path) -> None:
        """Write `schedule.json`, the pipeline with the list in `call.json`, and the comparison."""
        said = json.dumps(self._schedule(state), indent=2)
        (directory / FILE).write_text(said + "\n", encoding="utf-8")
        pipeline = self.source.pipeline
        options = {**pipeline.settings.call_options, **self._list(state)}
        pasted = replace(pipeline, settings=replace(pipeline.settings, call_options=options))
        pasted.export(directory, export_weights=self.export_weights)
        if "comparison" in state:
            self._write_comparison(state, directory)

    def _schedule(self, state: Arrays) -> dict[str, Any]:
        """The list by itself, its call, and what it is for: levels belong to their sampler."""
        import diffusers

        settings, scheduler = self.source.pipeline.settings, self.source.scheduler
        found = self._list(state)
        return {
            **found,
            "call": _call({**settings.call_options, **found}),
            "sigmas_visited": self._sigmas(state).tolist(),
            "sigmas_before": list(self.space.sigmas(state["x_start"])),
            "key": {
                "model": self.source.pipeline.spec,
                "on_hub": self.source.pipeline.on_hub,
                "from_pretrained": _loading(settings),
                "pipeline": self.source.class_name,
                "scheduler": type(scheduler).__name__,
                "solver": settings.scheduler,
                "scheduler_config": _plain(dict(scheduler.config)),
                "call_options": dict(settings.call_options),
                "dtype": _dtype(state, settings),
                "diffusers": diffusers.__version__,
            },
        }

    def _list(self, state: Arrays) -> dict[str, list[float]]:
        """The argument that the call is given."""
        return self.source.lists(float(state["mu"])).argument(self._sigmas(state))

    def _sigmas(self, state: Arrays) -> np.ndarray:
        """The levels that the list visits; the nearest where the run did not come to its end."""
        found = np.asarray(state.get("sigmas", self.space.sigmas(state["x"])))
        lists = self.source.lists(float(state["mu"]))
        return lists.sigmas_at(lists.timesteps(found)) if lists.taken.whole else found

    def _write_comparison(self, state: Arrays, directory: Path) -> None:
        listed = subjects(self.source, self.steps, self.comparison, state["rival_steps"])
        table = frame(state["comparison"], [LEARNED, START, *(subject.name for subject in listed)])
        table.to_parquet(directory / "comparison.parquet")
        (directory / "samples").mkdir()
        for name, images in zip((LEARNED, "best-stock", "teacher"), state["shown"], strict=True):
            write_grid(np.asarray(images) / 255, directory / "samples" / f"{name}.png")


def _dtype(state: Arrays, settings: PipelineSettings) -> str:
    """What workers drew in; as it was asked for where none has yet."""
    known = (name.removeprefix(DRAWN_IN) for name in state if name.startswith(DRAWN_IN))
    return next(known, settings.dtype)


def _loading(settings: PipelineSettings) -> dict[str, Any]:
    """Arguments of `from_pretrained` besides the model."""
    given = {"revision": settings.revision, "variant": settings.variant}
    return {name: value for name, value in given.items() if value is not None} | settings.without


def _call(given: dict[str, Any]) -> str:
    """The call as it is pasted."""
    return f"pipe({', '.join(['prompt', *(f'{name}={value!r}' for name, value in given.items())])})"


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """What of a scheduler's configuration JSON can hold, and is no bookkeeping of diffusers'."""
    return {
        name: value
        for name, value in config.items()
        if not name.startswith("_") and isinstance(value, (bool, int, float, str, type(None)))
    }
