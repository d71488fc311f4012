"""What a pipeline's call costs: rows through its denoiser, and seconds in each of its parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

PARTS = ("encoder", "denoiser", "decoder")


@dataclass
class DrawCost:
    """What one or more calls cost.

    Attributes
    ----------
    nfe : rows that went through the denoiser; with classifier-free guidance two a step and sample.
    seconds : in the text encoders, the denoiser and the decoder.
    """

    nfe: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))

    def __add__(self, other: DrawCost) -> DrawCost:
        """Of both."""
        both = {part: self.seconds[part] + other.seconds[part] for part in PARTS}
        return DrawCost(self.nfe + other.nfe, both)


class PipelineMeter:
    """Counts by forward hooks on a pipeline's modules, which leave what they compute alone.

    Parameters
    ----------
    components : of the pipeline.
    device : where they compute: on a GPU times are taken by its own events, without waiting for it.
    """

    def __init__(self, components: Mapping[str, Any], device: torch.device) -> None:
        self._device = device
        self._rows = 0
        self._spans: list[tuple[str, Any, Any]] = []
        for part, modules in parts_of(components).items():
            for module in modules:
                self._watch(part, module)

    def take(self) -> DrawCost:
        """What was spent since this was last asked."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        cost = DrawCost(nfe=self._rows)
        for part, begun, ended in self._spans:
            cost.seconds[part] += _between(begun, ended)
        self._rows, self._spans = 0, []
        return cost

    def _watch(self, part: str, module: nn.Module) -> None:
        begun: list[Any] = []

        def before(*_: Any) -> None:
            begun.append(self._now())

        def after(_module: nn.Module, _given: Any, output: Any) -> None:
            self._spans.append((part, begun.pop(), self._now()))
            if part == "denoiser":
                self._rows += rows_of(output)

        module.register_forward_pre_hook(before)
        module.register_forward_hook(after)

    def _now(self) -> Any:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event


def parts_of(components: Mapping[str, Any]) -> dict[str, list[nn.Module]]:
    """The modules of a pipeline by what they are for.

    A codec is what can `decode`; what else diffusers has made (and all that is called a unet or
    transformer, whoever made it) evaluates the network; the rest reads prompts.
    """
    from diffusers import ModelMixin

    parts: dict[str, list[nn.Module]] = {part: [] for part in PARTS}
    for name, module in components.items():
        if not isinstance(module, nn.Module):
            continue
        if hasattr(module, "decode"):
            decoder = getattr(module, "decoder", None)
            parts["decoder"] += [decoder] if isinstance(decoder, nn.Module) else []
        else:
            networks = isinstance(module, ModelMixin) and not name.startswith("text_")
            named = name.startswith(("unet", "transformer"))
            parts["denoiser" if networks or named else "encoder"].append(module)
    return parts


def rows_of(output: Any) -> int:
    """Rows of what a network gave: a tensor, the first of a tuple or output class, or a list."""
    while not isinstance(output, (Tensor, list)):
        output = output[0]
    return len(output)


def _between(begun: Any, ended: Any) -> float:
    if isinstance(begun, float):
        return float(ended - begun)
    milliseconds: Callable[[Any], float] = begun.elapsed_time
    return milliseconds(ended) / 1000
