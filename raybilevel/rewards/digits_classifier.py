"""Digit classifiers that come along: a good one, and a cheap proxy that has seen 100 labels."""

from __future__ import annotations

from torch import Tensor, nn

from raybilevel import data
from raybilevel.data import Dataset, load
from raybilevel.rewards.judge_weights import judge


class DigitsClassifier(nn.Module):
    """A small convolutional network for 8 x 8 digits."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 16, 64),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, 10)

    def features(self, images: Tensor) -> Tensor:
        """Penultimate activations (N, 64), at least 0, of images (N, 1, 8, 8) in [0, 1]."""
        return self.trunk(images * 2 - 1)

    def logits(self, images: Tensor) -> Tensor:
        """Class logits (N, 10) of images (N, 1, 8, 8) in [0, 1]."""
        return self.head(self.features(images))


class ProxyClassifier(nn.Module):
    """Logistic regression on the pixels of 8 x 8 digits."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def logits(self, images: Tensor) -> Tensor:
        """Class logits (N, 10) of images (N, 1, 8, 8) in [0, 1]."""
        return self.head(images.flatten(1))


def folds() -> tuple[Dataset, Dataset]:
    """Split the digits, the same way each time: 1,437 to train on, 360 held out."""
    return data.folds(load("digits"))


def digits_classifier() -> DigitsClassifier:
    """Load the good classifier, of the training fold, in evaluation mode."""
    return judge(DigitsClassifier, "digits-classifier")


def proxy_classifier() -> ProxyClassifier:
    """Load a logistic regression on the first 100 labels of the training fold."""
    return judge(ProxyClassifier, "digits-proxy", _by_columns)


def _by_columns(fitted: dict[str, Tensor]) -> dict[str, Tensor]:
    """As the proxy was fitted: the last bits of a product depend on it."""
    return {"head.weight": fitted["columns"].T, "head.bias": fitted["bias"]}
