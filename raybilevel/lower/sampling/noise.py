"""The noise of samples: drawn from a seed each, noted as a sampler draws it, or given to it.

A sampler takes all noise of a sample from that sample's generator, by `torch.randn`: what it begins
with, and what its scheduler adds at its steps. So noise is given to any sampler, without a word to
it, where it asks a generator for some. This is done by a mode of torch's, as `torch.device` is one
when it is entered: it ends with its block, and other threads do not see it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


def normal_noise(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Draw (N, *shape) float32 on the CPU, a row a seed."""
    return torch.stack([torch.randn(tuple(shape), generator=g) for g in seeded(seeds)])


def seeded(seeds: Sequence[int]) -> list[torch.Generator]:
    """A generator a seed, on the CPU."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@dataclass(frozen=True)
class NoiseDraws:
    """What a sampler draws from the generator of a sample.

    Attributes
    ----------
    normal : shape and dtype of each draw of standard normal numbers, one after the other.
    others : names of what else it asks the generator for, which cannot be given to it.
    """

    normal: tuple[tuple[tuple[int, ...], torch.dtype], ...]
    others: tuple[str, ...] = ()

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """All that is drawn for each seed (N, D): float32 on the CPU."""
        return torch.stack([torch.cat(self._drawn(generator)) for generator in seeded(seeds)])

    def _drawn(self, generator: torch.Generator) -> list[Tensor]:
        """In the same calls: numbers depend on shape and dtype too."""
        parts = [torch.randn(s, generator=generator, dtype=dtype) for s, dtype in self.normal]
        return [part.float().flatten() for part in parts]

    def parts(self, row: Tensor) -> Iterator[Tensor]:
        """What each draw gives, of a row (D,) of noise."""
        sizes = [math.prod(shape) for shape, _ in self.normal]
        for part, (shape, dtype) in zip(row.split(sizes), self.normal, strict=True):
            yield part.reshape(shape).to(dtype, copy=True)


class NotedNoise(TorchFunctionMode):
    """Notes what is asked of a generator while it is entered."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self._generator = generator
        self._normal: list[tuple[tuple[int, ...], torch.dtype]] = []
        self._others: list[str] = []

    @property
    def draws(self) -> NoiseDraws:
        """All of it."""
        return NoiseDraws(tuple(self._normal), tuple(self._others))

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call the function, and note what it is if it reads the generator."""
        made = func(*args, **(kwargs or {}))
        if kwargs and kwargs.get("generator") is self._generator:
            if func is torch.randn:
                self._normal.append((tuple(made.shape), made.dtype))
            else:
                self._others.append(func.__name__)
        return made


class GivenNoise(TorchFunctionMode):
    """Gives rows (D,) of noise, while it is entered, in place of what `generators` would draw.

    It may be entered again, and goes on where it was: it sees every call of torch's, which costs a
    small network a tenth of its time.

    Parameters
    ----------
    draws : by which the rows were drawn.
    """

    def __init__(self, noise: Sequence[Tensor], draws: NoiseDraws) -> None:
        super().__init__()
        # Another seed than any sample's: what reads them besides gives another sample: it is seen.
        self.generators = seeded([2**40 + 1] * len(noise))
        pairs = zip(self.generators, noise, strict=True)
        self._parts = {id(generator): draws.parts(row) for generator, row in pairs}

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Give the next part of a generator's row."""
        kwargs = kwargs or {}
        parts = self._parts.get(id(kwargs.get("generator")))
        if func is not torch.randn or parts is None:
            return func(*args, **kwargs)
        return next(parts).to(kwargs.get("device"))


def why_not_given(named: str, draws: NoiseDraws, moved: float | None = None) -> str | None:
    """Why a sampler's noise cannot be given to it, as the middle of a sentence; None where it can.

    Parameters
    ----------
    moved : the difference that it made to a sample; None where it made none that matters.
    """
    if draws.others or not draws.normal:
        asks = f"by {draws.others[0]}" if draws.others else "from no generator"
        return (
            f"{named} draws noise {asks}, where it cannot be given to it; with a deterministic "
            "scheduler, such as DDIMScheduler, it may be"
        )
    if moved is None:
        return None
    return (
        f"{named} draws an image that is {moved:.2g} away when its own noise is given to it; with "
        "a deterministic scheduler, such as DDIMScheduler, and dtype: float32 it may be the same"
    )
