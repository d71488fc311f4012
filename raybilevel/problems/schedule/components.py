"""What the schedule problems are given: a network, data, and feature extractors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_info import LevelInfo
from raybilevel.problems.schedule.network import Network
from raybilevel.problems.schedule.real_images.images import FEWEST, ExtractorSpec, RealImages
from raybilevel.problems.schedule.real_images.options import DataOptions

if TYPE_CHECKING:
    from raybilevel.lower.sampling.level_sampler import LevelSampler


@dataclass(frozen=True)
class Components:
    """Names of what workers load, each in its own process.

    Parameters
    ----------
    network : a pretrained one, or one that the run trains.
    solver, mixed_precision : how the network is sampled.
    data, data_options, extractor_spec, second_spec : as `RealImages` has them.
    """

    network: Network
    data: str
    solver: str
    mixed_precision: str
    extractor_spec: ExtractorSpec
    second_spec: ExtractorSpec
    data_options: DataOptions

    @property
    def info(self) -> LevelInfo:
        """The network's noise levels."""
        return self.network.info

    @cached_property
    def real(self) -> RealImages:
        """Data, and the extractors that see them and samples."""
        return RealImages(
            self.data, self.info.image_shape, self.extractor_spec, self.second_spec,
            self.data_options,
        )  # fmt: skip

    def check(self) -> None:
        """Refuse a model that cannot be used, data that do not fit it, and bad extractors.

        Raises
        ------
        InputError
            One sentence on what is wrong.
        """
        self.real.check(str(self.network))

    def check_gradient(self) -> None:
        """Refuse an extractor that a gradient of the images does not come through."""
        from raybilevel.metrics.extractors import passes_gradients

        if not passes_gradients(self.real.extractor("cpu"), self.real.folds[0].images[:FEWEST]):
            raise InputError(
                "penalty.z_step is 'truncated', which needs the features' gradient in the images, "
                f"but extractor {self.real.chosen[0]!r} passes none on, as where it rounds; take "
                "z_step 'zeroth_order'"
            )

    def sampler_on(self, device: str, unet: Any = None) -> LevelSampler:
        """What draws images with any levels, by the network as it begins where none is given."""
        from raybilevel.lower.sampling.level_sampler import LevelSampler

        unet = self.network.unet() if unet is None else unet
        return LevelSampler(self.info, unet, self.solver, device, self.mixed_precision)
