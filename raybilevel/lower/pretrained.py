"""The pretrained models that come along: in the package, or trained when first asked for."""

from __future__ import annotations

from pathlib import Path

from raybilevel.cache import made_once

_PACKAGED = Path(__file__).parent / "pretrained_models"  # jobs/train_models.py makes them
_IN_PACKAGE = ("digits", "mnist-sd")
_TRAINED = "mnist5k-16"
_VERSION = "ddim-v2"  # rename when anything in `training.pretrain` changes what is learned
_STEPS = 2400

PRETRAINED = (*_IN_PACKAGE, _TRAINED)
"""Names of models that come along."""

IN_PIXEL_SPACE = ("digits", _TRAINED)
"""Those of them that are a unet and a scheduler alone."""


def pipeline_directory(spec: str) -> Path:
    """The directory of a pipeline: a path, or the name of a model that comes along."""
    return pretrained(spec) if spec in PRETRAINED else Path(spec)


def pretrained(name: str = "digits") -> Path:
    """Give the directory of a pretrained pipeline that comes along.

    "digits" draws 1 x 8 x 8 pixels without a prompt; "mnist-sd" is a Stable Diffusion of 1 x 32 x
    32, which draws handwritten digits as prompts say. "mnist5k-16" is trained the first time, some
    twenty minutes on two cores; it has seen the training fold alone.
    """
    assert name in PRETRAINED
    if name in _IN_PACKAGE:
        return _PACKAGED / name
    return made_once(f"{name}-{_VERSION}", lambda directory: _train(name, directory))


def _train(name: str, directory: Path) -> None:
    # Imported here, since a model that is in the cache needs neither torch nor diffusers.
    from raybilevel.data import folds, load
    from raybilevel.lower.training.pretrain import pretrain

    pretrain(directory, folds(load(name))[0].images[:], steps=_STEPS)
