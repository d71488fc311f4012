"""Loading any diffusers pipeline as its makers publish it, with another scheduler if asked for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raybilevel.errors import InputError
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings
from raybilevel.lower.sampling.progress_bars import without_bars

_UNASKED = {
    "safety_checker": None,
    "requires_safety_checker": False,
    "feature_extractor": None,  # the safety checker's, and without an image encoder nobody else's
    "watermarker": None,
    "add_watermarker": False,
}
"""Parts that change images after they are drawn: a reward would see the change."""


def load_stock_pipeline(
    directory: Path | str, settings: PipelineSettings | None = None, device: str = "cpu"
) -> Any:
    """The pipeline in a directory, from safetensors alone, on the CPU, without what changes images.

    Parameters
    ----------
    device : that it will compute on, which decides what dtype "auto" is.

    Raises
    ------
    InputError
        What `pipeline_class` and `scheduler_class` raise.
    """
    import torch
    from diffusers import DiffusionPipeline

    settings = settings or PipelineSettings()
    index = DiffusionPipeline.load_config(str(directory), local_files_only=True)
    made = pipeline_class(index["_class_name"], str(directory))
    automatic = "float32" if device == "cpu" else "bfloat16"
    with without_bars():
        pipeline = DiffusionPipeline.from_pretrained(
            str(directory),
            local_files_only=True,
            use_safetensors=True,
            dtype=getattr(torch, automatic if settings.dtype == "auto" else settings.dtype),
            **(left_out(made) | dict(settings.model_options)),
        )
    if settings.scheduler is not None:
        set_scheduler(pipeline, settings.scheduler)
    return pipeline


def set_scheduler(pipeline: Any, scheduler: Mapping[str, Any]) -> None:
    """Give a pipeline another scheduler, made from the config of the one that it has."""
    made, config = scheduler_class(scheduler), pipeline.scheduler.config
    pipeline.scheduler = made.from_config(config, **scheduler.get("options", {}))


def pipeline_class(name: Any, named: str) -> type:
    """The class that a model's index names.

    Raises
    ------
    InputError
        If diffusers has none of that name (one that comes with its own code is not run), or lacks
        a package that it needs.
    """
    import diffusers

    found = getattr(diffusers, name, None) if isinstance(name, str) else None
    if isinstance(found, diffusers.utils.DummyObject):
        raise InputError(
            f"{named} is a {name}, which needs {', '.join(found._backends)}, and one of them is "
            "not installed; pip install 'raybilevel[text]' for text models"
        )
    if not isinstance(found, type) or not issubclass(found, diffusers.DiffusionPipeline):
        raise InputError(
            f"{named} is a {name}, which diffusers {diffusers.__version__} does not have, and code "
            "that comes with a model is not run; give a model of a class that diffusers has"
        )
    return found


def left_out(made: type) -> dict[str, Any]:
    """What a pipeline class is given so that it draws without safety checker and watermark."""
    taken = inspect.signature(made.__init__).parameters  # type: ignore[misc]
    given = {name: value for name, value in _UNASKED.items() if name in taken}
    return given if given.keys() - {"feature_extractor"} else {}


def scheduler_class(scheduler: Mapping[str, Any]) -> Any:
    """The class that `scheduler` names, which takes its options.

    Raises
    ------
    InputError
        If there is none of that name, or it takes no such option.
    """
    import diffusers

    name = scheduler.get("class")
    found = getattr(diffusers, name, None) if isinstance(name, str) else None
    if not isinstance(found, type) or not issubclass(found, diffusers.SchedulerMixin):
        raise InputError(
            f"scheduler.class is {name!r}, but diffusers {diffusers.__version__} has no scheduler "
            "of that name; give one such as DPMSolverMultistepScheduler"
        )
    taken = list(inspect.signature(found).parameters)
    for option in scheduler.get("options", {}):
        if option not in taken:
            raise InputError(
                f"scheduler.options has '{option}', but {name} takes {', '.join(taken)}"
            )
    return found
