"""Loading a pipeline, and writing it anew: by diffusers' own call, in whatever form it lies."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybilevel.imports import said_in_a_sentence
from raybilevel.lower.sampling.pipeline_files import PipelineFiles
from raybilevel.lower.sampling.pipeline_info import check_pipeline
from raybilevel.lower.sampling.progress_bars import without_bars

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_TOLD = ("README*", "LICENSE*")  # files beside the index that go with a copy


def load_pipeline(directory: Path | str, variant: str | None = None) -> DiffusionPipeline:
    """The pipeline in a directory, in float32, from safetensors alone and without a progress bar.

    Raises
    ------
    InputError
        What `check_pipeline` raises; and where diffusers cannot load it, or its network cannot be
        run, with their words.
    """
    from raybilevel.lower.sampling.network_probe import check_runs

    info = check_pipeline(directory, variant=variant)
    check_runs(info.files.unet, info.image_shape, info.files.named)
    with (
        said_in_a_sentence(info.files.named, "being loaded"),
        without_bars(),
        _plain(info.files) as folder,
    ):
        from diffusers import DiffusionPipeline

        return DiffusionPipeline.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True
        )


@contextmanager
def _plain(files: PipelineFiles) -> Iterator[Path]:
    """A folder that `from_pretrained` takes as it is: the pipeline's own, or one of links to it.

    diffusers' own search for a variant stumbles over names without a dot, over paths with one where
    older names are looked up, and it knows no training's folders.
    """
    if files.is_plain and files.folder is not None:
        yield files.folder
        return
    with tempfile.TemporaryDirectory(prefix="raybilevel-") as folder:
        _write(files, Path(folder), _link)
        yield Path(folder)


def copy_pipeline(directory: Path | str, target: Path, variant: str | None = None) -> None:
    """Write the pipeline in a directory as one that `from_pretrained` takes without a variant.

    Its weights keep their type; what else a training has left beside it stays there.
    """
    files = check_pipeline(directory, variant=variant).files
    _write(files, target, shutil.copyfile)
    beside = [] if files.folder is None else [p for t in _TOLD for p in files.folder.glob(t)]
    for path in beside:
        shutil.copyfile(path, target / path.name)


def _link(source: Path, target: Path) -> None:
    target.symlink_to(source.resolve())


def _write(files: PipelineFiles, target: Path, place: Callable[[Path, Path], Any]) -> None:
    """Write the JSON files, and place the weights by their plain names."""
    configs = {
        "model_index.json": files.index,
        "unet/config.json": files.unet,
        "scheduler/scheduler_config.json": files.scheduler,
    }
    for name, config in configs.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    for name, path in files.weights.files(files.named).items():
        place(path, target / "unet" / name)
