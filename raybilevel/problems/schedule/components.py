"""What the schedule problems are given: a network, data, and feature extractors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from raybilevel import data
from raybilevel.data import Columns, Dataset, Shape
from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_info import LevelInfo
from raybilevel.problems.schedule.network import Network
from raybilevel.problems.schedule.settings import DataOptions

if TYPE_CHECKING:
    from raybilevel.lower.sampling.level_sampler import LevelSampler

_FEWEST = 4  # images of a fold

ExtractorSpec = str | Callable[..., Any] | None


@dataclass(frozen=True)
class Components:
    """Names of what workers load, each in its own process.

    Parameters
    ----------
    network : a pretrained one, or one that the run trains.
    data : a data set's name or a path.
    solver, mixed_precision : how the network is sampled.
    data_options : how the data are read.
    extractor_spec, second_spec : as `load_extractor` takes them; None for a second that is trained.
    """

    network: Network
    data: str
    solver: str
    mixed_precision: str
    extractor_spec: ExtractorSpec
    second_spec: ExtractorSpec
    data_options: DataOptions = field(default_factory=DataOptions)

    @property
    def info(self) -> LevelInfo:
        """The network's noise levels."""
        return self.network.info

    @property
    def folds(self) -> tuple[Dataset, Dataset]:
        """Training data, and data held out."""
        return _folds(self.data, self.data_options, self.info.image_shape)

    @property
    def dataset(self) -> Dataset:
        """All of the data, as the network draws them."""
        return _dataset(self.data, self.data_options, self.info.image_shape)

    def check(self) -> None:
        """Refuse a model that cannot be used, data that do not fit it, and bad extractors.

        Raises
        ------
        InputError
            One sentence on what is wrong.
        """
        asked, wanted = self.data_options.size, self.info.image_shape
        if asked not in (None, wanted[1:]):
            raise InputError(
                f"data_options.resolution is {asked[0]} x {asked[1]} (height x width), but "
                f"{self.network} draws {wanted[1]} x {wanted[2]}; leave it out"
            )
        shape = data.shape_found(self.dataset)
        if shape != wanted:
            raise InputError(
                f"data '{self.data}' has images of {_said(shape)}, but {self.network} draws "
                f"{_said(wanted)}; give the data that it was trained on"
            )
        if min(len(fold.images) for fold in self.folds) < _FEWEST:
            raise InputError(
                f"data '{self.data}' has {sum(len(fold.images) for fold in self.folds)} images, of "
                f"which a fifth is held out; give at least {5 * _FEWEST}"
            )
        data.check_sizes(self.dataset, f"data '{self.data}'")
        self.extractor("cpu")
        self.second_extractor("cpu")

    def check_gradient(self) -> None:
        """Refuse an extractor that a gradient of the images does not come through."""
        from raybilevel.metrics.extractors import passes_gradients

        if not passes_gradients(self.extractor("cpu"), self.folds[0].images[:_FEWEST]):
            raise InputError(
                "penalty.z_step is 'truncated', which needs the features' gradient in the images, "
                f"but extractor {self.extractor_spec!r} passes none on, as where it rounds; take "
                "z_step 'zeroth_order'"
            )

    def sampler_on(self, device: str, unet: Any = None) -> LevelSampler:
        """What draws images with any levels, by the network as it begins where none is given."""
        from raybilevel.lower.sampling.level_sampler import LevelSampler

        unet = self.network.unet() if unet is None else unet
        return LevelSampler(self.info, unet, self.solver, device, self.mixed_precision)

    def extractor(self, device: str) -> Any:
        """The objective's feature extractor."""
        return self._load(self.extractor_spec, device, "extractor")

    @property
    def has_second(self) -> bool:
        """Whether there is a second extractor: one was given, or labels of two classes train it."""
        labels = self.folds[0].labels
        return self.second_spec is not None or (labels is not None and bool(labels.max() > 0))

    def second_extractor(self, device: str) -> Any:
        """The extractor that is never optimised; the objective's where there is no other."""
        if not self.has_second:
            return self.extractor(device)
        return self._load(self.second_spec or "second", device, "second_extractor")

    def _load(self, spec: ExtractorSpec, device: str, where: str) -> Any:
        from raybilevel.metrics.extractors import load_extractor

        return load_extractor(spec, self.folds[0], device, where)


@lru_cache(maxsize=2)
def _folds(name: str, options: DataOptions, drawn: Shape) -> tuple[Dataset, Dataset]:
    """Loaded once a process; never part of a problem, which travels."""
    return data.folds(_dataset(name, options, drawn))


@lru_cache(maxsize=2)
def _dataset(name: str, options: DataOptions, drawn: Shape) -> Dataset:
    """As a network draws it; what has a name has a size that was meant, and keeps it."""
    loaded, size = _loaded(name, options.columns), options.size
    if data.is_named(name):
        return data.framed(loaded, size, crop=options.crop)
    return data.framed(loaded, size or drawn[1:], drawn[0], options.crop)


@lru_cache(maxsize=2)
def _loaded(name: str, columns: Columns) -> Dataset:
    return data.load(name, columns)


def shape_of_data(name: str, options: DataOptions) -> Shape:
    """(C, H, W) of a data set's images, for a network that is yet to be trained on them."""
    return data.framed(_loaded(name, options.columns), options.size, crop=options.crop).shape


def _said(shape: Shape) -> str:
    channels, height, width = shape
    return f"{channels} x {height} x {width}"
