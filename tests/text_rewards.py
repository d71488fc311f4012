"""Rewards of text-to-image tests, which workers can import."""

import os
from pathlib import Path

import torch
from toys import KILL


def waves(images):
    """Fixed directions in pixel space, one a reward: what a pixel changes, a number shows."""
    n = images[0].numel()
    return torch.sin(torch.arange(n, dtype=torch.float64) * 1.7)


def brightness(images):
    return images.flatten(1).double() @ waves(images) / 10


def contrast(images):
    return images.flatten(1).double().std(1) * 10


def asked(images, prompts):
    """Reads prompts: longer ones want darker images."""
    return brightness(images) / torch.tensor([float(len(p)) for p in prompts])


class DyingContrast:
    """Contrast, whose process is killed in the middle of its third batch, once."""

    def __init__(self, folder):
        self.marker, self.batches = f"{folder}/died", 0

    def __call__(self, images):
        self.batches += 1
        if self.batches == 3 and not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), KILL)
        return contrast(images)
