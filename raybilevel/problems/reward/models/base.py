"""What a pretrained model of the reward problem is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from raybilevel.errors import InputError, UnguidableError
from raybilevel.lower.sampling.pipelines.call import Conditions
from raybilevel.problems.prompts.prompt_list import PromptList

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from raybilevel.lower.sampling.guidance.call import Guide, PathTerms
    from raybilevel.lower.sampling.guidance.steering import Steering
    from raybilevel.lower.sampling.pipelines.probe import PipelineReport


@dataclass(frozen=True)
class DrawnSamples:
    """Samples of p0, and what they cost.

    Attributes
    ----------
    samples : (N, ...), on the CPU.
    nfe : network evaluations.
    seconds : by part of the model.
    blackened : how many a safety checker has blackened; None where there can be none.
    dtype : that the device has decided on; None where nobody left it to that.
    """

    samples: Tensor
    nfe: int
    seconds: dict[str, float] = field(default_factory=dict)
    blackened: int | None = None
    dtype: str | None = None


@dataclass(frozen=True)
class Probe:
    """A small batch like a model's samples, for rewards to be tried on.

    Attributes
    ----------
    samples : (N, ...)
    prompts : the place of each sample's prompt in the list of prompts; None without prompts.
    """

    samples: Tensor
    prompts: tuple[int, ...] | None = None


class Sampler(Protocol):
    """A model that is loaded."""

    def draw(self, seeds: Sequence[int], conditions: Conditions) -> DrawnSamples:
        """A sample a seed, decided by seed and condition alone."""
        ...

    def probe(self) -> PipelineReport | None:
        """Draw a few samples, to say what only a loaded model can; None where all is known.

        Raises
        ------
        InputError
            If its samples are not decided by seed and condition.
        """
        ...

    @property
    def why_fixed(self) -> str | None:
        """Why its samples cannot be drawn from given noise, after `probe`; None where they can."""
        ...

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """The standard normal numbers (N, ...) that `draw` begins with: float32 on the CPU."""
        ...

    def draw_noise(self, noise: Tensor, conditions: Conditions) -> DrawnSamples:
        """A sample a row of noise: of `noise(seeds)` the same as `draw` gives for those seeds."""
        ...

    def draw_guided(
        self, seeds: Sequence[int], conditions: Conditions, guide: Guide
    ) -> tuple[DrawnSamples, PathTerms]:
        """A sample a seed, its noise pushed along rewards' gradients.

        Raises
        ------
        UnguidableError
            Where this model's cannot be.
        """
        ...

    def operations(self, conditions: Conditions) -> tuple[float, float, DrawnSamples]:
        """Floating-point ones of an evaluation, and of decoding; and a sample that was drawn.

        Raises
        ------
        UnguidableError
            Where this model's samples cannot be guided: of others nobody asks.
        """
        ...

    def draw_steered(
        self, seeds: Sequence[int], conditions: Conditions, steering: Steering
    ) -> tuple[DrawnSamples, np.ndarray]:
        """A sample a seed, resampled in groups on its way; and what each weighs no more (N,).

        Raises
        ------
        UnguidableError
            Where this model's cannot be.
        """
        ...


_NO_PIPELINE = (
    "samples are to be guided, but the model is no pipeline, whose steps could be guided; give "
    "one, or estimator: annealed"
)


class UnguidedSampler:
    """What a sampler is whose steps cannot be guided."""

    def draw_guided(
        self, seeds: Sequence[int], conditions: Conditions, guide: Guide
    ) -> tuple[DrawnSamples, PathTerms]:
        """None: raises `UnguidableError`."""
        raise UnguidableError(_NO_PIPELINE)

    def operations(self, conditions: Conditions) -> tuple[float, float, DrawnSamples]:
        """None: raises `UnguidableError`."""
        raise UnguidableError(_NO_PIPELINE)

    def draw_steered(
        self, seeds: Sequence[int], conditions: Conditions, steering: Steering
    ) -> tuple[DrawnSamples, np.ndarray]:
        """None: raises `UnguidableError`."""
        raise UnguidableError(_NO_PIPELINE)


class FixedSampler:
    """What a sampler is whose samples cannot be drawn from given noise."""

    why_fixed: str | None

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """None: raises `InputError`."""
        raise InputError(str(self.why_fixed))

    def draw_noise(self, noise: Tensor, conditions: Conditions) -> DrawnSamples:
        """None: raises `InputError`."""
        raise InputError(str(self.why_fixed))


class Model(ABC):
    """A pretrained model: what it draws, and for how much. Picklable; nothing is loaded yet.

    Attributes
    ----------
    spec : as a user gives it.
    prompts : what is drawn; None where nothing says so.
    """

    spec: str | Callable[..., Any]
    prompts: PromptList | None

    @property
    def named(self) -> str:
        """What sentences call it."""
        return f"model '{self.spec}'" if isinstance(self.spec, str) else "model"

    @abstractmethod
    def check(self) -> Probe | None:
        """Refuse what could not be drawn from; returns what its samples are like.

        None where only a worker that has loaded the model can tell.

        Raises
        ------
        InputError
            Naming what is wrong, and what would be right.
        """

    def remarks(self) -> list[str]:
        """What a user should know of it before the run."""
        return []

    def why_fixed(self) -> str | None:
        """Why samples cannot be drawn from given noise, as far as is known before it is loaded.

        The middle of a sentence; None where they can, or where only a loaded one can tell.
        """
        return None

    def check_guided(self) -> None:
        """Refuse what is known, before it is loaded, to have no steps that could be guided.

        Raises
        ------
        UnguidableError
            Saying what can be: pipelines, whose own method says more.
        """
        raise UnguidableError(_NO_PIPELINE)

    @abstractmethod
    def sampler(self, device: str) -> Sampler:
        """Load the model onto a device."""

    @property
    @abstractmethod
    def nfe_per_sample(self) -> int:
        """Network evaluations of one sample."""

    @property
    def least_nfe_per_sample(self) -> int:
        """The same as far as it can be told without loading weights."""
        return self.nfe_per_sample

    def drawn_in(self, dtype: str | None) -> Model:
        """The same as it was drawn from, where that was left to workers' devices."""
        return self

    @abstractmethod
    def export(self, directory: Path) -> None:
        """Write what of the model a user takes away."""
