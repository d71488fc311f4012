"""The reward problem's pretrained model: a pipeline directory, or anything that draws samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybilevel.errors import InputError
from raybilevel.imports import resolve, said_in_a_sentence
from raybilevel.lower.pretrained import pipeline_directory

if TYPE_CHECKING:
    from torch import Tensor

SampleFunction = Callable[[list[int]], "Tensor"]
"""Maps N seeds to N samples (N, ...), each decided by its seed alone."""

_PROBE = 2


@dataclass(frozen=True)
class Model:
    """What `RewardTuning.model` names.

    Parameters
    ----------
    spec : a pipeline directory, a name in `PRETRAINED`, an import path, or a callable.
    sampling_steps, mixed_precision : how a pipeline is sampled.
    variant : of a pipeline's weights, as `find_files` takes it.
    """

    spec: str | SampleFunction
    sampling_steps: int | None
    mixed_precision: str
    variant: str | None = None

    @cached_property
    def directory(self) -> Path | None:
        """The pipeline's directory; None where the model is a callable."""
        if not isinstance(self.spec, str) or ":" in self.spec:
            return None
        return pipeline_directory(self.spec)

    def sampler(self, device: str) -> tuple[SampleFunction, int]:
        """What draws on `device`, and its network evaluations per sample."""
        if self.directory is not None:
            from raybilevel.lower.sampling.pixel import PixelSampler

            pixels = PixelSampler(
                self.directory, device, self.sampling_steps, self.mixed_precision, self.variant
            )
            return pixels.sample, pixels.nfe_per_sample
        sample = resolve(self.spec, "model") if isinstance(self.spec, str) else self.spec
        return sample, int(getattr(sample, "nfe_per_sample", 1))

    @cached_property
    def nfe_per_sample(self) -> int:
        """Network evaluations of one sample."""
        return self.sampler("cpu")[1]

    def probe(self) -> Any:
        """A small batch like the model's samples: noise for a pipeline, which is slow to sample.

        Raises
        ------
        InputError
            If the model is no pipeline that can be sampled, its import path leads nowhere, or what
            it names draws no batch of samples.
        """
        import torch

        if self.directory is None:
            return self._drawn()
        from raybilevel.lower.sampling.pipeline_info import check_pipeline

        info = check_pipeline(self.directory, self.sampling_steps, variant=self.variant)
        shape = info.image_shape
        return torch.rand((_PROBE, *shape), generator=torch.Generator().manual_seed(0))

    def _drawn(self) -> Tensor:
        import torch

        sample, _ = self.sampler("cpu")
        if not callable(sample):
            raise InputError(
                f"model is '{self.spec}', which is no function of seeds but {sample!r}"
            )
        with said_in_a_sentence("model", f"{_PROBE} seeds"):
            samples = sample(list(range(_PROBE)))
        if not isinstance(samples, torch.Tensor) or len(samples.shape) < 1:
            raise InputError(
                f"model returned a {type(samples).__name__} for a list of seeds; it must be a "
                "tensor of one sample a seed"
            )
        if len(samples) != _PROBE:
            raise InputError(
                f"model returned samples of shape {tuple(samples.shape)} for {_PROBE} seeds; it "
                f"must be one sample a seed, of shape ({_PROBE}, ...)"
            )
        return samples
