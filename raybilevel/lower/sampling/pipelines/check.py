"""What can be refused of a pipeline before it draws: from JSON and tokenizers, or as loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raybilevel.errors import InputError
from raybilevel.lower.sampling.pipelines.classes import scheduler_class
from raybilevel.lower.sampling.pipelines.conditions import check_conditions
from raybilevel.lower.sampling.pipelines.description import PipelineDescription, is_part
from raybilevel.lower.sampling.pipelines.loading import files_to_load
from raybilevel.lower.sampling.pipelines.settings import (
    DTYPES,
    MODEL_OPTIONS,
    OFFLOADS,
    SLICINGS,
    PipelineSettings,
)

_NO_IMAGES = {
    "num_frames": "video",
    "video_length": "video",
    "num_videos_per_prompt": "video",
    "audio_length_in_s": "sound",
    "audio_end_in_s": "sound",
    "frame_size": "views of a solid",
}
"""Arguments that tell that a call makes something else, and what."""

_GIVEN_IMAGES = ("mask_image", "control_image", "strength", "adapter_conditioning_scale")
_GUESTS = ("controlnet", "adapter")
"""Arguments and parts of pipelines that start from an image, a mask or a control."""


def check_stock_pipeline(
    described: PipelineDescription,
    settings: PipelineSettings,
    conditions: Sequence[Any] | None = None,
) -> list[str]:
    """Refuse what the sampler could not use; no weights are read.

    Parameters
    ----------
    conditions : prompts or class labels, as the run will give them.

    Returns
    -------
    Remarks: what a user should know.

    Raises
    ------
    InputError
        Naming what is wrong, and what would be right.
    """
    _check_draws_images(described)
    _check_model_options(described, settings)
    described = described.leaving_out(settings.without)
    remarks = [] if described.is_loaded else list(files_to_load(described, settings).remarks)
    _check_options(described, settings.call_options)
    _check_steps(described, settings.sampling_steps)
    if settings.dtype not in DTYPES:
        raise InputError(f"dtype is {settings.dtype!r}, but it is one of {', '.join(DTYPES)}")
    if settings.scheduler is not None:
        scheduler_class(settings.scheduler)
    remarks += check_conditions(described, conditions, settings.call_options)
    if "safety_checker" in described.parts:
        remarks.append(f"the safety checker of {described.named} is off")
    return remarks


def _check_draws_images(described: PipelineDescription) -> None:
    call, kind = described.call, described.kind
    for name, what in _NO_IMAGES.items():
        if name in call.parameters:
            raise InputError(f"{kind} draws {what}; give a model that draws images")
    wanted = [name for name in _GIVEN_IMAGES if name in call.parameters]
    wanted += [part for part in _GUESTS if part in described.parts]
    if "image" in call.parameters and not _draws_from_text(described.made):
        wanted.insert(0, "image")
    wanted = list(dict.fromkeys(wanted + call.required))
    if wanted:
        raise InputError(
            f"{kind} needs more than a prompt, a class label or noise ({', '.join(wanted)}); give "
            "a model that draws from these alone"
        )
    if "generator" not in call.parameters:
        raise InputError(f"{kind} takes no generator, so that no seed would decide its images")


def _draws_from_text(made: type) -> bool:
    """Whether diffusers itself lists a class that can be given images among those without."""
    from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING

    return made in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()


def _check_model_options(described: PipelineDescription, settings: PipelineSettings) -> None:
    """Refuse what is not known, and parts that the pipeline does not have."""
    for name, value in settings.model_options.items():
        if name in MODEL_OPTIONS or (is_part(described.index.get(name)) and value is None):
            continue
        raise InputError(
            f"model_options has '{name}', but what is known is {', '.join(MODEL_OPTIONS)}, and as "
            f"null the parts of {described.named}: {', '.join(described.parts)}"
        )
    if settings.offload not in (None, *OFFLOADS):
        raise InputError(
            f"model_options.offload is {settings.offload!r}, but it is one of {', '.join(OFFLOADS)}"
        )
    for what in settings.slicing:
        if what not in SLICINGS:
            raise InputError(
                f"model_options.slicing has {what!r}, but it is some of {', '.join(SLICINGS)}"
            )


def _check_options(described: PipelineDescription, options: Mapping[str, Any]) -> None:
    if "num_inference_steps" in options:
        raise InputError("call_options has num_inference_steps; give it as sampling_steps")
    for name in options:
        if name not in described.call.options:
            raise InputError(
                f"call_options has '{name}', but what {described.made.__name__} can be given is "
                f"{', '.join(described.call.options)}"
            )


def _check_steps(described: PipelineDescription, steps: int | None) -> None:
    if steps is None:
        return
    if "num_inference_steps" not in described.call.parameters:
        raise InputError(f"sampling_steps is {steps}, but {described.kind} takes no such number")
    scheduler = described.config("scheduler", "scheduler_config.json") or {}
    most = scheduler.get("num_train_timesteps", 1000)
    if not 1 <= steps <= most:
        raise InputError(
            f"sampling_steps is {steps}, but {described.kind} takes from 1 to {most} of them"
        )
