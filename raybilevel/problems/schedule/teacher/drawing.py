"""What a worker draws from noises: samples as rows of numbers, images, and what rewards say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from raybilevel.errors import RunError
from raybilevel.lower.sampling.pipelines.call import Conditions
from raybilevel.problems.asked_rewards import asked
from raybilevel.problems.prompts.prompt_list import PromptList
from raybilevel.problems.schedule.teacher.model import TaughtModel
from raybilevel.problems.schedule.teacher.shards import DrawnPairs, Draws, Pair, Through
from raybilevel.rewards import Reward

if TYPE_CHECKING:
    from torch import Tensor

    from raybilevel.lower.sampling.level_lists.list_sampler import ListSampler
    from raybilevel.lower.sampling.pipelines.sampler import Drawn

T = TypeVar("T")

_REWARD = "objective"


class PairedDraws:
    """Draws from the same noises through whatever is asked for.

    A sample is a row of numbers, divided by the root of how many they are: squared distances are
    means over them.

    Attributes
    ----------
    sampler : of what is compared; named, remarks, dtype : of the pipeline that was loaded.
    """

    def __init__(
        self, model: TaughtModel, prompts: PromptList | None, reward: Reward | None, device: str
    ) -> None:
        self._conditions, self._prompts, self.named = model.conditions, prompts, model.named
        self._rewards = {} if reward is None else {_REWARD: reward}
        self.sampler, self._images, self.remarks, self.dtype = model.samplers(device)

    def rows(self, draws: Draws, through: Through) -> tuple[np.ndarray, int]:
        """Samples (n, D) float64, all finite, and their evaluations."""
        rows, nfe = self.rows_as_they_are(draws, through)
        check_finite(rows)
        return rows, nfe

    def rows_as_they_are(self, draws: Draws, through: Through) -> tuple[np.ndarray, int]:
        """The same where a rival may overflow."""
        drawn = self._draw(draws, through, self.sampler)
        return as_rows(drawn.images), drawn.cost.nfe

    def images(self, draws: Draws, through: Through) -> tuple[Tensor, int]:
        """Images (n, C, H, W) in [0, 1], all finite, and their evaluations."""
        images, nfe = self.images_as_they_are(draws, through)
        check_finite(images.numpy())
        return images, nfe

    def images_as_they_are(self, draws: Draws, through: Through) -> tuple[Tensor, int]:
        """The same where a rival may overflow: nan stays nan."""
        drawn = self._draw(draws, through, self._images)
        return drawn.images.nan_to_num(float("nan"), float("nan"), float("nan")).clamp(0, 1), (
            drawn.cost.nfe
        )

    def rewarded(self, draws: Draws, images: Tensor) -> np.ndarray:
        """The reward (n,) of images; nan of all where a rival overflowed."""
        if not np.isfinite(images.numpy()).all():
            return np.full(len(images), np.nan)
        return asked(self._rewards, images, draws.seeds, self._prompts, draws.prompts)[_REWARD]

    def _draw(self, draws: Draws, through: Through, sampler: ListSampler) -> Drawn:
        seeds, conditions = draws.seeds, self._told(draws)
        if through.sigmas is None:
            return sampler.draw_stock(seeds, conditions, through.scheduler, through.steps)
        return sampler.draw(seeds, conditions, np.array(through.sigmas), exact=through.exact)

    def _told(self, draws: Draws) -> Conditions:
        known: Any = self._conditions
        return None if draws.prompts is None else [known[i] for i in draws.prompts]


def as_rows(samples: Tensor) -> np.ndarray:
    """Samples (n, ...) as rows (n, D) float64, divided by the root of D."""
    rows = samples.flatten(1).double().numpy()
    return np.asarray(rows / np.sqrt(rows.shape[1]))


def along_each(
    draw: Callable[[Draws, Through], tuple[T, int]], shard: DrawnPairs, pairs: Sequence[Pair]
) -> Iterator[tuple[int, T, T, int]]:
    """Draw up and down along each variable that moves a list: which it is, and evaluations too."""
    for i, pair in enumerate(pairs):
        if pair[0] != pair[1]:  # of a curve a variable need not move each list
            (up, first), (down, second) = (
                draw(shard.draws, Through(sigmas=sigmas, exact=True)) for sigmas in pair
            )
            yield i, up, down, first + second


def inner_products(columns: Mapping[int, np.ndarray], d: int) -> np.ndarray:
    """Inner products (d, d) of columns (n, D) of some of d variables, summed in float64."""
    found = np.zeros((d, d))
    for i, j in combinations_with_replacement(columns, 2):
        found[i, j] = found[j, i] = np.einsum("nD,nD->", columns[i], columns[j], dtype=np.float64)
    return found


def check_finite(rows: np.ndarray) -> None:
    """Refuse samples that overflowed."""
    if not np.isfinite(rows).all():
        raise RunError(
            "samples are not finite: the network or the decoder overflows; try dtype: float32"
        )
