"""One process's pipeline: draws through lists of levels, and says how far from the teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.problems.base import Arrays, Output, Shard
from raybilevel.problems.named_pipeline import DRAWN_IN
from raybilevel.problems.schedule.real_images.extraction import FeatureExtraction
from raybilevel.problems.schedule.real_images.shards import (
    HeldOutImages,
    ReferenceImages,
    TrainingImages,
)
from raybilevel.problems.schedule.teacher.comparison import LEARNED
from raybilevel.problems.schedule.teacher.drawing import (
    PairedDraws,
    along_each,
    as_rows,
    check_finite,
    inner_products,
)
from raybilevel.problems.schedule.teacher.held_against_data import (
    feature_differences,
    features_of_lists,
)
from raybilevel.problems.schedule.teacher.rewarded import reward_differences, reward_values
from raybilevel.problems.schedule.teacher.shards import (
    Compared,
    Differences,
    Distances,
    Draws,
    FeatureDifferences,
    Features,
    Pair,
    RewardDifferences,
    RewardValues,
    Show,
    Survey,
    Teach,
    Through,
    Visit,
)

if TYPE_CHECKING:
    from torch import Tensor


class TeacherWorker:
    """Runs the shards of a schedule that is found by a teacher, by a reward, or by data.

    Parameters
    ----------
    draws : draws samples.
    teacher : what they are to come near to.
    extraction : of features, where they are held against real images.

    Attributes
    ----------
    remarks : on the pipeline that was loaded.
    """

    def __init__(
        self, draws: PairedDraws, teacher: Through, extraction: FeatureExtraction | None = None
    ) -> None:
        self._draws, self._teacher, self._extraction = draws, teacher, extraction
        self.remarks = draws.remarks

    def run(self, shard: Shard, broadcast: Mapping[str, np.ndarray], key: int) -> Output:
        """Run one shard: its draws say all that is random about it."""
        match shard:
            case Differences():
                return self._differences(shard, _of(shard.draws, broadcast["taught"]))
            case Distances():
                return self._distances(shard, _of(shard.draws, broadcast["taught"]))
        return self._kinds[type(shard)](shard)

    @cached_property
    def _kinds(self) -> Mapping[type[Shard], Callable[[Any], Output]]:
        """What runs each kind of shards that need nothing broadcast."""
        draws, extraction = self._draws, self._extraction
        kinds: dict[type[Shard], Callable[[Any], Output]] = {
            Survey: self._survey, Teach: self._teach, Compared: self._compare, Show: self._show,
            Visit: self._visit,
            RewardDifferences: partial(reward_differences, draws),
            RewardValues: partial(reward_values, draws),
        }  # fmt: skip
        if extraction is None:
            return kinds
        return kinds | {
            ReferenceImages: extraction.of_real, TrainingImages: extraction.of_real,
            HeldOutImages: extraction.of_real,
            Features: partial(features_of_lists, draws, extraction),
            FeatureDifferences: partial(feature_differences, draws, extraction),
        }  # fmt: skip

    def _survey(self, shard: Survey) -> Output:
        visited = self._draws.sampler.spacings(shard.schedulers, shard.steps)
        mu = self._draws.sampler.lists.given.get("mu", np.nan)
        rivals = [self._draws.sampler.steps_for(rival, shard.evaluations) for rival in shard.rivals]
        rows = {"visited": visited, "mu": np.array([float(mu)]), "rival_steps": np.array(rivals)}
        return Output({f"{DRAWN_IN}{self._draws.dtype}": np.array(1)}, rows)

    def _teach(self, shard: Teach) -> Output:
        taught, nfe = self._draws.rows(shard.draws, self._teacher)
        return Output(rows={"taught": taught.astype(np.float32)}, nfe=nfe)

    def _visit(self, shard: Visit) -> Output:
        self._draws.sampler.argument(np.array(shard.sigmas))
        return Output()

    def _differences(self, shard: Differences, known: np.ndarray) -> Output:
        found = [self._sums(shard, pairs, known) for pairs in shard.pairs]
        slopes, curvatures, squares, nfe = zip(*found, strict=True)
        rows = {
            "count": np.array([float(len(known))]),
            "slopes": np.array([slopes]),
            "curvatures": np.array([curvatures]),
            "squares": np.array([squares]),
        }
        return Output(rows=rows, nfe=sum(nfe))

    def _sums(
        self, shard: Differences, pairs: Sequence[Pair], known: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, float, int]:
        """Of one number of steps: J'r (d,), J'J (d, d), r'r, and evaluations."""
        slopes, nfe = np.zeros(len(pairs)), 0
        columns: dict[int, np.ndarray] = {}
        squares: list[float] = []
        for i, up, down, evaluations in along_each(self._draws.rows, shard, pairs):
            column, between = (up - down) / (2 * shard.delta), (up + down) / 2 - known
            slopes[i] = np.sum(column * between)
            columns[i] = column.astype(np.float32)  # of pixels they are large
            squares.append(float(np.sum(between**2)))
            nfe += evaluations
        if not squares:  # as where a curve's levels are held at the end of what was trained
            rows, nfe = self._draws.rows(shard.draws, Through(sigmas=pairs[0][0], exact=True))
            squares.append(float(np.sum((rows - known) ** 2)))
        mean = sum(each / len(squares) for each in squares)
        return slopes, inner_products(columns, len(pairs)), mean, nfe

    def _distances(self, shard: Distances, known: np.ndarray) -> Output:
        drawn = [self._draws.rows(shard.draws, through) for through in shard.lists]
        squares, evaluations = _squares(drawn, known)
        return Output(rows={"squares": squares}, nfe=sum(evaluations))

    def _compare(self, shard: Compared) -> Output:
        taught, nfe, _ = self._compared(shard, self._teacher, judged=False)
        drawn = [self._compared(shard, s, judged=shard.judged) for s in shard.subjects]
        for subject, (rows, *_) in zip(shard.subjects, drawn, strict=True):
            if subject.name == LEARNED:  # a rival may overflow
                check_finite(rows)
        squares, evaluations = _squares([(rows, each) for rows, each, _ in drawn], taught)
        each = np.array(evaluations, float) / len(shard.draws.seeds)
        columns = {"squares": squares, "nfe": each[None]}
        for name in drawn[0][2]:
            columns[name] = np.stack([said[name] for *_, said in drawn], axis=1)
        return Output(rows=columns, nfe=nfe + sum(evaluations))

    def _compared(
        self, shard: Compared, through: Through, *, judged: bool
    ) -> tuple[np.ndarray, int, Arrays]:
        """Rows, evaluations, and what is said of images where they are judged."""
        if not shard.judged:
            return *self._draws.rows_as_they_are(shard.draws, through), {}
        images, nfe = self._draws.images_as_they_are(shard.draws, through)
        return as_rows(images), nfe, self._judged(shard.draws, images) if judged else {}

    def _judged(self, draws: Draws, images: Tensor) -> Arrays:
        """The reward (n,), or features (n, F) by both extractors; nan where images overflow."""
        if self._extraction is None:
            return {"rewards": self._draws.rewarded(draws, images)}
        known = images.isfinite().all()
        found = self._extraction.by_both(images if known else images.nan_to_num())
        return found if known else {name: np.full_like(f, np.nan) for name, f in found.items()}

    def _show(self, shard: Show) -> Output:
        images, nfe = self._draws.images_as_they_are(shard.draws, shard.subject)
        shown = (images * 255).round().byte().numpy()
        return Output(rows={"shown": shown[None]}, nfe=nfe)


def _squares(
    drawn: Sequence[tuple[np.ndarray, int]], taught: np.ndarray
) -> tuple[np.ndarray, list[int]]:
    """Squared distances (n, lists), and the evaluations of each list."""
    squares = [np.sum((samples - taught) ** 2, axis=1) for samples, _ in drawn]
    return np.stack(squares, axis=1), [nfe for _, nfe in drawn]


def _of(draws: Draws, taught: np.ndarray) -> np.ndarray:
    return taught[draws.first : draws.first + len(draws.seeds)].astype(float)
