"""A function of seeds, or of noise, and perhaps of prompts, that draws samples of any shape."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybilevel.errors import InputError
from raybilevel.imports import resolve, said_in_a_sentence
from raybilevel.problems.prompts.prompt_list import PromptList
from raybilevel.problems.reward.models.base import Model, Probe
from raybilevel.problems.reward.models.function_draws import (
    FunctionDraws,
    NoiseFunctionDraws,
    noise_shape,
)

if TYPE_CHECKING:
    from torch import Tensor

_PROBE = 2

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class FunctionModel(Model):
    """A callable `sample(seeds) -> Tensor (N, ...)`, or `sample(seeds, prompts)`.

    Its attribute `nfe_per_sample` is what a sample costs; 1 where it has none. One that has an
    attribute `noise_shape` is called with noise (N, *noise_shape) in place of seeds.

    Parameters
    ----------
    spec : the callable, or its import path.
    """

    spec: str | Callable[..., Any]
    prompts: PromptList | None = None

    @property
    def function(self) -> Callable[..., Any]:
        """The callable."""
        found = resolve(self.spec, "model") if isinstance(self.spec, str) else self.spec
        if not callable(found):
            raise InputError(f"model is '{self.spec}', which is no function of seeds but {found!r}")
        return found

    def check(self) -> Probe:
        """Draw a few samples.

        Raises
        ------
        InputError
            If the import path leads nowhere, or what it names draws no batch of samples.
        """
        function = self.function
        self._check_takes(reads_prompts(function))
        draws, prompts = self.sampler("cpu"), self.prompts
        conditions = None if prompts is None else [prompts.conditions[0]] * _PROBE
        with said_in_a_sentence("model", f"{_PROBE} {draws.given}"):
            samples = draws.draw(range(_PROBE), conditions).samples
        _check_samples(samples, draws.given)
        return Probe(samples, None if prompts is None else (0,) * _PROBE)

    def _check_takes(self, reads: bool) -> None:
        if self.prompts is not None and not reads:
            raise InputError(
                f"prompts are given, but {self.named} is a function of seeds alone; leave them "
                "out, or give a function of seeds and prompts"
            )
        if self.prompts is None and reads:
            raise InputError(
                f"{self.named} is a function of seeds and prompts, but prompts is missing; give "
                "some"
            )

    def why_fixed(self) -> str | None:
        """A function of seeds keeps its noise to itself."""
        return self.sampler("cpu").why_fixed

    def sampler(self, device: str) -> FunctionDraws | NoiseFunctionDraws:
        """Resolve the callable."""
        function = self.function
        if not hasattr(function, "noise_shape"):
            return FunctionDraws(function, self.nfe_per_sample, self.named)
        return NoiseFunctionDraws(function, self.nfe_per_sample, noise_shape(function, self.named))

    @property
    def nfe_per_sample(self) -> int:
        """As its attribute says."""
        return int(getattr(self.function, "nfe_per_sample", 1))

    def export(self, directory: Path) -> None:
        """Nothing: the function is its user's."""


def reads_prompts(function: Callable[..., Any]) -> bool:
    """Whether a sampler wants prompts too: a second argument that it cannot do without."""
    try:
        taken = list(inspect.signature(function).parameters.values())
    except ValueError:  # what is written in C may have none
        return False
    wanted = [p for p in taken if p.kind in _POSITIONAL and p.default is p.empty]
    return len(wanted) > 1


def _check_samples(samples: Tensor, given: str) -> None:
    import torch

    if not isinstance(samples, torch.Tensor) or len(samples.shape) < 1:
        raise InputError(
            f"model returned a {type(samples).__name__} for a list of {given}; it must be a "
            "tensor of one sample each"
        )
    if len(samples) != _PROBE:
        raise InputError(
            f"model returned samples of shape {tuple(samples.shape)} for {_PROBE} {given}; it "
            f"must be one sample each, of shape ({_PROBE}, ...)"
        )
