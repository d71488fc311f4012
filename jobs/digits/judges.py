"""How the two judges of 8 x 8 digits are trained: a good classifier, and a cheap proxy."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from raybilevel.data import Dataset
from raybilevel.rewards.digits_classifier import DigitsClassifier, folds

_EPOCHS = 12
_BATCH = 64
_PROXY_LABELS = 100


def train_classifier(path: Path) -> None:
    """Write the good classifier, trained on the training fold."""
    train, _ = folds()
    torch.manual_seed(0)
    classifier = DigitsClassifier()
    _fit(classifier, train)
    save_file(classifier.state_dict(), path)


def _fit(classifier: DigitsClassifier, train: Dataset) -> None:
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


def fit_proxy(path: Path) -> None:
    """Write a logistic regression on the first 100 labels of the training fold."""
    from sklearn.linear_model import LogisticRegression

    train, _ = folds()
    images = train.images[:_PROXY_LABELS].flatten(1).double().numpy()
    fit = LogisticRegression(max_iter=1000).fit(images, train.labels[:_PROXY_LABELS].numpy())
    weight, bias = torch.as_tensor(fit.coef_).float(), torch.as_tensor(fit.intercept_).float()
    # By columns, as scikit-learn lays them out: the last bits of a product depend on it.
    save_file({"columns": weight.T.contiguous(), "bias": bias}, path)
