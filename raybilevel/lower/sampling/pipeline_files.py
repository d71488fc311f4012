"""What a diffusers pipeline directory holds, from its JSON alone: no weights, no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybilevel.errors import InputError

_DEFAULT_STEPS = 50
_PARTS = {"unet", "scheduler"}


@dataclass(frozen=True)
class PipelineInfo:
    """An unconditional pixel-space pipeline.

    Attributes
    ----------
    image_shape : (C, H, W) of its images.
    sampling_steps : scheduler steps to sample with.
    """

    image_shape: tuple[int, int, int]
    sampling_steps: int


def check_pipeline(
    directory: Path | str, sampling_steps: int | None = None, where: str = "model"
) -> PipelineInfo:
    """Read what `directory` holds, and refuse what the sampler could not use.

    Parameters
    ----------
    sampling_steps
        In [1, the scheduler's num_train_timesteps]; None for 50, or all where there are fewer.
    where
        The argument that holds the directory, for the error's sentence.

    Raises
    ------
    InputError
        If there is no such directory, it is no pipeline, the pipeline is another kind than
        unconditional and pixel-space, or cannot take that many steps.
    """
    directory = Path(directory)
    named = f"{where} '{directory}'"
    if not directory.is_dir():
        raise InputError(f"{named} is not a directory; give one that holds a diffusers pipeline")
    _check_parts(read_config(directory / "model_index.json", named), named)
    unet = read_config(directory / "unet" / "config.json", named)
    scheduler = read_config(directory / "scheduler" / "scheduler_config.json", named)
    if not any((directory / "unet").glob("*.safetensors")):
        raise InputError(
            f"{named} has no safetensors in unet/; save it with safe_serialization=True"
        )
    steps = _check_steps(sampling_steps, scheduler["num_train_timesteps"], named)
    return PipelineInfo(_image_shape(unet, named), steps)


def read_config(path: Path, named: str) -> dict[str, Any]:
    """A JSON file of the pipeline `named`; `InputError` where there is none, or it is damaged."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise InputError(
            f"{named} is no diffusers pipeline, it has no {path.parent.name}/{path.name}; "
            "give a directory written by save_pretrained"
        ) from error
    except json.JSONDecodeError as error:
        raise InputError(f"{named} is damaged: {path} is not JSON ({error})") from error
    return content


def _check_parts(index: dict[str, Any], named: str) -> None:
    parts = {key for key, value in index.items() if isinstance(value, list) and all(value)}
    if parts != _PARTS:
        raise InputError(
            f"{named} is a {index.get('_class_name')} of {', '.join(sorted(parts))}; only "
            "unconditional pixel-space pipelines of a unet and a scheduler are supported yet, "
            "such as DDPMPipeline and DDIMPipeline, and no text-to-image or latent ones"
        )


def _image_shape(unet: dict[str, Any], named: str) -> tuple[int, int, int]:
    if unet["_class_name"] != "UNet2DModel" or _is_conditional(unet):
        raise InputError(
            f"{named} has a conditional network; only unconditional UNet2DModels are supported yet"
        )
    size = unet["sample_size"]
    if size is None:
        raise InputError(f"{named} has no sample_size in unet/config.json; set the image's size")
    height, width = (size, size) if isinstance(size, int) else size
    return unet["in_channels"], height, width


def _is_conditional(unet: dict[str, Any]) -> bool:
    return unet.get("num_class_embeds") is not None or unet.get("class_embed_type") is not None


def _check_steps(steps: int | None, train_steps: int, named: str) -> int:
    if steps is None:
        return min(_DEFAULT_STEPS, train_steps)
    if not 1 <= steps <= train_steps:
        raise InputError(
            f"sampling_steps is {steps}, but {named} takes from 1 to {train_steps} of them"
        )
    return steps
