"""The rewards that come with raybilevel: a factory each, `(device, *arguments) -> reward`.

Their names are in `raybilevel.config.registry`, beside those that other packages register.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Reward = Callable[..., Any]
"""Of images; of images and prompts; or of images, prompts and metadata."""

_DIGIT = (1, 8, 8)
_KILOBYTE = 1000


def ink(device: str) -> Reward:
    """Mean brightness, in [0, 1]."""
    return lambda images: images.flatten(1).mean(1)


def ink_error(device: str, target: float) -> Reward:
    """Distance of the mean brightness from `target`, at least 0: a price, for a negative weight."""
    return lambda images: (images.flatten(1).mean(1) - target).abs()


def jpeg_size(device: str, quality: int = 75) -> Reward:
    """Size of the image as a JPEG, in kB of 1,000 bytes: exact, and without a gradient."""
    if not (isinstance(quality, int) and 1 <= quality <= 95):
        raise InputError(f"jpeg_size has quality {quality!r}, but it must be from 1 to 95")

    def reward(images: Tensor) -> Tensor:
        pixels = (images * 255).round().byte().cpu().permute(0, 2, 3, 1).numpy()
        return images.new_tensor([_jpeg_bytes(p, quality) / _KILOBYTE for p in pixels])

    return reward


def _jpeg_bytes(pixels: np.ndarray, quality: int) -> int:
    from PIL import Image

    if pixels.shape[-1] not in (1, 3):
        raise InputError(f"jpeg_size takes images of 1 or 3 channels, not {pixels.shape[-1]}")
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(
        buffer, format="JPEG", quality=quality
    )
    return buffer.tell()


def legibility(device: str) -> Reward:
    """Log-probability of the likeliest digit under the good classifier, at most 0."""
    from raybilevel.rewards.digits_classifier import digits_classifier

    classifier = digits_classifier().to(device)

    def reward(images: Tensor) -> Tensor:
        _check_digits(images, "legibility")
        return classifier.logits(images.to(device)).log_softmax(1).amax(1)

    return reward


def proxy_legibility(device: str) -> Reward:
    """Log-probability of the likeliest digit under the proxy, a judge of its own, at most 0."""
    from raybilevel.rewards.digits_classifier import proxy_classifier

    proxy = proxy_classifier().to(device)

    def reward(images: Tensor) -> Tensor:
        _check_digits(images, "proxy_legibility")
        return proxy.logits(images.to(device)).log_softmax(1).amax(1)

    return reward


def novelty(device: str) -> Reward:
    """Euclidean distance of the pixels to the nearest digit of the data: 0 for a copy."""
    from raybilevel.data import load

    real = load("digits").images[:].flatten(1).to(device)

    def reward(images: Tensor) -> Tensor:
        _check_digits(images, "novelty")
        return _distances(images.flatten(1).to(device), real).amin(1)

    return reward


def realism(device: str) -> Reward:
    """Minus the distance to the nearest training digit in the good classifier's features."""
    from raybilevel.rewards.digits_classifier import digits_classifier, folds

    classifier = digits_classifier().to(device)
    real = classifier.features(folds()[0].images[:].to(device))

    def reward(images: Tensor) -> Tensor:
        _check_digits(images, "realism")
        features = classifier.features(images.to(device))
        return -_distances(features, real).amin(1)

    return reward


def class_log_prob(device: str, label: int) -> Reward:
    """Log-probability of a digit under the good classifier, at most 0."""
    from raybilevel.rewards.digits_classifier import digits_classifier

    _check_label(label, "class_log_prob")
    classifier = digits_classifier().to(device)

    def reward(images: Tensor) -> Tensor:
        _check_digits(images, "class_log_prob")
        return classifier.logits(images.to(device)).log_softmax(1)[:, label]

    return reward


def proxy_logit(device: str, label: int) -> Reward:
    """Logit of a digit under a linear classifier that has seen 100 labels."""
    from raybilevel.rewards.digits_classifier import proxy_classifier

    _check_label(label, "proxy_logit")
    proxy = proxy_classifier().to(device)

    def reward(images: Tensor) -> Tensor:
        _check_digits(images, "proxy_logit")
        return proxy.logits(images.to(device))[:, label]

    return reward


def _distances(points: Tensor, others: Tensor) -> Tensor:
    import torch

    # By matrix products it would be off by 0.01 for near neighbours, and depend on the batch.
    return torch.cdist(points, others, compute_mode="donot_use_mm_for_euclid_dist")


def _check_digits(images: Tensor, name: str) -> None:
    if tuple(images.shape[1:]) != _DIGIT:
        raise InputError(
            f"{name} is a reward for digits of shape {_DIGIT}, but the images have shape "
            f"{tuple(images.shape[1:])}; give a reward of your own as 'package.module:name'"
        )


def _check_label(label: int, name: str) -> None:
    if label not in range(10):
        raise InputError(f"{name} has label {label!r}, but a digit's label is from 0 to 9")
