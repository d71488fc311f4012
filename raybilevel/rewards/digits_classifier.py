"""Digit classifiers: a good one, and a cheap proxy that has seen a hundred labels."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from raybilevel import data
from raybilevel.cache import made_once
from raybilevel.data import Dataset, load

_TRAINED = "digits-classifier-v1.safetensors"  # rename when anything below changes what is learned
_EPOCHS = 12
_BATCH = 64

_FITTED = "digits-proxy-v1.safetensors"  # and this one when anything about the proxy changes
_PROXY_LABELS = 100


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
    """Load the good classifier in evaluation mode; trained in seconds the first time."""
    with torch.device("meta"):  # initial weights would be drawn from the global generator
        classifier = DigitsClassifier()
    classifier.load_state_dict(load_file(made_once(_TRAINED, _train)), assign=True)
    return classifier.eval().requires_grad_(False)


def _train(path: Path) -> None:
    train, _ = folds()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        classifier = DigitsClassifier()
        _fit(classifier, train)
    save_file(classifier.state_dict(), path)


def _fit(classifier: DigitsClassifier, train: Dataset) -> None:
    assert train.labels is not None, "the digits have labels"
    optimiser = torch.optim.AdamW(classifier.parameters(), weight_decay=0.05)
    batches = len(train.labels) // _BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=4e-3, total_steps=_EPOCHS * batches
    )
    for _ in range(_EPOCHS):
        for batch in torch.randperm(len(train.labels))[: batches * _BATCH].split(_BATCH):
            logits = classifier.logits(train.images[batch])
            # Smoothed labels: log-probabilities that grade digits instead of saturating.
            loss = nn.functional.cross_entropy(logits, train.labels[batch], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


def proxy_classifier() -> ProxyClassifier:
    """Load a logistic regression on the first 100 labels of the training fold, fitted once."""
    with torch.device("meta"):
        proxy = ProxyClassifier()
    fitted = load_file(made_once(_FITTED, _fit_proxy))
    proxy.head.load_state_dict({"weight": fitted["columns"].T, "bias": fitted["bias"]}, assign=True)
    return proxy.eval().requires_grad_(False)


def _fit_proxy(path: Path) -> None:
    # A worker that finds the file need not import scikit-learn, which takes most of a second.
    from sklearn.linear_model import LogisticRegression

    train, _ = folds()
    assert train.labels is not None, "the digits have labels"
    images = train.images[:_PROXY_LABELS].flatten(1).double().numpy()
    fit = LogisticRegression(max_iter=1000).fit(images, train.labels[:_PROXY_LABELS].numpy())
    weight, bias = torch.as_tensor(fit.coef_).float(), torch.as_tensor(fit.intercept_).float()
    # By columns, as scikit-learn lays them out: the last bits of a product depend on it.
    save_file({"columns": weight.T.contiguous(), "bias": bias}, path)
