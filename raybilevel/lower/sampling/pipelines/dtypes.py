"""What a pipeline computes in: told by the headers of its weights, which are not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybilevel.lower.sampling.weight_files import Weights

if TYPE_CHECKING:
    import torch

_DENOISERS = ("unet", "transformer", "prior")  # how parts begin whose dtype the images depend on
_EIGHT_BITS = {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}


def choose_dtype(weights: Mapping[str, Weights], asked: str, device: str) -> torch.dtype:
    """The dtype that all of a pipeline computes in.

    "auto" is float32 on the CPU. On a GPU it is bfloat16, whose range is that of float32; but
    weights that are stored in float16 were tried in it by their makers, and keep it.

    Parameters
    ----------
    weights : by part.
    asked : one of `settings.DTYPES`.
    """
    import torch

    if asked != "auto":
        found: torch.dtype = getattr(torch, asked)
        return found
    if device == "cpu":
        return torch.float32
    denoisers = [part for part in weights if part.startswith(_DENOISERS)] or list(weights)
    stored = stored_as(path for part in denoisers for path in _files(weights[part]))
    return torch.float16 if stored == "F16" else torch.bfloat16


def keep_eight_bits(pipeline: Any, weights: Mapping[str, Weights], dtype: torch.dtype) -> None:
    """Store networks of diffusers' that are published in 8 bits so, and compute in `dtype`.

    By diffusers' own layerwise casting. What is quantised has a way of its own.
    """
    import torch
    from diffusers import ModelMixin

    for part, chosen in weights.items():
        module, stored = getattr(pipeline, part, None), stored_as(_files(chosen))
        is_quantised = getattr(module, "hf_quantizer", None) is not None
        if isinstance(module, ModelMixin) and stored in _EIGHT_BITS and not is_quantised:
            kept = getattr(torch, _EIGHT_BITS[stored])
            module.enable_layerwise_casting(storage_dtype=kept, compute_dtype=dtype)


def stored_as(paths: Iterable[Path]) -> str | None:
    """The dtype of most numbers in safetensors files, such as "F16"; None where there are none."""
    from safetensors import safe_open

    counts: Counter[str] = Counter()
    for path in paths:
        with safe_open(path, framework="numpy") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no mapping
                tensor = opened.get_slice(name)
                counts[tensor.get_dtype()] += _size(tensor.get_shape())
    return counts.most_common(1)[0][0] if counts else None


def _size(shape: Iterable[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _files(weights: Weights) -> list[Path]:
    found = weights.files(str(weights.path)).values()
    return [path for path in found if path.suffix == ".safetensors"]
