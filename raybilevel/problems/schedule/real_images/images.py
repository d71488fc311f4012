"""What samples should look like: data, or their statistics, and the extractors that see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from raybilevel import data
from raybilevel.data import Dataset, Shape
from raybilevel.errors import InputError
from raybilevel.metrics.fid_kid import Gaussian
from raybilevel.problems.schedule.real_images.loaded_data import (
    dataset_of,
    folds_of,
    noise_images,
    statistics_of,
)
from raybilevel.problems.schedule.real_images.options import DataOptions
from raybilevel.problems.schedule.real_images.reference import check_size

FEWEST = 4  # images of a fold

ExtractorSpec = str | Callable[..., Any] | None


@dataclass(frozen=True)
class RealImages:
    """Names of data and extractors, each loaded where it is asked for.

    Parameters
    ----------
    data : a data set's name or a path.
    drawn : (C, H, W) of the samples that are held against them.
    extractor_spec, second_spec : as `load_extractor` takes them, or "auto".
    data_options : how the data are read.
    """

    data: str
    drawn: Shape
    extractor_spec: ExtractorSpec
    second_spec: ExtractorSpec
    data_options: DataOptions = field(default_factory=DataOptions)

    @property
    def statistics(self) -> Gaussian | None:
        """What FID is taken to where the data are reference statistics, without images."""
        return statistics_of(self.data)

    @property
    def folds(self) -> tuple[Dataset, Dataset]:
        """Training data, and data held out."""
        return folds_of(self.data, self.data_options, self.drawn)

    @property
    def dataset(self) -> Dataset:
        """All of the data, as the samples are."""
        return dataset_of(self.data, self.data_options, self.drawn)

    @property
    def count(self) -> int | None:
        """Training images; None where there are statistics alone."""
        return None if self.statistics is not None else len(self.folds[0].images)

    def check(self, drawer: str) -> None:
        """Refuse data that are unlike the samples, too few, and bad extractors.

        Parameters
        ----------
        drawer : what sentences say that draws the samples.

        Raises
        ------
        InputError
            One sentence on what is wrong.
        """
        if self.statistics is not None:
            check_size(self.data, self.statistics, self.features, self.extractor_spec)
            return
        self._check_images(drawer)
        self.extractor("cpu")
        self.second_extractor("cpu")

    def _check_images(self, drawer: str) -> None:
        asked, wanted = self.data_options.size, self.drawn
        if asked not in (None, wanted[1:]):
            raise InputError(
                f"data_options.resolution is {asked[0]} x {asked[1]} (height x width), but "
                f"{drawer} draws {wanted[1]} x {wanted[2]}; leave it out"
            )
        shape = data.shape_found(self.dataset)
        if shape != wanted:
            raise InputError(
                f"data '{self.data}' has images of {said(shape)}, but {drawer} draws "
                f"{said(wanted)}; give the data that it was trained on"
            )
        if min(len(fold.images) for fold in self.folds) < FEWEST:
            raise InputError(
                f"data '{self.data}' has {sum(len(fold.images) for fold in self.folds)} images, of "
                f"which a fifth is held out; give at least {5 * FEWEST}"
            )
        data.check_sizes(self.dataset, f"data '{self.data}'")

    # --- extractors -------------------------------------------------------------------------------

    def extractor(self, device: str) -> Any:
        """The objective's feature extractor."""
        return self._load(self.chosen[0], device, "extractor")

    def second_extractor(self, device: str) -> Any:
        """The extractor that is never optimised."""
        return self._load(self.chosen[1], device, "second_extractor")

    @property
    def features(self) -> int:
        """Numbers that the objective's extractor makes of an image."""
        return int(self.extractor("cpu")(self._seen.images[:2]).shape[1])

    @property
    def has_second(self) -> bool:
        """Whether there is a second extractor: statistics are those of one."""
        return self.statistics is None

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
        return noise_images(self.drawn, FEWEST)


def said(shape: Shape) -> str:
    """A size as sentences say it."""
    channels, height, width = shape
    return f"{channels} x {height} x {width}"
