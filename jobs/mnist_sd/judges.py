"""Judges of handwritten digits, each trained on digits that nobody else has seen."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mnist_sd.pictures import centred, redrawn
from raybilevel.data import Dataset
from raybilevel.rewards.mnist_classifier import LinearMnistClassifier, MnistClassifier

_BATCH = 128
_TIMES = 24  # each digit redrawn, to know it in every stroke, slant, size and place
_AS_WRITTEN = 4  # copies of the digits themselves among them
_EPOCHS = 6
_PROXY_LABELS = 200


def train_judge(data: Dataset, seed: int) -> MnistClassifier:
    """Train on handwritten digits (N, 1, 28, 28), as they were written and redrawn."""
    pictures = redrawn(data.images[:], data.labels, _TIMES, seed)
    as_written = centred(data.images[:]).repeat(_AS_WRITTEN, 1, 1, 1)
    images = torch.cat([pictures.images, as_written])
    labels = data.labels.repeat(_TIMES + _AS_WRITTEN)
    torch.manual_seed(seed)
    judge = MnistClassifier().to(memory_format=torch.channels_last)
    _fit(judge, images, labels)
    return judge.eval().requires_grad_(False).to(memory_format=torch.contiguous_format)


def _fit(judge: nn.Module, images: Tensor, labels: Tensor) -> None:
    optimiser = torch.optim.AdamW(judge.parameters(), weight_decay=0.05)
    steps = _EPOCHS * (len(labels) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=4e-3, total_steps=steps)
    for _ in range(_EPOCHS):
        for batch in torch.randperm(len(labels)).split(_BATCH)[: len(labels) // _BATCH]:
            # Smoothed labels: log-probabilities that grade digits instead of saturating.
            loss = nn.functional.cross_entropy(
                judge(images[batch]), labels[batch], label_smoothing=0.05
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


def fit_proxy(data: Dataset) -> LinearMnistClassifier:
    """A logistic regression on the first 200 digits, as they were written."""
    from sklearn.linear_model import LogisticRegression

    images = centred(data.images[:_PROXY_LABELS]).flatten(1).double().numpy()
    labels = np.asarray(data.labels[:_PROXY_LABELS])
    fit = LogisticRegression(max_iter=1000).fit(images, labels)
    proxy = LinearMnistClassifier()
    proxy.load_state_dict({
        "head.weight": torch.as_tensor(fit.coef_).float(),
        "head.bias": torch.as_tensor(fit.intercept_).float(),
    })  # fmt: skip
    return proxy.eval().requires_grad_(False)


def accuracy(judge: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of pictures (N, 1, 32, 32) that are known by their label."""
    with torch.no_grad():
        found = torch.cat([judge(part).argmax(1) for part in images.split(500)])
    return (found == labels).double().mean().item()
