"""Images ever worse, and whether FID in an extractor's features says so."""

import numpy as np
import torch
from torch import nn

from raybilevel.metrics.extractors import features
from raybilevel.metrics.fid_kid import FrechetTo, Moments


def blurred(images, pixels):
    reach = int(3 * pixels) + 1
    kernel = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * pixels**2))
    kernel = (kernel / kernel.sum())[None, None]
    across = nn.functional.conv2d(images, kernel[:, :, None], padding=(0, reach))
    return nn.functional.conv2d(across, kernel[..., None], padding=(reach, 0))


def noised(images, level):
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return (images + level * noise).clamp(0, 1)


def fids(extractor, train, images):
    to = FrechetTo(Moments.of(features(extractor, train.images)))
    return [to(Moments.of(features(extractor, worse))) for worse in images]


def judges(extractor, train, held_out):
    """FID to the training fold, of the held-out images as they are and ever worse."""
    clean, side = held_out.images, held_out.images.shape[-1] / 8
    noisy = fids(extractor, train, [clean, *(noised(clean, s) for s in (0.1, 0.2, 0.4, 0.8))])
    soft = fids(extractor, train, [clean, *(blurred(clean, s * side) for s in (0.5, 0.7, 1, 1.5))])
    for worse in (noisy, soft):
        assert np.all(np.diff(worse) > 0), worse
        assert worse[-1] > 10 * worse[0]
