"""A diffusers pipeline's files, wherever they lie, from its JSON alone: no weights, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybilevel.errors import InputError
from raybilevel.lower.sampling.json_config import read_config
from raybilevel.lower.sampling.pipeline_folders import find_folders, find_root
from raybilevel.lower.sampling.weight_files import Weights, choose_weights

_PARTS = {"unet", "scheduler"}
_AVERAGE = {
    "decay", "min_decay", "optimization_step", "update_after_step", "use_ema_warmup", "inv_gamma",
    "power",
}  # fmt: skip
"""What diffusers' `EMAModel` adds to the config of the network that it averages."""


@dataclass(frozen=True)
class PipelineFiles:
    """Where a pipeline of a unet and a scheduler lies, and its configs.

    Attributes
    ----------
    named : what sentences call it.
    folder : that its index is in; None where there is no index.
    index, unet, scheduler : what its JSON files hold.
    weights : of the unet.
    is_plain : whether `from_pretrained` takes `folder` as it is.
    remarks : what a user should know of the choice of files.
    """

    named: str
    folder: Path | None
    index: dict[str, Any]
    unet: dict[str, Any]
    scheduler: dict[str, Any]
    weights: Weights
    is_plain: bool
    remarks: tuple[str, ...]


def find_files(
    directory: Path | str, where: str = "model", variant: str | None = None
) -> PipelineFiles:
    """The files of the pipeline that a directory holds, in any of the forms of `find_folders`.

    Parameters
    ----------
    where : the argument that holds the directory, for the error's sentence.
    variant : of the weights; None for those without one, or else the only one.

    Raises
    ------
    InputError
        If there is no such pipeline, it has other parts, or its weights are not all there.
    """
    named = f"{where} '{directory}'"
    found = find_folders(directory, named)
    index = None if found.index is None else read_config(found.index, named)
    if index is not None:
        _check_parts(index, named)
    unet = read_config(found.unet / "config.json", named)
    scheduler = read_config(found.scheduler / "scheduler_config.json", named)
    weights = choose_weights(found.unet, variant, named)
    weights.files(named)  # all there
    return PipelineFiles(
        named,
        None if found.index is None else found.index.parent,
        index or _usual_index(unet, scheduler),
        {key: value for key, value in unet.items() if key not in _AVERAGE},
        scheduler,
        weights,
        found.is_usual and weights.variant is None,
        (*found.remarks, *_remarks(weights, variant, named)),
    )


def is_pixel_space(directory: Path | str) -> bool:
    """Whether what a directory holds is, or is to be, a pipeline of a unet and a scheduler.

    What holds no index is taken for one: its own sentences say what is missing.
    """
    root = find_root(directory, f"model '{directory}'")
    path = root / "model_index.json"
    return not path.is_file() or is_pixel_space_index(read_config(path, f"model '{directory}'"))


def is_pixel_space_index(index: Mapping[str, Any]) -> bool:
    """Whether an index is of a pipeline of a unet and a scheduler."""
    return _parts(index) == _PARTS


def _parts(index: Mapping[str, Any]) -> set[str]:
    return {key for key, value in index.items() if isinstance(value, list) and all(value)}


def _check_parts(index: dict[str, Any], named: str) -> None:
    parts = _parts(index)
    if parts != _PARTS:
        raise InputError(
            f"{named} is a {index.get('_class_name')} of {', '.join(sorted(parts))}; only "
            "unconditional pixel-space pipelines of a unet and a scheduler are supported yet, "
            "such as DDPMPipeline and DDIMPipeline, and no text-to-image or latent ones"
        )


def _usual_index(unet: dict[str, Any], scheduler: dict[str, Any]) -> dict[str, Any]:
    """The index of a network that was saved without one."""
    parts = {"unet": unet, "scheduler": scheduler}
    return {
        "_class_name": "DDPMPipeline",
        "_diffusers_version": unet.get("_diffusers_version", "0.0.0"),
        **{name: ["diffusers", config.get("_class_name")] for name, config in parts.items()},
    }


def _remarks(weights: Weights, asked: str | None, named: str) -> list[str]:
    if weights.variant == asked:
        return []
    return [f"{named} has its weights in the variant '{weights.variant}' alone, which is used"]
