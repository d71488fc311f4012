"""Drawing in batches that fit into memory: which they are is a plan, not what the memory says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from raybilevel.errors import InputError
from raybilevel.lower.sampling.noise import NoiseDraws
from raybilevel.lower.sampling.pipelines.call import Conditions
from raybilevel.lower.sampling.pipelines.meter import DrawCost
from raybilevel.lower.sampling.pipelines.sampler import Drawn, PipelineSampler, SeedsOrNoise

Options = Mapping[str, Any] | None


class BatchedSampler:
    """Draws any number of images, `batch_size` at once.

    Parameters
    ----------
    sampler : draws a batch.
    named : what sentences call the pipeline.
    batch_size : images at once; None for all of them.
    may_halve : whether a batch that does not fit into memory is drawn in halves, which moves images
        by rounding; else it is an error that says how many fit.

    Raises
    ------
    InputError
        From `draw`, where the memory does not suffice.
    """

    def __init__(
        self,
        sampler: PipelineSampler,
        named: str,
        batch_size: int | None = None,
        *,
        may_halve: bool = False,
    ) -> None:
        self._sampler, self._named = sampler, named
        self._batch_size, self._may_halve = batch_size, may_halve

    @property
    def pipeline(self) -> Any:
        """What draws."""
        return self._sampler.pipeline

    @property
    def noise_draws(self) -> NoiseDraws | None:
        """As `PipelineSampler.noise_draws`."""
        return self._sampler.noise_draws

    def draw(
        self,
        given: SeedsOrNoise,
        conditions: Conditions = None,
        options: Mapping[str, Any] | None = None,
    ) -> Drawn:
        """Draw one image a seed, or a row of noise, as `PipelineSampler.draw` does."""
        size = self._batch_size or len(given)
        parts = [slice(start, start + size) for start in range(0, len(given), size)]
        return joined([self._batch(*_part(given, conditions, p), options) for p in parts])

    def forget(self) -> None:
        """As `PipelineSampler.forget`."""
        self._sampler.forget()

    def _batch(self, given: SeedsOrNoise, conditions: Conditions, options: Options) -> Drawn:
        drawn = self._fitting(given, conditions, options)
        if drawn is not None:
            return drawn
        if self._may_halve and len(given) > 1:
            return self._halves(given, conditions, options)
        raise InputError(self._what_fits(given, conditions, options))

    def _halves(self, given: SeedsOrNoise, conditions: Conditions, options: Options) -> Drawn:
        middle = len(given) // 2
        halves = [slice(0, middle), slice(middle, None)]
        return joined([self._batch(*_part(given, conditions, h), options) for h in halves])

    def _fitting(
        self, given: SeedsOrNoise, conditions: Conditions, options: Options
    ) -> Drawn | None:
        """The batch; None where the memory does not suffice."""
        try:
            return self._sampler.draw(given, conditions, options)
        except torch.OutOfMemoryError:
            pass  # frees what the call holds, before anything is tried
        self._sampler.forget()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None

    def _what_fits(self, given: SeedsOrNoise, conditions: Conditions, options: Options) -> str:
        failed, size = len(given), len(given) // 2
        while size and self._fitting(*_part(given, conditions, slice(size)), options) is None:
            size //= 2
        said = f"{self._named} ran out of memory with {failed} image{'s'[: failed > 1]} at once"
        if size:
            return f"{said}, and {size} fit; give batch_size: {size}"
        return (
            f"{said}; smaller images (call_options), 16 bits (dtype) or offloading (model_options) "
            "take less"
        )


def _part(
    given: SeedsOrNoise, conditions: Conditions, part: slice
) -> tuple[SeedsOrNoise, Conditions]:
    return given[part], None if conditions is None else conditions[part]


def joined(parts: Sequence[Drawn]) -> Drawn:
    """Batches as one."""
    if len(parts) == 1:
        return parts[0]
    return Drawn(
        torch.cat([part.images for part in parts]),
        sum((part.cost for part in parts), DrawCost()),
        sum(part.blackened for part in parts),
    )
