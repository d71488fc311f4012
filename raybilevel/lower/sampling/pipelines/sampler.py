"""Drawing from any diffusers pipeline by its own call: a sample is decided by seed and prompt."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raybilevel.errors import RunError
from raybilevel.lower.sampling.noise import GivenNoise, NoiseDraws, NotedNoise, seeded
from raybilevel.lower.sampling.pipelines.call import Conditions, PipelineCall
from raybilevel.lower.sampling.pipelines.meter import DrawCost, PipelineMeter
from raybilevel.lower.sampling.pipelines.placement import evaluate_only, put
from raybilevel.lower.sampling.pipelines.prompt_encoder import PromptEncoder, RaggedPromptsError

SeedsOrNoise = Sequence[int] | Tensor
"""What decides samples: a seed each, or a row of noise each."""


@dataclass(frozen=True)
class Drawn:
    """Samples and what they cost.

    Attributes
    ----------
    images : (N, C, H, W) float32 in [0, 1], on the CPU; or latents (N, ...) where they were asked
        for.
    cost : of all of them.
    blackened : how many of them the pipeline's safety checker has blackened.
    """

    images: Tensor
    cost: DrawCost
    blackened: int = 0


class PipelineSampler:
    """Draws images through a pipeline's own `__call__`, each from a seed of its own.

    Every sample has a CPU generator of its own. Prompts are encoded alone and once; where
    encodings of a batch's prompts cannot be joined, as they are of different lengths, or where the
    pipeline has no `encode_prompt`, one prompt is drawn a call. So a sample is decided by its seed
    and its prompt, to rounding, whatever it is drawn with.

    Parameters
    ----------
    pipeline : loaded; its modules are put on the device here, unless it moves them by itself.
    device : "cpu" or "cuda". Text encoders go there for as long as they encode.
    sampling_steps : `num_inference_steps`; None for the pipeline's own default.
    call_options : further arguments of the call, the same for all samples.

    Attributes
    ----------
    noise_draws : what an image takes from its generator, as the first call showed; None before it.

    Raises
    ------
    RunError
        From `draw`, where the pipeline returns anything but one image a seed.
    """

    def __init__(
        self,
        pipeline: Any,
        device: str = "cpu",
        sampling_steps: int | None = None,
        call_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.call = PipelineCall.of(type(pipeline))
        self._steps, self._options = sampling_steps, dict(call_options or {})
        pipeline.set_progress_bar_config(disable=True)
        evaluate_only(pipeline)
        place = torch.device(device)
        off_device = put(pipeline, place)
        self._encodes = hasattr(pipeline, "encode_prompt")
        if self._encodes:
            pipeline.encode_prompt = PromptEncoder(pipeline.encode_prompt, place, off_device)
        self._meter = PipelineMeter(pipeline.components, place)
        self._blackened = 0
        self.noise_draws: NoiseDraws | None = None

    def draw(
        self,
        given: SeedsOrNoise,
        conditions: Conditions = None,
        options: Mapping[str, Any] | None = None,
    ) -> Drawn:
        """Draw one image a seed, or a row of noise.

        Parameters
        ----------
        given : N seeds, or noise (N, D) as `noise_draws` draws it.
        conditions : as many prompts, or class labels, where the pipeline takes them.
        options : of this call alone, in place of what the sampler gives; `output_type="latent"` for
            latents in place of images.
        """
        self._blackened = 0
        with torch.no_grad():
            images = self._draw(list(given), self._numbered(conditions), options or {})
        return Drawn(images, self._meter.take(), self._blackened)

    def forget(self) -> None:
        """Drop what was counted of a call that raised."""
        self._meter.take()

    def _numbered(self, conditions: Conditions) -> Conditions:
        """Class names by their numbers, where the pipeline knows them by name."""
        if self.call.condition != "class_labels" or conditions is None:
            return conditions
        names = getattr(self.pipeline, "labels", {})
        return [int(names.get(c, c)) for c in conditions]  # tables of text have '207'

    def _draw(
        self, given: list[int] | list[Tensor], conditions: Conditions, options: Mapping[str, Any]
    ) -> Tensor:
        if self.call.condition != "prompt" or conditions is None:
            return self._call(given, conditions, options)
        if self._encodes or len(set(conditions)) == 1:
            try:
                return self._call(given, conditions, options)
            except RaggedPromptsError:
                pass
        return self._one_prompt_a_call(given, conditions, options)

    def _one_prompt_a_call(
        self, given: list[Any], prompts: Sequence[Any], options: Mapping[str, Any]
    ) -> Tensor:
        rows: dict[int, Tensor] = {}
        for prompt in dict.fromkeys(prompts):
            these = [i for i, other in enumerate(prompts) if other == prompt]
            images = self._call([given[i] for i in these], [prompt] * len(these), options)
            rows.update(zip(these, images, strict=True))
        return torch.stack([rows[i] for i in range(len(given))])

    def _call(self, given: list[Any], conditions: Conditions, options: Mapping[str, Any]) -> Tensor:
        own = self.call.arguments(len(given), conditions, self._steps, self._options)
        taken = {**own, **options}
        with _out_of_memory_raised(), self._generators(given) as generators:
            output = self.pipeline(generator=generators, **taken)
        self._blackened += sum(getattr(output, "nsfw_content_detected", None) or [])
        images = as_tensor(getattr(output, "images", None))
        are_images = images is not None and images.dim() == 4
        if images is None or not (are_images or _latents(options)) or len(images) != len(given):
            shape = "no images" if images is None else f"images of shape {tuple(images.shape)}"
            raise RunError(
                f"{type(self.pipeline).__name__} gave {shape} for {len(given)} seeds; it must be "
                f"({len(given)}, channels, height, width)"
            )
        return images

    @contextmanager
    def _generators(self, given: list[Any]) -> Iterator[list[torch.Generator]]:
        """A generator a sample; of the first call it is noted what is asked of the first one."""
        if isinstance(given[0], Tensor):
            assert self.noise_draws is not None, "noise is drawn as a call from seeds showed"
            with GivenNoise(given, self.noise_draws) as mode:
                yield mode.generators
            return
        generators = seeded(given)
        if self.noise_draws is not None:
            yield generators
            return
        with NotedNoise(generators[0]) as noted:
            yield generators
        self.noise_draws = noted.draws


def _latents(options: Mapping[str, Any]) -> bool:
    return options.get("output_type") == "latent"


@contextmanager
def _out_of_memory_raised() -> Iterator[None]:
    """Some pipelines (Sana) warn that the decoder ran out of memory, and stumble over it later."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="(?s).*out of memory")
        try:
            yield
        except UserWarning as error:
            raise torch.OutOfMemoryError(str(error)) from error


def as_tensor(images: Any) -> Tensor | None:
    """Images as pipelines give them, as (N, C, H, W) float32 on the CPU; None for anything else.

    Most give arrays (N, H, W, C); those that know no output types, tensors or PIL images.
    """
    if isinstance(images, Tensor):
        return images.float().cpu()
    if isinstance(images, list) and images and hasattr(images[0], "convert"):
        images = np.stack([np.asarray(image) for image in images]) / np.float32(255)
        images = images if images.ndim == 4 else images[..., None]
    if isinstance(images, np.ndarray) and images.ndim == 4:
        return torch.from_numpy(images).permute(0, 3, 1, 2).float().contiguous()
    return None
