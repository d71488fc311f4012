"""Where a pipeline's parts lie in what people have: as saved, from the hub, or from a training."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from raybilevel.errors import InputError
from raybilevel.lower.sampling.json_config import read_config

NETWORK = "UNet2DModel"

_INDEX = "model_index.json"
_SCHEDULER = "scheduler/scheduler_config.json"
_NETWORKS = ("unet_ema", "unet")  # in a training script's checkpoint, the better one first
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True)
class PipelineFolders:
    """Where the parts of a pipeline lie.

    Attributes
    ----------
    index : its `model_index.json`; None where a network was saved without one.
    unet, scheduler : folders that hold their configs.
    remarks : what a user should know of how they were come by.
    """

    index: Path | None
    unet: Path
    scheduler: Path
    remarks: tuple[str, ...] = ()

    @property
    def is_usual(self) -> bool:
        """Whether `from_pretrained` finds them by the index's folder."""
        if self.index is None:
            return False
        root = self.index.parent
        return self.unet == _part(root, "unet") and self.scheduler == _part(root, "scheduler")


def find_folders(directory: Path | str, named: str) -> PipelineFolders:
    """The folders of the pipeline that a directory holds.

    It may be what `save_pretrained` writes, its parts in folders or not; a folder of the hub's
    cache, or a snapshot in it; a training script's output, a checkpoint in it, or a network in that
    (as diffusers' `train_unconditional.py` leaves them: `checkpoint-500/unet_ema/`).

    Parameters
    ----------
    named : what sentences call the directory.

    Raises
    ------
    InputError
        If there is no such directory, no pipeline in it, or a network without its noise scheduler.
    """
    folder = find_root(directory, named)
    if (folder / _INDEX).is_file():
        return _saved(folder, named)
    if networks := _networks(folder):
        return _checkpoint(networks, named)
    if _is_network(folder, named):
        return _with_scheduler(folder, folder.parent, f"{named} is used", named)
    if checkpoints := _checkpoints(folder):
        return _checkpoint(_networks(checkpoints[-1]), named)
    read_config(folder / _INDEX, named)
    raise AssertionError("a file that is not there cannot be read")


def find_root(directory: Path | str, named: str) -> Path:
    """The directory itself; of a folder of the hub's cache, the snapshot in it.

    Raises
    ------
    InputError
        If there is no such directory, or several snapshots in it and no main branch.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise InputError(f"{named} is not a directory; give one that holds a diffusers pipeline")
    return _snapshot(folder, named) if (folder / "snapshots").is_dir() else folder


def _snapshot(folder: Path, named: str) -> Path:
    """The snapshot of a folder of the hub's cache: the main branch's, or the only one."""
    there = sorted(path for path in (folder / "snapshots").iterdir() if path.is_dir())
    main = folder / "refs" / "main"
    commit = main.read_text().strip() if main.is_file() else ""
    chosen = [path for path in there if path.name == commit] or there
    if len(chosen) != 1:
        raise InputError(
            f"{named} is a folder of the hub's cache with {len(there)} snapshots, none of which "
            "refs/main names; give the folder of one of them"
        )
    return chosen[0]


def _saved(folder: Path, named: str) -> PipelineFolders:
    """What `save_pretrained` wrote; a training script may have left checkpoints beside it."""
    remarks: tuple[str, ...] = ()
    if checkpoints := _checkpoints(folder):
        last = checkpoints[-1].name
        remarks = (f"{named}: the pipeline that its training saved is used, and not {last}",)
    parts = (_part(folder, "unet"), _part(folder, "scheduler"))
    return PipelineFolders(folder / _INDEX, *parts, remarks)


def _part(folder: Path, name: str) -> Path:
    """A part's folder: the pipeline's own where its parts have none, as the hub's oldest."""
    return folder / name if (folder / name).is_dir() else folder


def _checkpoints(folder: Path) -> list[Path]:
    """Checkpoints that a training script has left in its output folder, the last one last."""
    steps = {p: m for p in folder.iterdir() if (m := _CHECKPOINT.fullmatch(p.name))}
    return sorted((p for p in steps if _networks(p)), key=lambda p: int(steps[p][1]))


def _networks(folder: Path) -> list[Path]:
    return [folder / name for name in _NETWORKS if (folder / name / "config.json").is_file()]


def _is_network(folder: Path, named: str) -> bool:
    config = folder / "config.json"
    return config.is_file() and read_config(config, named).get("_class_name") == NETWORK


def _checkpoint(networks: list[Path], named: str) -> PipelineFolders:
    unet = networks[0]
    averaged = ", the moving average," if unet.name == "unet_ema" else ""
    said = f"{named}: the network in {unet.parent.name}/{unet.name}{averaged} is used"
    return _with_scheduler(unet, unet.parent, said, named)


def _with_scheduler(unet: Path, near: Path, said: str, named: str) -> PipelineFolders:
    """The network with the noise scheduler that was saved beside it or above, as it has none."""
    for place in (near, near.parent):
        if (place / _SCHEDULER).is_file():
            index, scheduler = place / _INDEX, place / "scheduler"
            remark = f"{said}, with the noise scheduler in {scheduler}"
            return PipelineFolders(index if index.is_file() else None, unet, scheduler, (remark,))
    raise InputError(
        f"{named} has no {_SCHEDULER}, nor has the folder above; save the noise scheduler that it "
        f"was trained with by save_pretrained('{near / 'scheduler'}')"
    )
