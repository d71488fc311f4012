"""Drawing guided samples from a pipeline, in batches: images, and what log q / p0 is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from raybilevel.errors import TooLargeError, UnguidableError
from raybilevel.lower.sampling.guidance.call import ANCESTRAL, Guide, GuidedCall, PathTerms
from raybilevel.lower.sampling.guidance.decoding import CLEAN_IMAGES
from raybilevel.lower.sampling.guidance.steering import SteeredCall, Steering
from raybilevel.lower.sampling.pipelines.batches import joined
from raybilevel.lower.sampling.pipelines.call import Conditions
from raybilevel.lower.sampling.pipelines.meter import parts_of
from raybilevel.lower.sampling.pipelines.sampler import Drawn, PipelineSampler

_SAME = 1e-3  # of pixels: what the pipeline decodes, and what rewards are asked on


class GuidedSampler:
    """Draws images whose noise is pushed along rewards' gradients, or that are resampled.

    Parameters
    ----------
    sampler : draws a batch of the pipeline.
    named : what sentences call that.
    batch_size : images at once; None for all of them.
    gradient_checkpointing : whether networks are computed anew where gradients pass through them:
        less memory, an evaluation more for each gradient.

    Raises
    ------
    UnguidableError
        Of a pipeline that cannot be guided.
    """

    def __init__(
        self,
        sampler: PipelineSampler,
        named: str,
        batch_size: int | None = None,
        *,
        gradient_checkpointing: bool = False,
    ) -> None:
        made, scheduler = sampler.pipeline, getattr(sampler.pipeline, "scheduler", None)
        if why := unguidable_class(type(made).__name__, type(scheduler).__name__, named):
            raise UnguidableError(why)
        self._sampler, self._named, self._batch_size = sampler, named, batch_size
        (network,) = parts_of(sampler.pipeline.components)["denoiser"]
        self.network = network
        self._gradient = 2  # evaluations
        if gradient_checkpointing:
            _checkpoint((network, getattr(made, "vae", None)), named)
            self._gradient = 3
        self._decode = CLEAN_IMAGES[type(sampler.pipeline).__name__](sampler.pipeline)
        self._call = GuidedCall(sampler.pipeline, network, self._decode)
        self._steered_call = SteeredCall(sampler.pipeline, self._decode)

    def draw(
        self, seeds: Sequence[int], conditions: Conditions, guide: Guide
    ) -> tuple[Drawn, PathTerms]:
        """One image a seed; an evaluation a step, and two or three for each reward's gradient.

        Parameters
        ----------
        guide : whose scores are of all these images.
        """
        parts = self._parts(len(seeds), guide.each)
        found = [self._guided(seeds[p], _at(conditions, p), guide.at(p)) for p in parts]
        images, terms = zip(*found, strict=True)
        return joined(images), PathTerms.joined(terms)

    def draw_steered(
        self, seeds: Sequence[int], conditions: Conditions, steering: Steering
    ) -> tuple[Drawn, np.ndarray]:
        """One image a seed, steered in groups; and what each weighs no more, `SteeredCall.paid`.

        Parameters
        ----------
        conditions : the same within a group.
        steering : of all these particles.
        """
        images, paid = [], []
        for p in self._parts(len(seeds), steering.each):
            with (
                self._fitting(p.stop - p.start),
                self._steered_call.by(steering.at(p)),
            ):
                images.append(self._sampler.draw(seeds[p], _at(conditions, p)))
            paid.append(self._steered_call.paid)
        return joined(images), np.concatenate(paid)

    def _parts(self, count: int, each: int) -> list[slice]:
        """Batches of whole groups."""
        size = max((self._batch_size or count) // each, 1) * each
        return [slice(start, min(start + size, count)) for start in range(0, count, size)]

    def _guided(
        self, seeds: Sequence[int], conditions: Conditions, guide: Guide
    ) -> tuple[Drawn, PathTerms]:
        with self._fitting(len(seeds), together=guide.each), self._call.by(guide):
            drawn = self._sampler.draw(seeds, conditions)
        drawn.cost.nfe *= 1 + self._gradient * guide.scales.shape[1]
        return drawn, self._call.terms

    @contextmanager
    def _fitting(self, count: int, together: int = 1) -> Iterator[None]:
        """Say how many images a batch had that did not fit into memory: `TooLargeError`."""
        try:
            yield
        except torch.OutOfMemoryError as error:
            self._sampler.forget()
            raise TooLargeError(_does_not_fit(self._named, count, together)) from error

    def check(self, conditions: Conditions) -> None:
        """Refuse a pipeline that decodes other images than rewards would be asked on.

        Parameters
        ----------
        conditions : of one sample.
        """
        drawn, terms = self.draw([0], conditions, Guide(_brightness, torch.zeros(1, 1)))
        assert self._call.end is not None, "a step was made"
        with torch.no_grad():
            moved = float((self._decode(self._call.end).cpu() - drawn.images).abs().max())
        if moved > _SAME:
            raise UnguidableError(
                f"samples are to be guided, but {self._named} decodes an image that is {moved:.2g} "
                "from the one that rewards would guide it by; annealed needs no gradient"
            )
        if not terms.v.any():
            raise UnguidableError(without_noise(self._named))


def unguidable_class(made: str, scheduler: str, named: str) -> str | None:
    """Why a pipeline cannot be guided, by the names of its class and its scheduler's; or None."""
    if made not in CLEAN_IMAGES:
        return (
            f"samples are to be guided, but {named} is a {made}, and {', '.join(CLEAN_IMAGES)} are "
            "what can be guided; annealed may do"
        )
    if scheduler not in ANCESTRAL:
        return (
            f"samples are to be guided, but {named} has a {scheduler}, and guidance is for "
            f"{' and '.join(ANCESTRAL)}, which add noise at every step; give "
            "scheduler: {class: DDIMScheduler} and call_options: {eta: 1.0}"
        )
    return None


def _checkpoint(parts: Iterable[torch.nn.Module | None], named: str) -> None:
    for part in parts:
        if part is None:
            continue
        if not getattr(part, "_supports_gradient_checkpointing", False):
            raise UnguidableError(
                f"gradient_checkpointing is true, but the {type(part).__name__} of {named} knows "
                "none; leave it out"
            )
        part.enable_gradient_checkpointing()  # type: ignore[operator]


def without_noise(named: str) -> str:
    """What is said of a sampler that is deterministic."""
    return (
        f"samples are to be guided, but {named} draws no noise at its steps; give "
        "call_options: {eta: 1.0}, scheduler: {class: DDPMScheduler}, or estimator: annealed"
    )


def _does_not_fit(named: str, count: int, together: int) -> str:
    said = f"{named} ran out of memory with {count} guided image{'s'[: count > 1]} at once"
    if count == together > 1:
        return (
            f"{said}, which are an island; gradient_checkpointing: true, smaller images "
            "(call_options) or 16 bits (dtype) take less, and of more islands each is smaller, to 8"
        )
    if count > 1:
        return f"{said}; give a smaller batch_size, such as {max(count // 4, 1)}"
    return (
        f"{said}; gradient_checkpointing: true, smaller images (call_options) or 16 bits (dtype) "
        "take less, and estimator: annealed keeps nothing for gradients"
    )


def _at(conditions: Conditions, part: slice) -> Conditions:
    return None if conditions is None else conditions[part]


def _brightness(images: Tensor, rows: range) -> Tensor:
    return images.flatten(1).mean(1)[:, None]
