"""Which kind of model a user's `model` is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from raybilevel.errors import InputError
from raybilevel.imports import resolve
from raybilevel.lower.hub import commit_of, is_hub_name
from raybilevel.lower.pretrained import PRETRAINED, pipeline_directory
from raybilevel.lower.sampling.pipeline_files import is_pixel_space, is_pixel_space_index
from raybilevel.lower.sampling.pipelines.callables import returns_pipeline
from raybilevel.lower.sampling.pipelines.hub import describe_hub
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings
from raybilevel.problems.model_options import refuse_options
from raybilevel.problems.prompts.prompt_list import PromptList
from raybilevel.problems.reward.models.base import Model
from raybilevel.problems.reward.models.function import FunctionModel
from raybilevel.problems.reward.models.pipeline import PipelineModel
from raybilevel.problems.reward.models.pixels import PixelModel

_CALLABLE = "the model is a callable"


def choose_model(
    spec: str | Callable[..., Any],
    settings: PipelineSettings,
    prompts: PromptList | None,
    *,
    by_call: bool = False,
    **drawing: Any,
) -> Model:
    """The model that `spec` names.

    Parameters
    ----------
    spec : a pipeline directory, a name of what comes along or of the hub, an import path, or a
        callable.
    settings : how a pipeline is loaded and called.
    by_call : whether a pixel-space pipeline is drawn from by its own call too, as all others are,
        and as it is where a scheduler or options of the call are given.
    drawing : further arguments of `PipelineModel`.

    Raises
    ------
    InputError
        If settings are given that the model has no use for.
    """
    if not isinstance(spec, str) or ":" in spec:
        _refuse_files(settings)
        function = resolve(spec, "model") if isinstance(spec, str) else spec
        if returns_pipeline(function):
            _refuse_dtype(settings)
            return PipelineModel(spec, settings, prompts, **drawing)
        _refuse(_of_pipelines(settings, drawing), f"{_CALLABLE}, which draws by itself")
        return FunctionModel(spec, prompts)
    on_hub = spec not in PRETRAINED and is_hub_name(spec)
    if not on_hub:
        reason = "only a model of the Hugging Face hub has revisions"
        refuse_options({"revision": settings.revision}, reason)
    by_call = by_call or settings.scheduler is not None or bool(settings.call_options)
    if by_call or not _is_pixel_space(spec, on_hub, settings):
        return PipelineModel(spec, settings, prompts, **drawing, on_hub=on_hub)
    own = {"sampling_steps", "dtype"}  # and what ModelOptions says of files
    of_others = {k: v for k, v in _of_pipelines(settings, drawing).items() if k not in own}
    _refuse(of_others, f"model '{spec}', a pixel-space pipeline, is drawn from as it is")
    return PixelModel(spec, settings, prompts, on_hub)


def _is_pixel_space(spec: str, on_hub: bool, settings: PipelineSettings) -> bool:
    if not on_hub:
        return is_pixel_space(pipeline_directory(spec))
    return is_pixel_space_index(describe_hub(spec, commit_of(spec, settings.revision)).index)


def _of_pipelines(settings: PipelineSettings, drawing: Mapping[str, Any]) -> dict[str, bool]:
    """Which settings of pipelines are given, by their names."""
    return {
        "sampling_steps": settings.sampling_steps is not None,
        "call_options": bool(settings.call_options),
        "scheduler": settings.scheduler is not None,
        "dtype": settings.dtype != "auto",
        "model_options": bool(settings.offload or settings.slicing or settings.without),
        "batch_size": drawing["batch_size"] is not None,
        "halve_batches": drawing["may_halve"],
        "gradient_checkpointing": drawing["gradient_checkpointing"],
    }


def _refuse_files(settings: PipelineSettings) -> None:
    """Refuse what says which of a pipeline's files are loaded."""
    of_files = {name: getattr(settings, name) for name in ("variant", "revision", "without")}
    refuse_options(of_files, f"{_CALLABLE}, which loads its own weights")


def _refuse_dtype(settings: PipelineSettings) -> None:
    if settings.dtype != "auto":
        raise InputError(
            f"dtype is '{settings.dtype}', but {_CALLABLE}, which loads its own weights; leave it "
            "out, and give the callable's from_pretrained that dtype"
        )


def _refuse(given: Mapping[str, bool], reason: str) -> None:
    for name in (name for name, is_given in given.items() if is_given):
        raise InputError(f"{name} is given, but {reason}; leave it out")
