"""Extractors that are trained on images alone, for data without labels.

Two of other architectures and other tasks, as `trained_extractor` has two: "clusters" may be
optimised against, "masked" never is. They put sets of images into nearly the order that extractors
trained on labels do. Spearman's correlation with FID in those two, its mean, on digits of 8 x 8 (45
sets of real images made worse in nine ways, 66 of a model's samples) and on mnist5k-16 (the 45):
"clusters" 0.975 and 0.936, "masked" 0.974 and 0.903, where the labelled two have 0.966 and 0.907
with each other; principal components of the pixels 0.942 and 0.877, convolutions with random
weights 0.951 and 0.825, a mixer with such 0.945 and 0.803 (`jobs/bench/extractors.py`).
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from raybilevel.cache import made_once
from raybilevel.data import Dataset
from raybilevel.metrics.extractor_networks import convolutions, mixer
from raybilevel.metrics.fitting import digest, fit, reproducibly

_VERSION = "v1"  # another one when anything here or in the networks changes what is learned
_FEATURES = 64
_MOST, _MOST_BYTES = 10_000, 2**30  # images that are learned from, all of them in memory
_SIDE = 16  # what is clustered and drawn is no larger
_CLUSTERS = 32
_GRID = 4  # parts a side that are hidden or not
_HIDDEN = 256  # units between the features and the image that they are to fill in


class UnlabelledExtractor(nn.Module):
    """Features of a trunk.

    Parameters
    ----------
    trunk : images (N, C, H, W) in [-1, 1] to features (N, 64).
    """

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, 64), of either sign, of images (N, C, H, W) in [0, 1]."""
        return self.trunk(images * 2 - 1)


def unlabelled_extractor(dataset: Dataset, name: str) -> UnlabelledExtractor:
    """A feature extractor trained on images without their labels, in evaluation mode on the CPU.

    Seconds to a minute the first time, then from the cache folder. The same data give the same
    weights, on one kind of CPU and one set of versions.

    Parameters
    ----------
    name
        One of

        - "clusters": convolutions that learn which of 32 clusters of pixels an image is in
          (k-means; Caron et al. 2018, arXiv 1807.05520, of which this is the first round);
        - "masked": a mixer that learns to fill in images half of whose parts are hidden (He et al.
          2021, arXiv 2111.06377).
    """
    images = _learned_from(dataset)
    kept = f"extractor-{name}-{_VERSION}-{digest(images)}.safetensors"
    path = made_once(kept, lambda path: _train(path, images, name))
    with torch.device("meta"):  # initial weights would be drawn from the global generator
        trunk = _trunk(images, name)
    trunk.load_state_dict(load_file(path), assign=True)
    return UnlabelledExtractor(trunk).eval().requires_grad_(False)


def _learned_from(dataset: Dataset) -> Tensor:
    each = 4 * math.prod(dataset.shape)  # bytes
    return dataset.images[: min(_MOST, max(_MOST_BYTES // each, 2))]


def _trunk(images: Tensor, name: str) -> nn.Module:
    make = convolutions if name == "clusters" else mixer
    channels, height, width = images.shape[1:]
    return make(channels, height, width, _FEATURES)


def _train(path: Path, images: Tensor, name: str) -> None:
    train = _to_tell_clusters if name == "clusters" else _to_fill_in
    with reproducibly(0 if name == "clusters" else 1):
        trunk = _trunk(images, name)
        train(trunk, images.cpu())
    save_file({name: t.contiguous() for name, t in trunk.state_dict().items()}, path)


def _to_tell_clusters(trunk: nn.Module, images: Tensor) -> None:
    clusters = _clusters(images)
    head = nn.Sequential(nn.ReLU(), nn.Linear(_FEATURES, _CLUSTERS))
    classifier = nn.Sequential(trunk, head)

    def loss(batch: Tensor) -> Tensor:
        logits = classifier(images[batch] * 2 - 1)
        return nn.functional.cross_entropy(logits, clusters[batch], label_smoothing=0.05)

    fit(classifier, len(images), loss)


def _clusters(images: Tensor) -> Tensor:
    """Which cluster (N,) each image is in, by its pixels."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    count = min(_CLUSTERS, len(images))
    with threadpool_limits(1):  # sums over threads have other bits
        found = KMeans(count, n_init=3, random_state=0).fit_predict(_small(images).numpy())
    return torch.from_numpy(found).long()


def _to_fill_in(trunk: nn.Module, images: Tensor) -> None:
    whole = _small(images)
    head = nn.Sequential(
        nn.ReLU(), nn.Linear(_FEATURES, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, whole.shape[1])
    )
    network = nn.Sequential(trunk, head)

    def loss(batch: Tensor) -> Tensor:
        seen = (torch.rand(len(batch), 1, _GRID, _GRID) < 0.5).float()
        hidden = images[batch] * nn.functional.interpolate(seen, images.shape[2:])
        return nn.functional.mse_loss(network(hidden * 2 - 1), whole[batch])

    fit(network, len(images), loss)


def _small(images: Tensor) -> Tensor:
    """Pixels (N, D) of the images, shrunk where a side is longer than 16."""
    height, width = (min(side, _SIDE) for side in images.shape[2:])
    return nn.functional.adaptive_avg_pool2d(images, (height, width)).flatten(1)
