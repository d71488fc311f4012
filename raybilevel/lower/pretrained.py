"""The pretrained models that come along: trained when they are first asked for, then cached."""

from __future__ import annotations

from pathlib import Path

from raybilevel.cache import made_once

_VERSION = "ddim-v2"  # rename when anything in `training.pretrain` changes what is learned
_STEPS = {"digits": 1800, "mnist5k-16": 2400}

PRETRAINED = tuple(_STEPS)
"""Data sets whose small model comes along."""


def pipeline_directory(spec: str) -> Path:
    """The directory of a pipeline: a path, or the name of a model that comes along."""
    return pretrained(spec) if spec in PRETRAINED else Path(spec)


def pretrained(name: str = "digits") -> Path:
    """Give the directory of a pretrained pipeline that comes along, trained the first time.

    "digits" takes some two minutes on two cores, "mnist5k-16" some twenty; the latter has seen the
    training fold alone.
    """
    assert name in PRETRAINED
    return made_once(f"{name}-{_VERSION}", lambda directory: _train(name, directory))


def _train(name: str, directory: Path) -> None:
    # Imported here, since a model that is in the cache needs neither torch nor diffusers.
    from raybilevel.data import folds, load
    from raybilevel.lower.training.pretrain import pretrain

    data = load(name)
    images = data.images if name == "digits" else folds(data)[0].images
    pretrain(directory, images[:], steps=_STEPS[name])
