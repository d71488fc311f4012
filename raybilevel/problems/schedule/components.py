"""What the schedule problems are given: a network, data, and feature extractors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from raybilevel import data
from raybilevel.data import Dataset, Shape
from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_info import LevelInfo
from raybilevel.metrics.fid_kid import Gaussian
from raybilevel.problems.schedule.loaded_data import (
    dataset_of,
    folds_of,
    noise_images,
    statistics_of,
)
from raybilevel.problems.schedule.network import Network
from raybilevel.problems.schedule.reference import check_size
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
    extractor_spec, second_spec : as `load_extractor` takes them, or "auto".
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
    def statistics(self) -> Gaussian | None:
        """What FID is taken to where the data are reference statistics, without images."""
        return statistics_of(self.data)

    @property
    def folds(self) -> tuple[Dataset, Dataset]:
        """Training data, and data held out."""
        return folds_of(self.data, self.data_options, self.info.image_shape)

    @property
    def dataset(self) -> Dataset:
        """All of the data, as the network draws them."""
        return dataset_of(self.data, self.data_options, self.info.image_shape)

    def check(self) -> None:
        """Refuse a model that cannot be used, data that do not fit it, and bad extractors.

        Raises
        ------
        InputError
            One sentence on what is wrong.
        """
        if self.statistics is not None:
            check_size(self.data, self.statistics, self.features, self.extractor_spec)
            return
        self._check_images()
        self.extractor("cpu")
        self.second_extractor("cpu")

    def _check_images(self) -> None:
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

    def check_gradient(self) -> None:
        """Refuse an extractor that a gradient of the images does not come through."""
        from raybilevel.metrics.extractors import passes_gradients

        if not passes_gradients(self.extractor("cpu"), self.folds[0].images[:_FEWEST]):
            raise InputError(
                "penalty.z_step is 'truncated', which needs the features' gradient in the images, "
                f"but extractor {self.chosen[0]!r} passes none on, as where it rounds; take "
                "z_step 'zeroth_order'"
            )

    def sampler_on(self, device: str, unet: Any = None) -> LevelSampler:
        """What draws images with any levels, by the network as it begins where none is given."""
        from raybilevel.lower.sampling.level_sampler import LevelSampler

        unet = self.network.unet() if unet is None else unet
        return LevelSampler(self.info, unet, self.solver, device, self.mixed_precision)

    def extractor(self, device: str) -> Any:
        """The objective's feature extractor."""
        return self._load(self.chosen[0], device, "extractor")

    @property
    def images(self) -> int | None:
        """Training images; None where there are statistics alone."""
        return None if self.statistics is not None else len(self.folds[0].images)

    @property
    def features(self) -> int:
        """Numbers that the objective's extractor makes of an image."""
        return int(self.extractor("cpu")(self._seen.images[:2]).shape[1])

    @property
    def has_second(self) -> bool:
        """Whether there is a second extractor: statistics are those of one."""
        return self.statistics is None

    def second_extractor(self, device: str) -> Any:
        """The extractor that is never optimised."""
        return self._load(self.chosen[1], device, "second_extractor")

    @property
    def chosen(self) -> tuple[ExtractorSpec, ExtractorSpec]:
        """The two extractors, with what "auto" stands for on these data."""
        from raybilevel.metrics.extractor_choice import choose

        return choose(self.extractor_spec, self.second_spec, self._seen)

    def _load(self, spec: ExtractorSpec, device: str, where: str) -> Any:
        from raybilevel.metrics.extractors import load_extractor

        return load_extractor(spec, self._seen, device, where)

    @property
    def _seen(self) -> Dataset:
        """What extractors are trained and tried on; noise where there are statistics alone."""
        if self.statistics is None:
            return self.folds[0]
        return noise_images(self.info.image_shape, _FEWEST)


def _said(shape: Shape) -> str:
    channels, height, width = shape
    return f"{channels} x {height} x {width}"
