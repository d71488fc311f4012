"""Models that are functions without arguments, which return a pipeline: LoRA, quantised, one file.

The other functions that a model may be take seeds: they are samplers of their own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from raybilevel.errors import InputError
from raybilevel.imports import said_in_a_sentence
from raybilevel.lower.sampling.pipelines.check import check_stock_pipeline
from raybilevel.lower.sampling.pipelines.loaded_description import described_pipeline
from raybilevel.lower.sampling.pipelines.loading import as_asked
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings
from raybilevel.lower.sampling.progress_bars import without_bars

_CHANGING = ("safety_checker", "watermark", "watermarker")
"""What changes images after they are drawn, by the pipeline's attributes."""


def returns_pipeline(model: Any) -> bool:
    """Whether a callable can be called without any argument, so that it must return a pipeline.

    A sampler takes seeds. What is called with noise has `noise_shape`.
    """
    if not callable(model) or hasattr(model, "noise_shape"):
        return False
    try:
        taken = inspect.signature(model).parameters.values()
    except (TypeError, ValueError):  # of some builtins
        return False
    return all(p.default is not p.empty or p.kind is p.VAR_KEYWORD for p in taken)


def pipeline_returned(
    make: Callable[[], Any],
    settings: PipelineSettings,
    device: str,
    conditions: Sequence[Any] | None = None,
    named: str = "model",
) -> tuple[Any, list[str]]:
    """The pipeline that a function returns, checked as one in a directory is, and as asked for.

    Parameters
    ----------
    conditions : prompts or class labels, as the run will give them.
    named : what sentences call the function.

    Returns
    -------
    The pipeline, and remarks: what a user should know.

    Raises
    ------
    InputError
        If the function raises or returns anything else; and what `check_stock_pipeline` and
        `save_memory` raise.
    """
    check_is_function(make, named)
    with said_in_a_sentence(named, "being called without arguments"), without_bars():
        pipeline = make()
    _check_is_pipeline(pipeline, named)
    remarks = check_stock_pipeline(described_pipeline(pipeline, named), settings, conditions)
    for part in _CHANGING:
        if getattr(pipeline, part, None) is not None:
            setattr(pipeline, part, None)
    return as_asked(pipeline, settings, device, named), remarks


def check_is_function(make: Any, named: str) -> None:
    """Refuse a loaded pipeline, which can be called without arguments too, by its signature."""
    from diffusers import DiffusionPipeline

    if isinstance(make, DiffusionPipeline):
        raise InputError(
            f"{named} is a loaded {type(make).__name__}, which is not sent to workers; give a "
            "function without arguments that returns it"
        )


def _check_is_pipeline(pipeline: Any, named: str) -> None:
    from diffusers import DiffusionPipeline

    if not isinstance(pipeline, DiffusionPipeline):
        raise InputError(
            f"{named} takes no arguments, so that it must return a diffusers pipeline, but it "
            f"returned a {type(pipeline).__name__}; a sampler takes a list of seeds"
        )
