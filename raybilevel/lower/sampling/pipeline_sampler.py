"""Drawing from any diffusers pipeline by its own call: a sample is decided by seed and prompt."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raybilevel.errors import RunError
from raybilevel.lower.sampling.pipeline_call import PipelineCall
from raybilevel.lower.sampling.pipeline_meter import Cost, PipelineMeter
from raybilevel.lower.sampling.prompt_encoder import PromptEncoder, RaggedPromptsError

Conditions = Sequence[str] | Sequence[int] | None


@dataclass(frozen=True)
class Drawn:
    """Samples and what they cost.

    Attributes
    ----------
    images : (N, C, H, W) float32 in [0, 1], on the CPU.
    cost : of all of them.
    """

    images: Tensor
    cost: Cost


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
        _evaluate_alone(pipeline)
        place = torch.device(device)
        off_device = _place(pipeline, place)
        self._encodes = hasattr(pipeline, "encode_prompt")
        if self._encodes:
            pipeline.encode_prompt = PromptEncoder(pipeline.encode_prompt, place, off_device)
        self._meter = PipelineMeter(pipeline.components, place)

    def draw(self, seeds: Sequence[int], conditions: Conditions = None) -> Drawn:
        """Draw one image a seed.

        Parameters
        ----------
        conditions : as many prompts, or class labels, where the pipeline takes them.
        """
        with torch.no_grad():
            images = self._draw(list(seeds), self._numbered(conditions))
        return Drawn(images, self._meter.take())

    def _numbered(self, conditions: Conditions) -> Conditions:
        """Class names by their numbers, where the pipeline knows them by name."""
        if self.call.condition != "class_labels" or conditions is None:
            return conditions
        return [self.pipeline.labels[c] if isinstance(c, str) else c for c in conditions]

    def _draw(self, seeds: list[int], conditions: Conditions) -> Tensor:
        if self.call.condition != "prompt" or conditions is None:
            return self._call(seeds, conditions)
        if self._encodes or len(set(conditions)) == 1:
            try:
                return self._call(seeds, conditions)
            except RaggedPromptsError:
                pass
        return self._one_prompt_a_call(seeds, conditions)

    def _one_prompt_a_call(self, seeds: list[int], prompts: Sequence[Any]) -> Tensor:
        rows: dict[int, Tensor] = {}
        for prompt in dict.fromkeys(prompts):
            these = [i for i, other in enumerate(prompts) if other == prompt]
            images = self._call([seeds[i] for i in these], [prompt] * len(these))
            rows.update(zip(these, images, strict=True))
        return torch.stack([rows[i] for i in range(len(seeds))])

    def _call(self, seeds: list[int], conditions: Conditions) -> Tensor:
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        given = self.call.arguments(len(seeds), conditions, self._steps, self._options)
        with _out_of_memory_raised():
            output = self.pipeline(generator=generators, **given)
        images = as_tensor(getattr(output, "images", None))
        if images is None or images.dim() != 4 or len(images) != len(seeds):
            shape = "no images" if images is None else f"images of shape {tuple(images.shape)}"
            raise RunError(
                f"{type(self.pipeline).__name__} gave {shape} for {len(seeds)} seeds; it must be "
                f"({len(seeds)}, channels, height, width)"
            )
        return images


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


def _evaluate_alone(pipeline: Any) -> None:
    for module in _modules(pipeline).values():
        module.eval().requires_grad_(False)


def _modules(pipeline: Any) -> dict[str, nn.Module]:
    parts: Mapping[str, Any] = pipeline.components
    return {name: part for name, part in parts.items() if isinstance(part, nn.Module)}


def _place(pipeline: Any, device: torch.device) -> Callable[[], None]:
    """Put the modules on a device; returns what takes the text encoders off it again.

    A pipeline that offloads its modules, or was loaded with a device map, knows their places. What
    is quantised may be on the GPU already, and then stays there.
    """
    modules = _modules(pipeline)
    by_itself = any(hasattr(module, "_hf_hook") for module in modules.values())
    if by_itself or getattr(pipeline, "hf_device_map", None) is not None:
        return lambda: None
    returning = set()
    if device.type != "cpu" and hasattr(pipeline, "encode_prompt"):
        returning = {name for name in modules if name.startswith("text_encoder")}
    free = {name: module for name, module in modules.items() if not _is_quantised(module)}
    for name in free.keys() - returning:
        free[name].to(device)
    return partial(_offload, [_called_on(free[name], device) for name in free.keys() & returning])


def _is_quantised(module: nn.Module) -> bool:
    return getattr(module, "hf_quantizer", None) is not None


def _called_on(module: nn.Module, device: torch.device) -> Any:
    """Let a module be on the device from its call until its hook's `offload`."""
    from accelerate import cpu_offload_with_hook

    return cpu_offload_with_hook(module, device)[1]


def _offload(hooks: Sequence[Any]) -> None:
    for hook in hooks:
        hook.offload()
