"""A pipeline as its user takes it away: stock, with the scheduler and the call that a run used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raybilevel.lower.hub import commit_of
from raybilevel.lower.sampling.pipelines.classes import scheduler_class
from raybilevel.lower.sampling.pipelines.description import INDEX, PipelineDescription, is_part
from raybilevel.lower.sampling.pipelines.loading import files_to_load, left_out, scheduler_like
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings
from raybilevel.lower.sampling.pipelines.source import describe_source, whole

CALL = "call.json"

_SCHEDULER = "scheduler"
_TOLD = ("README", "LICENSE")  # how files begin that go with a copy


def export_pipeline(
    source: Path | str, settings: PipelineSettings, target: Path, *, export_weights: bool = False
) -> None:
    """Write what `DiffusionPipeline.from_pretrained` needs to draw as the run did.

    Of a directory the whole pipeline, by plain names, without the parts that the run left out. Of a
    model of the hub the scheduler alone, unless `export_weights`: the rest is where it was. The
    file `call.json` says how the run loaded and called it: `model` where it is one of the hub,
    `dtype`, further arguments of `from_pretrained` and of the pipeline's `call`, and what `offload`
    and `slicing` it had.

    Parameters
    ----------
    source : a directory, or `owner/name` of the hub.
    target : the folder that is written.

    Raises
    ------
    InputError
        What `describe_source` and `choose_files` raise.
    """
    target.mkdir(parents=True, exist_ok=True)
    told: dict[str, Any] = {}
    arguments: dict[str, Any] = dict(settings.without)
    if export_weights or isinstance(source, Path):
        _copy(whole(source, settings), settings, target)
    else:
        described = describe_source(source, settings)
        _write_scheduler(described, settings, target)
        told["model"] = name = source
        used = files_to_load(described, settings).variant
        variant = {} if used is None else {"variant": used}
        revision = {"revision": commit_of(name, settings.revision)}
        arguments = {**revision, **variant, **left_out(described.made), **arguments}
    told |= {"dtype": settings.dtype, "from_pretrained": arguments, "call": _call(settings)}
    (target / CALL).write_text(json.dumps(told | _switches(settings), indent=2) + "\n")


def _call(settings: PipelineSettings) -> dict[str, Any]:
    steps = settings.sampling_steps
    return ({} if steps is None else {"num_inference_steps": steps}) | dict(settings.call_options)


def _switches(settings: PipelineSettings) -> dict[str, Any]:
    given = {"offload": settings.offload, "slicing": list(settings.slicing)}
    return {name: value for name, value in given.items() if value}


def _copy(described: PipelineDescription, settings: PipelineSettings, target: Path) -> None:
    chosen = files_to_load(described, settings)
    for name, path in chosen.files.items():
        (target / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target / name)
    index = _index(described, settings)
    (target / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    if settings.scheduler is not None:
        _write_scheduler(described, settings, target)
    for name in described.names:
        if name.startswith(_TOLD) and "/" not in name and (described.directory / name).is_file():
            shutil.copyfile(described.directory / name, target / name)


def _index(described: PipelineDescription, settings: PipelineSettings) -> Mapping[str, Any]:
    """The index without the parts that were left out, and with the run's scheduler."""
    index = dict(described.index)
    for name, value in (left_out(described.made) | settings.without).items():
        if is_part(index.get(name)):
            index[name] = [None, None]
        elif value is not None:
            index[name] = value
    if settings.scheduler is not None:
        index[_SCHEDULER] = ["diffusers", scheduler_class(settings.scheduler).__name__]
    return index


def _write_scheduler(
    described: PipelineDescription, settings: PipelineSettings, target: Path
) -> None:
    """The scheduler's folder: the pipeline's own, or the one that was made of its config."""
    import diffusers

    if _SCHEDULER not in described.parts:
        return
    own = getattr(diffusers, described.parts[_SCHEDULER])
    folder = described.directory / described.folder(_SCHEDULER)
    scheduler = own.from_pretrained(str(folder), local_files_only=True)
    if settings.scheduler is not None:
        scheduler = scheduler_like(scheduler, settings.scheduler)
    shutil.rmtree(target / _SCHEDULER, ignore_errors=True)
    scheduler.save_pretrained(str(target / _SCHEDULER))
