"""Which kind of model a user's `model` is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raybilevel.errors import InputError
from raybilevel.lower.pretrained import pipeline_directory
from raybilevel.lower.sampling.pipeline_files import is_pixel_space
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings
from raybilevel.problems.reward.models.base import Model
from raybilevel.problems.reward.models.function import FunctionModel
from raybilevel.problems.reward.models.pipeline import PipelineModel
from raybilevel.problems.reward.models.pixels import PixelModel
from raybilevel.problems.reward.prompts import PromptList


def choose_model(
    spec: str | Callable[..., Any],
    settings: PipelineSettings,
    prompts: PromptList | None,
    batch_size: int | None,
    *,
    may_halve: bool,
) -> Model:
    """The model that `spec` names.

    Parameters
    ----------
    spec : a pipeline directory, a name of what comes along, an import path, or a callable.
    settings : how a pipeline is loaded and called.

    Raises
    ------
    InputError
        If settings of pipelines are given for what is none.
    """
    if not isinstance(spec, str) or ":" in spec:
        _refuse_settings(settings)
        return FunctionModel(spec, prompts)
    if not is_pixel_space(pipeline_directory(spec)):
        return PipelineModel(spec, settings, prompts, batch_size, may_halve)
    if settings.call_options:
        raise InputError(
            f"call_options are given, but model '{spec}' is drawn from by steps of its scheduler "
            "alone; leave them out"
        )
    variant = settings.model_options.get("variant")
    return PixelModel(spec, settings.sampling_steps, settings.dtype, variant, prompts)


def _refuse_settings(settings: PipelineSettings) -> None:
    """A function of seeds is called with these alone."""
    given = {
        "call_options": bool(settings.call_options),
        "scheduler": settings.scheduler is not None,
        "dtype": settings.dtype != "auto",
    }
    for name in (name for name, is_given in given.items() if is_given):
        raise InputError(
            f"{name} is given, but the model is a callable, which draws by itself; leave it out"
        )
