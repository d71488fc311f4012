"""Feature extractors: modules from images (N, C, H, W) in [0, 1] to features (N, F)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raybilevel.data import Dataset
from raybilevel.errors import InputError
from raybilevel.imports import resolve, said_in_a_sentence
from raybilevel.metrics.extractor_choice import LABELLED, NAMES, UNLABELLED, choose, named
from raybilevel.metrics.extractor_training import Extractor, Which, trained_extractor
from raybilevel.metrics.inception import inception
from raybilevel.metrics.unlabelled_extractors import unlabelled_extractor

__all__ = ["Extractor", "features", "load_extractor", "trained_extractor"]

_TRAINED: dict[str, Which] = {"trained": "objective", "second": "second"}
_PROBE = 3


def load_extractor(
    spec: str | nn.Module | Callable[[], nn.Module] | None,
    dataset: Dataset,
    device: str | torch.device = "cpu",
    where: str = "extractor",
) -> nn.Module:
    """The extractor that `spec` names, tried on a few images, in evaluation mode on `device`.

    Parameters
    ----------
    spec
        One of

        - "auto" or None: "trained" where the data have labels, else as `choose` says;
        - "trained": a small classifier trained on the data's labels, 64 features;
        - "second": one of another architecture, for a judge that was never optimised;
        - "clusters", "masked": 64 features that need no labels, for the same two uses; see
          `unlabelled_extractor`;
        - "inception": 2,048 features, for numbers that compare with published ones;
        - an `nn.Module` (which is put into evaluation mode and moved), or a callable that makes
          one, or the import path "package.module:name" of either.
    dataset : what is trained on, and whose first images are the probe.
    where : the argument that holds `spec`, for the sentence of an error.

    Raises
    ------
    InputError
        If there is no such extractor, it cannot be made or loaded, or what it gives for n images
        is not (n, F) finite floats.
    """
    spec, _ = choose(spec, None, dataset)
    module = _made(spec, dataset, where).to(device).eval().requires_grad_(False)
    _probe(module, dataset.images[:_PROBE].to(device), f"{where} {named(spec)}")
    return module


def _made(spec: Any, dataset: Dataset, where: str) -> nn.Module:
    if spec in LABELLED:
        return _trained(spec, dataset, where)
    if spec in UNLABELLED:
        return unlabelled_extractor(dataset, spec)
    if spec == "inception":
        return inception(where)
    if isinstance(spec, str) and ":" not in spec:
        raise InputError(
            f"{where} is '{spec}', but must be one of: {', '.join(NAMES)}, an nn.Module, or the "
            "import path 'package.module:name' of one"
        )
    given = resolve(spec, where) if isinstance(spec, str) else spec
    return _module(given, f"{where} {named(spec)}")


def _trained(name: str, dataset: Dataset, where: str) -> nn.Module:
    if dataset.labels is None:
        raise InputError(
            f"{where} is '{name}', which is trained on labels, but the data have none: take "
            "'auto', or give labels, an nn.Module or its import path 'package.module:name', or "
            "'inception'"
        )
    return trained_extractor(dataset, _TRAINED[name])


def _module(given: Any, where: str) -> nn.Module:
    if callable(given) and not isinstance(given, nn.Module):
        with said_in_a_sentence(where, "a call without arguments"):
            given = given()
    if not isinstance(given, nn.Module):
        raise InputError(
            f"{where} gives a {type(given).__name__}, but must be an nn.Module or a callable "
            "without arguments that makes one"
        )
    return given


def _probe(module: nn.Module, images: Tensor, where: str) -> None:
    count, shape = len(images), tuple(images.shape[1:])
    with said_in_a_sentence(where, f"a batch of {count} images {shape}"), torch.no_grad():
        out = module(images)
    if not _is_features(out, count):
        raise InputError(f"{where} gives {_kind(out)}, but must give floats ({count}, F)")
    if not out.isfinite().all():
        raise InputError(f"{where} gives features that are not finite on images of the data")


def _is_features(out: object, count: int) -> bool:
    if not isinstance(out, Tensor) or not out.is_floating_point():
        return False
    return out.ndim == 2 and out.shape[0] == count and out.shape[1] > 0


def _kind(out: object) -> str:
    if not isinstance(out, Tensor):
        return f"a {type(out).__name__}"
    return f"{str(out.dtype).removeprefix('torch.')} {tuple(out.shape)}"


def passes_gradients(extractor: nn.Module, images: Tensor) -> bool:
    """Whether the features of images (N, C, H, W) have a gradient, not all zero, in them."""
    images = images.clone().requires_grad_()
    out = extractor(images)
    if not out.requires_grad:
        return False
    out.square().sum().backward()
    return images.grad is not None and bool(images.grad.any())


def features(extractor: nn.Module, images: Tensor, batch_size: int = 256) -> np.ndarray:
    """Features (N, F) float64 of images (N, C, H, W) in [0, 1], computed where the extractor is."""
    weights = next(extractor.parameters(), None)
    device = images.device if weights is None else weights.device
    with torch.no_grad():
        parts = [extractor(batch.to(device)).double().cpu() for batch in images.split(batch_size)]
    return torch.cat(parts).numpy()
