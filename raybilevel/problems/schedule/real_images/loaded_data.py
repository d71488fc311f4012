"""The schedule problems' data, loaded once a process; never part of a problem, which travels."""

from __future__ import annotations

from functools import lru_cache

from raybilevel import data
from raybilevel.data import Columns, Dataset, Shape
from raybilevel.errors import InputError
from raybilevel.metrics.fid_kid import Gaussian
from raybilevel.metrics.reference_statistics import is_statistics, read_statistics
from raybilevel.problems.schedule.real_images.options import DataOptions


@lru_cache(maxsize=2)
def folds_of(name: str, options: DataOptions, drawn: Shape) -> tuple[Dataset, Dataset]:
    """Training data, and data held out."""
    return data.folds(dataset_of(name, options, drawn))


@lru_cache(maxsize=2)
def statistics_of(name: str) -> Gaussian | None:
    """Reference statistics, where the data are that."""
    return read_statistics(name) if is_statistics(name) else None


def noise_images(shape: Shape, count: int) -> Dataset:
    """Noise (count, C, H, W) in place of images: what an extractor can be tried on."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return Dataset(torch.rand((count, *shape), generator=generator))


@lru_cache(maxsize=2)
def dataset_of(name: str, options: DataOptions, drawn: Shape) -> Dataset:
    """As a network draws it; what has a name has a size that was meant, and keeps it."""
    loaded, size = _loaded(name, options.columns), options.size
    if data.is_named(name):
        return data.framed(loaded, size, crop=options.crop)
    return data.framed(loaded, size or drawn[1:], drawn[0], options.crop)


@lru_cache(maxsize=2)
def _loaded(name: str, columns: Columns) -> Dataset:
    return data.load(name, columns)


def shape_of_data(name: str, options: DataOptions) -> Shape:
    """(C, H, W) of a data set's images, for a network that is yet to be trained on them.

    Raises
    ------
    InputError
        If the data are reference statistics, which have none.
    """
    if is_statistics(name):
        raise InputError(
            f"data '{name}' are reference statistics (mu, sigma), but a network is trained on "
            "images; give those"
        )
    return data.framed(_loaded(name, options.columns), options.size, crop=options.crop).shape
