"""Small classifiers trained on a data set's own labels, for the features under their logits.

Two that have little in common: "objective", which may be optimised against, and "second", which
never is, so that samples that please the first alone are found out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from raybilevel.cache import made_once
from raybilevel.data import Dataset, Images, held
from raybilevel.errors import InputError
from raybilevel.metrics.extractor_networks import convolutions, mixer
from raybilevel.metrics.fitting import digest, fit, reproducibly

Which = Literal["objective", "second"]

_VERSION = "v1"  # another one when anything here or in the networks changes what is learned
_FEATURES = 64
_MOST_HELD = 2**30  # bytes of decoded images; more are decoded anew for each batch


class Extractor(nn.Module):
    """A classifier that answers with the features under its logits.

    The features are taken before their ReLU: after it, FID of 5,000 MNIST digits under noise of
    0.1 rose to 1.3 times that of clean ones (network "second"), before it to 1.8 times.

    Parameters
    ----------
    trunk : images (N, C, H, W) in [-1, 1] to features (N, 64).
    classes : labels are below this.
    """

    def __init__(self, trunk: nn.Module, classes: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(_FEATURES, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, 64), of either sign, of images (N, C, H, W) in [0, 1]."""
        return self.trunk(images * 2 - 1)

    def logits(self, images: Tensor) -> Tensor:
        """Class logits (N, classes) of images (N, C, H, W) in [0, 1]."""
        return self.head(self(images))


def trained_extractor(dataset: Dataset, which: Which = "objective") -> Extractor:
    """A feature extractor trained on the labels of `dataset`, in evaluation mode on the CPU.

    Seconds to a minute the first time, then from the cache folder. The same data give the same
    weights, on one kind of CPU and one set of versions.

    Raises
    ------
    InputError
        If there are no labels, or of one class only.
    """
    labels = dataset.labels
    if labels is None:
        raise InputError("a feature extractor is trained on labels, but the data have none")
    if len(labels.unique()) < 2:
        raise InputError("a feature extractor learns to tell classes apart, but the data have one")
    classes = int(labels.max()) + 1
    name = f"extractor-{which}-{_VERSION}-{digest(dataset.images, labels)}.safetensors"
    path = made_once(name, lambda path: _train(path, dataset.images, labels, which))
    with torch.device("meta"):  # initial weights would be drawn from the global generator
        extractor = _untrained(which, dataset.images, classes)
    extractor.load_state_dict(load_file(path), assign=True)
    return extractor.eval().requires_grad_(False)


def _untrained(which: Which, images: Images, classes: int) -> Extractor:
    make = convolutions if which == "objective" else mixer
    channels, height, width = images.shape[1:]
    return Extractor(make(channels, height, width, _FEATURES), classes)


def _train(path: Path, images: Images, labels: Tensor, which: Which) -> None:
    with reproducibly(0 if which == "objective" else 1):
        extractor = _untrained(which, images, int(labels.max()) + 1)
        images, labels = held(images, _MOST_HELD), labels.cpu()
        fit(
            extractor, len(labels),
            lambda batch: _loss(extractor, images[batch].cpu(), labels[batch]),
        )  # fmt: skip
    save_file({name: t.contiguous() for name, t in extractor.state_dict().items()}, path)


def _loss(extractor: Extractor, images: Tensor, labels: Tensor) -> Tensor:
    # Smoothed labels: features that grade images instead of saturating.
    return nn.functional.cross_entropy(extractor.logits(images), labels, label_smoothing=0.05)
