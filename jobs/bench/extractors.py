"""Whether extractors that need no labels put samples into the order of those that have them.

    python jobs/bench/extractors.py [--data digits] [--model digits] [--images 512]

Takes FID, without its bias, of many sets of images to the training images: held-out ones as they
are and ever worse in nine ways, and, where a model is named, its samples by every stock scheduler
at six numbers of steps. Prints Spearman's correlation with FID in the two extractors that are
trained on the labels (mean of both), over all sets, over the worse ones and over the samples.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor, nn

from raybilevel import SamplingSchedule
from raybilevel.data import Dataset, folds, load
from raybilevel.lower.sampling.stock_schedulers import sample_stock, stock_names, stock_schedulers
from raybilevel.metrics.extractor_networks import convolutions, mixer
from raybilevel.metrics.extractors import features, load_extractor
from raybilevel.metrics.fid_kid import FrechetTo, Moments, jackknife
from raybilevel.metrics.fitting import fit, reproducibly

FEATURES = 64
STEPS = (3, 4, 5, 8, 10, 20)
CHUNKS = 8
Sets = dict[str, Tensor]


def worse(images: Tensor, labels: Tensor, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Images (N, C, H, W) in [0, 1], ever worse, in one way after the other."""
    g = torch.Generator().manual_seed(seed)
    scale, half = images.shape[-1] / 8, images.shape[-1] // 2
    others = images[torch.randperm(len(images), generator=g)]
    for s in (0.05, 0.1, 0.2, 0.4, 0.8):
        noise = torch.randn(images.shape, generator=g)
        yield f"noise {s}", (images + s * noise).clamp(0, 1)
        share = torch.rand(images.shape, generator=g) < s / 4
        yield f"salt {s}", torch.where(share, torch.rand(images.shape, generator=g), images)
        yield f"blend {s}", torch.lerp(images, others, s / 2)
        yield f"contrast {s}", images * (1 - s)
        yield f"blur {s}", blurred(images, (0.3 + s) * scale)
        yield f"shift {s}", shifted(images, 2 * s * scale)
        swapped = torch.rand(len(images), generator=g) < s
        joined = torch.cat([images[..., :half], others[..., half:]], dim=-1)
        yield f"halves {s}", torch.where(swapped[:, None, None, None], joined, images)
        most = min(int(16 / s), len(images))
        yield f"few {s}", images[torch.randint(most, (len(images),), generator=g)]
        yield f"missing {s}", images[labels >= 5 * s]


def blurred(images: Tensor, pixels: float) -> Tensor:
    reach, channels = int(3 * pixels) + 1, images.shape[1]
    kernel = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * pixels**2))
    kernel = (kernel / kernel.sum()).expand(channels, 1, 1, -1)
    for _ in range(2):
        padded = nn.functional.pad(images, (reach, reach, 0, 0), mode="replicate")
        images = nn.functional.conv2d(padded, kernel, groups=channels).mT
    return images


def shifted(images: Tensor, pixels: float) -> Tensor:
    move = torch.eye(2, 3).repeat(len(images), 1, 1)
    move[:, 0, 2] = 2 * pixels / images.shape[-1]
    grid = nn.functional.affine_grid(move, list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, align_corners=False)


def samples(model: str, count: int, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Of every stock scheduler at every number of steps, all from the same noise."""
    sampler = SamplingSchedule(model=model, data="digits").components.sampler_on("cpu")
    config, noise = sampler.info.scheduler, sampler.noise(seed, count)
    for steps in STEPS:
        for name in stock_names(config, steps):
            scheduler = stock_schedulers(config)[name]
            yield f"{name} {steps}", sample_stock(sampler.unet, scheduler, noise, steps)[0]


def random(images: Tensor, make: Callable[..., nn.Module]) -> nn.Module:
    """Orthogonal weights that nothing trained (Saxe et al. 2013, arXiv 1312.6120)."""
    with reproducibly(0):
        network = make(*images.shape[1:], FEATURES)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.orthogonal_(layer.weight, math.sqrt(2))
    return network


def told_turns(images: Tensor) -> nn.Module:
    """Convolutions that learned how often images are turned (Gidaris et al., arXiv 1803.07728)."""
    with reproducibly(0):
        trunk = convolutions(*images.shape[1:], FEATURES)
        network = nn.Sequential(trunk, nn.ReLU(), nn.Linear(FEATURES, 4))

        def loss(batch: Tensor) -> Tensor:
            k = torch.randint(4, (len(batch),))
            turned = [torch.rot90(i, int(n), (1, 2)) for i, n in zip(images[batch], k, strict=True)]
            return nn.functional.cross_entropy(network(torch.stack(turned)), k)

        fit(network, len(images), loss)
    return trunk


class Pixels(nn.Module):
    """The first 64 principal components of the pixels."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        x = images.flatten(1).double()
        self.axes = torch.linalg.eigh(torch.cov(x.T)).eigenvectors[:, -FEATURES:]

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1).double() @ self.axes


def main(
    data: Annotated[str, typer.Option(help="With labels, square images.")] = "digits",
    model: Annotated[str, typer.Option(help="Draws samples too; '' for none.")] = "digits",
    images: Annotated[int, typer.Option(help="Of a set, at most.")] = 512,
    seed: Annotated[int, typer.Option(help="Of what makes images worse.")] = 0,
) -> None:
    from scipy.stats import spearmanr

    train, held_out = (Dataset(fold.images[:], fold.labels) for fold in folds(load(data)))
    labels = held_out.labels
    assert labels is not None
    bad = dict(worse(held_out.images[:images], labels[:images], seed))
    drawn = dict(samples(model, images, seed)) if model else {}
    sets = {"clean": held_out.images[:images], **bad, **drawn}

    def fids(extractor: nn.Module) -> list[float]:
        to = FrechetTo(Moments.of(features(extractor, train.images)))
        found = [np.array_split(features(extractor, x), CHUNKS) for x in sets.values()]
        values = [jackknife(to, [Moments.of(c) for c in x], corrected=True)[0] for x in found]
        return [float(value) for value in values]

    judges = [fids(load_extractor(name, train)) for name in ("trained", "second")]
    groups = {"all": range(len(sets)), "worse": range(len(bad) + 1)}
    if drawn:
        groups["samples"] = range(len(bad) + 1, len(sets))
    print(f"{data}: {len(bad)} worse sets, {len(drawn)} of samples, {images} images each at most")
    print(f"{'':<22}{''.join(f'{name:>9}' for name in groups)}  seconds to make")

    def line(name: str, found: list[float], against: list[list[float]], seconds: float) -> None:
        by = [
            np.mean([spearmanr([found[i] for i in g], [a[i] for i in g])[0] for a in against])
            for g in groups.values()
        ]
        print(f"{name:<22}{''.join(f'{r:>9.3f}' for r in by)}{seconds:>9.1f}", flush=True)

    line("trained, by second", judges[0], judges[1:], 0.0)
    candidates: dict[str, Callable[[], nn.Module]] = {
        "clusters": lambda: load_extractor("clusters", train),
        "masked": lambda: load_extractor("masked", train),
        "pixels": lambda: Pixels(train.images),
        "random convolutions": lambda: random(train.images, convolutions),
        "random mixer": lambda: random(train.images, mixer),
        "turns": lambda: told_turns(train.images),
    }
    for name, make in candidates.items():
        begun = time.perf_counter()
        extractor = make()
        seconds = time.perf_counter() - begun
        line(name, fids(extractor), judges, seconds)


if __name__ == "__main__":
    typer.run(main)
