"""Loading any diffusers pipeline as its makers publish it, with another scheduler if asked for."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raybilevel.imports import said_in_a_sentence
from raybilevel.lower.sampling.pipelines.classes import scheduler_class
from raybilevel.lower.sampling.pipelines.description import PipelineDescription
from raybilevel.lower.sampling.pipelines.dtypes import choose_dtype, keep_eight_bits
from raybilevel.lower.sampling.pipelines.memory_saving import save_memory
from raybilevel.lower.sampling.pipelines.part_files import PartFiles, choose_files
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


def load_described(described: PipelineDescription, settings: PipelineSettings, device: str) -> Any:
    """A pipeline whose files are all there, from safetensors alone, without what changes images.

    Parameters
    ----------
    device : that it will compute on, which decides what dtype "auto" is; until then it is on the
        CPU.

    Raises
    ------
    InputError
        What `choose_files`, `scheduler_class` and `save_memory` raise; and where diffusers cannot
        load it, with its words.
    """
    from diffusers import DiffusionPipeline

    chosen = files_to_load(described, settings)
    dtype = choose_dtype(chosen.weights, settings.dtype, device)
    with (
        said_in_a_sentence(described.named, "being loaded"),
        without_bars(),
        _plain(described, chosen) as folder,
    ):
        pipeline = DiffusionPipeline.from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            dtype=dtype,
            **(left_out(described.made) | settings.without),
        )
    if settings.dtype == "auto" and device != "cpu":
        keep_eight_bits(pipeline, chosen.weights, dtype)
    return as_asked(pipeline, settings, device, described.named)


def as_asked(pipeline: Any, settings: PipelineSettings, device: str, named: str) -> Any:
    """A loaded pipeline with the scheduler, the offloading and the slicing that are asked for."""
    if settings.scheduler is not None:
        set_scheduler(pipeline, settings.scheduler)
    save_memory(pipeline, settings, device, named)
    return pipeline


def files_to_load(described: PipelineDescription, settings: PipelineSettings) -> PartFiles:
    """The files that a run reads; `InputError` as from `choose_files`."""
    without = left_out(described.made) | settings.without
    return choose_files(described, settings.variant, without)


@contextmanager
def _plain(described: PipelineDescription, chosen: PartFiles) -> Iterator[Path]:
    """A folder that `from_pretrained` takes as it is: the pipeline's own, or one of links to it.

    diffusers' own search for a variant stumbles over names without a dot, and takes a part's only
    variant for none at all.
    """
    if chosen.is_plain:
        yield described.directory
        return
    with tempfile.TemporaryDirectory(prefix="raybilevel-") as folder:
        for name, path in chosen.files.items():
            link = Path(folder) / name
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(path.resolve())
        yield Path(folder)


def set_scheduler(pipeline: Any, scheduler: Mapping[str, Any]) -> None:
    """Give a pipeline another scheduler."""
    pipeline.scheduler = scheduler_like(pipeline.scheduler, scheduler)


def scheduler_like(own: Any, scheduler: Mapping[str, Any]) -> Any:
    """The scheduler that is asked for as {class, options}, made from the config of another."""
    return scheduler_class(scheduler).from_config(own.config, **(scheduler.get("options") or {}))


def left_out(made: type) -> dict[str, Any]:
    """What a pipeline class is given so that it draws without safety checker and watermark."""
    taken = inspect.signature(made.__init__).parameters  # type: ignore[misc]
    given = {name: value for name, value in _UNASKED.items() if name in taken}
    return given if given.keys() - {"feature_extractor"} else {}
