"""What kind of images a pipeline draws, from its JSON alone: no weights, and no torch as a rule."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybilevel.errors import InputError
from raybilevel.lower.sampling.pipeline_files import PipelineFiles, find_files
from raybilevel.lower.sampling.pipeline_folders import NETWORK

_DEFAULT_STEPS = 50


@dataclass(frozen=True)
class PipelineInfo:
    """An unconditional pixel-space pipeline.

    Attributes
    ----------
    image_shape : (C, H, W) of its images.
    sampling_steps : scheduler steps to sample with.
    files : where it lies.
    """

    image_shape: tuple[int, int, int]
    sampling_steps: int
    files: PipelineFiles


def check_pipeline(
    directory: Path | str,
    sampling_steps: int | None = None,
    where: str = "model",
    variant: str | None = None,
) -> PipelineInfo:
    """Read what `directory` holds, and refuse what the sampler could not use.

    Parameters
    ----------
    sampling_steps
        In [1, the scheduler's num_train_timesteps]; None for 50, or all where there are fewer.
    where
        The argument that holds the directory, for the error's sentence.
    variant
        Of the weights, as `find_files` takes it.

    Raises
    ------
    InputError
        What `find_files` raises; and if the pipeline is another kind than unconditional and
        pixel-space, cannot take that many steps, or cannot take its own image size.
    """
    files = find_files(directory, where, variant)
    shape = _image_shape(files.unet, files.named)
    steps = _check_steps(sampling_steps, files.scheduler.get("num_train_timesteps", 1000), files)
    _check_size(files, shape)
    return PipelineInfo(shape, steps, files)


def _image_shape(unet: dict[str, Any], named: str) -> tuple[int, int, int]:
    if unet.get("_class_name") != NETWORK or _is_conditional(unet):
        raise InputError(
            f"{named} has a conditional network; only unconditional UNet2DModels are supported yet"
        )
    size = unet.get("sample_size")
    if size is None:
        raise InputError(f"{named} has no sample_size in unet/config.json; set the image's size")
    height, width = (size, size) if isinstance(size, int) else size
    return unet.get("in_channels", 3), height, width


def _is_conditional(unet: dict[str, Any]) -> bool:
    return unet.get("num_class_embeds") is not None or unet.get("class_embed_type") is not None


def _check_steps(steps: int | None, train_steps: int, files: PipelineFiles) -> int:
    if steps is None:
        return min(_DEFAULT_STEPS, train_steps)
    if not 1 <= steps <= train_steps:
        raise InputError(
            f"sampling_steps is {steps}, but {files.named} takes from 1 to {train_steps} of them"
        )
    return steps


def _check_size(files: PipelineFiles, shape: tuple[int, int, int]) -> None:
    """Refuse a size that the network cannot halve and double again.

    Most networks halve between any two blocks, but not all: where the size looks wrong, one without
    weights is tried, for which diffusers has to be imported.
    """
    _, height, width = shape
    halved = len(files.unet.get("down_block_types") or (1,) * 4) - 1
    if height % 2**halved == 0 and width % 2**halved == 0:
        return
    from raybilevel.lower.sampling.network_probe import check_runs

    try:
        check_runs(files.unet, shape, files.named)
    except InputError as error:
        times = f"{halved} time{'s'[: halved > 1]}"
        raise InputError(
            f"{files.named} cannot take images of its own sample_size, {height} x {width}, as its "
            f"{halved + 1} blocks halve them {times}; give a model of another size"
        ) from error
