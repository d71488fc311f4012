"""Where the modules of a pipeline are: its text encoders on the GPU only while they encode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn


def evaluate_only(pipeline: Any) -> None:
    """No dropout, and no gradient of the weights."""
    for module in _modules(pipeline).values():
        module.eval().requires_grad_(False)


def _modules(pipeline: Any) -> dict[str, nn.Module]:
    parts: Mapping[str, Any] = pipeline.components
    return {name: part for name, part in parts.items() if isinstance(part, nn.Module)}


def put(pipeline: Any, device: torch.device) -> Callable[[], None]:
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
