"""Which kind of model a user's `model` is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raybilevel.errors import InputError
from raybilevel.imports import resolve
from raybilevel.lower.pretrained import PRETRAINED, pipeline_directory
from raybilevel.lower.sampling.pipeline_files import is_pixel_space, is_pixel_space_index
from raybilevel.lower.sampling.pipelines.callables import returns_pipeline
from raybilevel.lower.sampling.pipelines.hub import commit_of, describe_hub, is_hub_name
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
    **drawing: Any,
) -> Model:
    """The model that `spec` names.

    Parameters
    ----------
    spec : a pipeline directory, a name of what comes along or of the hub, an import path, or a
        callable.
    settings : how a pipeline is loaded and called.
    drawing : further arguments of `PipelineModel`.

    Raises
    ------
    InputError
        If settings of pipelines are given for what is none.
    """
    if not isinstance(spec, str) or ":" in spec:
        function = resolve(spec, "model") if isinstance(spec, str) else spec
        if returns_pipeline(function):
            return PipelineModel(spec, settings, prompts, **drawing)
        _refuse_settings(settings)
        return FunctionModel(spec, prompts)
    if not _is_pixel_space(spec, settings):
        return PipelineModel(spec, settings, prompts, **drawing)
    for name in ("call_options", "scheduler"):
        if getattr(settings, name):
            raise InputError(
                f"{name} is given, but model '{spec}', a pixel-space pipeline, is drawn from by "
                "the steps of its own scheduler; leave it out, or save the model as you want it"
            )
    return PixelModel(spec, settings, prompts)


def _is_pixel_space(spec: str, settings: PipelineSettings) -> bool:
    if spec in PRETRAINED:
        return is_pixel_space(pipeline_directory(spec))
    if not is_hub_name(spec):
        return is_pixel_space(spec)
    index = describe_hub(spec, commit_of(spec, settings.revision)).index
    return is_pixel_space_index(index)


def _refuse_settings(settings: PipelineSettings) -> None:
    """A function of seeds is called with these alone."""
    given = {
        "call_options": bool(settings.call_options),
        "scheduler": settings.scheduler is not None,
        "dtype": settings.dtype != "auto",
        "model_options": any(settings.model_options.values()) or bool(settings.without),
    }
    for name in (name for name, is_given in given.items() if is_given):
        raise InputError(
            f"{name} is given, but the model is a callable, which draws by itself; leave it out"
        )
