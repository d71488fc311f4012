"""Drawing with any list of noise levels, or any stock scheduler, by a pipeline's own call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Any

import numpy as np

from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_lists.lists import GivenList, SchedulerLists
from raybilevel.lower.sampling.level_lists.watching import Visited, exactly, visits
from raybilevel.lower.sampling.pipelines.batches import BatchedSampler
from raybilevel.lower.sampling.pipelines.call import Conditions
from raybilevel.lower.sampling.pipelines.loading import scheduler_like
from raybilevel.lower.sampling.pipelines.sampler import Drawn

_APART = 1e-4  # relative, that a level visited may be from the one asked for


class ListSampler:
    """A pipeline whose levels are given to it, and whose scheduler can be another for a call.

    Parameters
    ----------
    batches : draw by the pipeline's own call.
    named : what sentences call the pipeline.
    conditions : prompts or class labels of the run, of which the first shows what a call does.
    base : a scheduler of whose config others are made.
    latents : whether latents are drawn in place of images.
    bakes : whether the call takes no list, so that levels are put into the scheduler.

    Raises
    ------
    InputError
        If the scheduler takes no list.
    """

    def __init__(
        self,
        batches: BatchedSampler,
        named: str,
        conditions: Conditions,
        base: Any,
        *,
        latents: bool,
        bakes: bool = False,
    ) -> None:
        self._batches, self._named = batches, named
        self._shown = None if conditions is None else conditions[:1]
        self._output = {"output_type": "latent"} if latents else {}
        self._own, self._base, self._bakes = batches.pipeline.scheduler, base, bakes

    @cached_property
    def lists(self) -> SchedulerLists:
        """How the scheduler is given a list, with what the call gives it besides."""
        return SchedulerLists(self._own, self.visits({"num_inference_steps": 2}).given)

    def visits(self, options: Mapping[str, Any]) -> Visited:
        """The sigmas that a call with these options visits; no network is evaluated."""

        def call() -> None:
            self._batches.draw([0], self._shown, options)

        seen = visits(self._batches.pipeline.scheduler, call)
        self._batches.forget()
        return seen

    def spacings(self, choices: Sequence[Mapping[str, Any] | None], steps: int) -> np.ndarray:
        """The sigmas (n, steps) that the calls with n schedulers, {class, options}, visit."""
        found = []
        for choice in choices:
            with self._by(choice):
                found.append(self.visits({"num_inference_steps": steps}).sigmas)
        return np.array(found)

    def steps_for(self, choice: Mapping[str, Any], evaluations: int) -> int:
        """Steps of a call by another scheduler that cost at most so many evaluations; 0 for none.

        None too where levels repeat, as of many steps whole timesteps do, and where the pipeline
        cannot call that scheduler.
        """
        fewest = min(2, evaluations)  # of one step some pipelines (PixArt) make another call
        with self._by(choice):
            for steps in range(evaluations, fewest - 1, -1):
                try:
                    seen = self.visits({"num_inference_steps": steps})
                except (TypeError, ValueError):  # what pipelines and schedulers say it by
                    return 0
                if len(seen.timesteps) <= evaluations:
                    return steps if self._falls(seen, steps) else 0
        return 0

    def _falls(self, seen: Visited, steps: int) -> bool:
        """Whether each step has a level of its own, but for PNDM's second; all among training's."""
        within = 0 <= seen.timesteps.min() <= seen.timesteps.max() <= self._trained
        differ = len(np.unique(seen.timesteps)) >= steps and np.all(np.diff(seen.sigmas) <= 0)
        return bool(within and differ)

    @property
    def _trained(self) -> int:
        return int(self._own.config.num_train_timesteps)

    def argument(self, sigmas: np.ndarray) -> GivenList:
        """What the pipeline's call is given to visit sigmas (k,), or the nearest that there are.

        Raises
        ------
        InputError
            If the call does not visit them.
        """
        if self._bakes:
            return {}
        given = self.lists.argument(sigmas)
        asked = np.asarray(sigmas)
        if self.lists.taken.whole:
            asked = self.lists.sigmas_at(np.array(given["timesteps"]))
        self._check_visited(asked, self.visits({"num_inference_steps": len(asked), **given}))
        return given

    def _check_visited(self, asked: np.ndarray, seen: Visited) -> None:
        if len(seen.sigmas) != len(asked) or not np.allclose(seen.sigmas, asked, rtol=_APART):
            raise InputError(
                f"{self._named} does not visit the levels that its call is given: asked for "
                f"{_said(asked)}, it visits {_said(seen.sigmas)}; give another scheduler"
            )
        levels = seen.timesteps / self._trained
        if self.lists.flow and not np.allclose(levels, asked, atol=_APART):
            raise InputError(
                f"{self._named} is a {type(self._batches.pipeline).__name__}, which tells its "
                "network other timesteps than those of the list; give another pipeline"
            )

    def draw(
        self, seeds: Sequence[int], conditions: Conditions, sigmas: np.ndarray, *, exact: bool
    ) -> Drawn:
        """A sample a seed, with sigmas (k,).

        Parameters
        ----------
        exact : whether they are visited as they are where timesteps would be rounded: as no stock
            call does.
        """
        whole = self.lists.taken.whole and (exact or self._bakes)
        given = {} if whole else self.lists.argument(sigmas)
        options = {"num_inference_steps": len(sigmas), **given}
        with exactly(self._own, sigmas) if whole else nullcontext():
            return self._batches.draw(seeds, conditions, {**self._output, **options})

    def draw_stock(
        self,
        seeds: Sequence[int],
        conditions: Conditions,
        scheduler: Mapping[str, Any] | None,
        steps: int,
    ) -> Drawn:
        """A sample a seed, by {class, options} in place of the pipeline's scheduler."""
        options = {**self._output, "num_inference_steps": steps}
        with self._by(scheduler):
            return self._batches.draw(seeds, conditions, options)

    @contextmanager
    def _by(self, scheduler: Mapping[str, Any] | None) -> Iterator[None]:
        if scheduler is not None:
            self._batches.pipeline.scheduler = scheduler_like(self._base, scheduler)
        try:
            yield
        finally:
            self._batches.pipeline.scheduler = self._own


def _said(sigmas: np.ndarray) -> str:
    return ", ".join(f"{sigma:.4g}" for sigma in sigmas)
