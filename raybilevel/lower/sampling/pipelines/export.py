"""A pipeline as its user takes it away: stock, with the scheduler and the call that a run used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raybilevel.lower.sampling.pipelines.classes import scheduler_class
from raybilevel.lower.sampling.pipelines.description import INDEX, PipelineDescription, is_part
from raybilevel.lower.sampling.pipelines.hub import commit_of, is_hub_name
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
    file `call.json` says with which arguments it is loaded (`model`, `revision`, `dtype`,
    `model_options`) and called (`call`).

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
    on_hub = is_hub_name(str(source))
    if export_weights or not on_hub:
        _copy(whole(source, settings), settings, target)
    else:
        _write_scheduler(describe_source(source, settings), settings, target)
    told = _told(settings, is_whole=export_weights or not on_hub)
    if on_hub:
        name = str(source)
        told = {"model": name, "revision": commit_of(name, settings.revision), **told}
    (target / CALL).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _told(settings: PipelineSettings, *, is_whole: bool) -> dict[str, Any]:
    """How the pipeline is loaded and called. A whole copy has its variant and parts by itself."""
    said = {"revision", "variant"} if is_whole else {"revision"}
    given = settings.model_options.items()
    options = {name: value for name, value in given if value is not None and name not in said}
    if not is_whole:
        options |= settings.without
    steps = settings.sampling_steps
    call = {} if steps is None else {"num_inference_steps": steps}
    return {
        "dtype": settings.dtype,
        "model_options": options,
        "call": {**call, **settings.call_options},
    }


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
    """The index, without the parts that were left out, and with the run's scheduler."""
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
