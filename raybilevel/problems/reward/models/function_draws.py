"""Functions that draw samples, resolved: of seeds, or of noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raybilevel.errors import InputError
from raybilevel.lower.sampling.pipelines.call import Conditions
from raybilevel.problems.reward.models.base import DrawnSamples, FixedSampler, UnguidedSampler

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FunctionDraws(FixedSampler, UnguidedSampler):
    """A function of seeds."""

    function: Callable[..., Any]
    nfe_per_sample: int
    named: str = "model"

    @property
    def given(self) -> str:
        """What it is called with, as sentences say it."""
        return "seeds"

    @property
    def why_fixed(self) -> str:  # type: ignore[override]  # known once and for all
        """Its noise is its own."""
        return (
            f"{self.named} is a function of seeds, whose samples cannot be moved; a function of "
            "noise, with the attribute noise_shape, draws some that can"
        )

    def draw(self, seeds: Sequence[int], conditions: Conditions) -> DrawnSamples:
        """A sample a seed."""
        return _timed(self.function, list(seeds), conditions, self.nfe_per_sample)

    def probe(self) -> None:
        """It was tried before the run."""
        return


@dataclass(frozen=True)
class NoiseFunctionDraws(UnguidedSampler):
    """A function of noise (N, *shape)."""

    function: Callable[..., Any]
    nfe_per_sample: int
    shape: tuple[int, ...]

    @property
    def given(self) -> str:
        """What it is called with, as sentences say it."""
        return f"noises of shape {self.shape}"

    @property
    def why_fixed(self) -> None:
        """Its samples are what their noise makes them."""
        return

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """As its `noise_shape` says."""
        from raybilevel.lower.sampling.noise import normal_noise

        return normal_noise(seeds, self.shape)

    def draw(self, seeds: Sequence[int], conditions: Conditions) -> DrawnSamples:
        """A sample a seed."""
        return self.draw_noise(self.noise(seeds), conditions)

    def draw_noise(self, noise: Tensor, conditions: Conditions) -> DrawnSamples:
        """A sample a row."""
        # a copy: a function that changes what it is given must not move particles
        return _timed(self.function, noise.clone(), conditions, self.nfe_per_sample)

    def probe(self) -> None:
        """It was tried before the run."""
        return


def noise_shape(function: Callable[..., Any], named: str) -> tuple[int, ...]:
    """The shape of a sample's noise, as a function's attribute of that name says.

    Raises
    ------
    InputError
        If it is anything but a tuple of positive integers.
    """
    shape = function.noise_shape  # type: ignore[attr-defined]
    positive = isinstance(shape, tuple) and all(type(n) is int and n > 0 for n in shape)
    if not positive:
        raise InputError(
            f"{named} has noise_shape = {shape!r}, but it must be a tuple of positive integers, "
            "such as (4, 64, 64)"
        )
    return tuple(shape)


def _timed(
    function: Callable[..., Any], given: Any, conditions: Conditions, nfe_per_sample: int
) -> DrawnSamples:
    begun = time.perf_counter()
    samples = function(given) if conditions is None else function(given, list(conditions))
    seconds = {"denoiser": time.perf_counter() - begun}
    return DrawnSamples(samples, len(given) * nfe_per_sample, seconds)
