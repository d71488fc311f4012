"""Judges of handwritten digits of 32 x 32 pixels that come along, each of pictures of its own."""

from __future__ import annotations

from torch import Tensor, nn

from raybilevel.rewards.judge_weights import judge


class MnistClassifier(nn.Module):
    """A small convolutional network: logits (N, 10) of images (N, 1, 32, 32) in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 48, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(48 * 16, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(N, 10)."""
        return self.layers(images * 2 - 1)


class LinearMnistClassifier(nn.Module):
    """A linear classifier of the pixels: logits (N, 10) of images (N, 1, 32, 32) in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(32 * 32, 10)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 10)."""
        return self.head(images.flatten(1))


CLASSIFIERS: dict[str, type[nn.Module]] = {
    "mnist": MnistClassifier,
    "mnist-held-out": MnistClassifier,
    "mnist-proxy": LinearMnistClassifier,
}
"""By the name of their file."""


def mnist_classifier(name: str) -> nn.Module:
    """Load one of `CLASSIFIERS`, in evaluation mode and frozen."""
    return judge(CLASSIFIERS[name], name)
