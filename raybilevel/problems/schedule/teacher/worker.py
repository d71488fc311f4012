"""One process's pipeline: draws through lists of levels, and says how far from the teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from raybilevel.problems.base import Output, Shard
from raybilevel.problems.named_pipeline import DRAWN_IN
from raybilevel.problems.schedule.teacher.comparison import LEARNED
from raybilevel.problems.schedule.teacher.drawing import (
    PairedDraws,
    along_each,
    as_rows,
    check_finite,
    inner_products,
)
from raybilevel.problems.schedule.teacher.rewarded import reward_differences, reward_values
from raybilevel.problems.schedule.teacher.shards import (
    Compared,
    Differences,
    Distances,
    Draws,
    Pair,
    RewardDifferences,
    RewardValues,
    Show,
    Survey,
    Teach,
    Through,
    Visit,
)


class TeacherWorker:
    """Runs the shards of a schedule that is found by a teacher, or by a reward.

    Parameters
    ----------
    draws : draws samples.
    teacher : what they are to come near to.

    Attributes
    ----------
    remarks : on the pipeline that was loaded.
    """

    def __init__(self, draws: PairedDraws, teacher: Through) -> None:
        self._draws, self._teacher = draws, teacher
        self.remarks = draws.remarks

    def run(self, shard: Shard, broadcast: Mapping[str, np.ndarray], key: int) -> Output:
        """Run one shard: its draws say all that is random about it."""
        match shard:
            case Survey():
                return self._survey(shard)
            case Teach():
                return self._teach(shard.draws)
            case Differences():
                return self._differences(shard, broadcast["taught"])
            case Distances():
                return self._distances(shard, broadcast["taught"])
            case RewardDifferences():
                return reward_differences(self._draws, shard)
        return self._run_other(shard)

    def _run_other(self, shard: Shard) -> Output:
        match shard:
            case RewardValues():
                return reward_values(self._draws, shard)
            case Compared():
                return self._compare(shard)
            case Show():
                return self._show(shard)
            case Visit():
                self._draws.sampler.argument(np.array(shard.sigmas))
                return Output()
        raise AssertionError(f"{type(shard).__name__} is no shard of this problem")

    def _survey(self, shard: Survey) -> Output:
        visited = self._draws.sampler.spacings(shard.schedulers, shard.steps)
        mu = self._draws.sampler.lists.given.get("mu", np.nan)
        rivals = [self._draws.sampler.steps_for(rival, shard.evaluations) for rival in shard.rivals]
        rows = {"visited": visited, "mu": np.array([float(mu)]), "rival_steps": np.array(rivals)}
        return Output({f"{DRAWN_IN}{self._draws.dtype}": np.array(1)}, rows)

    def _teach(self, draws: Draws) -> Output:
        taught, nfe = self._draws.rows(draws, self._teacher)
        return Output(rows={"taught": taught.astype(np.float32)}, nfe=nfe)

    def _differences(self, shard: Differences, taught: np.ndarray) -> Output:
        known = _of(shard.draws, taught)
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

    def _distances(self, shard: Distances, taught: np.ndarray) -> Output:
        drawn = [self._draws.rows(shard.draws, through) for through in shard.lists]
        squares, evaluations = _squares(drawn, _of(shard.draws, taught))
        return Output(rows={"squares": squares}, nfe=sum(evaluations))

    def _compare(self, shard: Compared) -> Output:
        taught, nfe, _ = self._compared(shard, self._teacher, rewarded=False)
        drawn = [self._compared(shard, s, rewarded=shard.rewarded) for s in shard.subjects]
        for subject, (rows, *_) in zip(shard.subjects, drawn, strict=True):
            if subject.name == LEARNED:  # a rival may overflow
                check_finite(rows)
        squares, evaluations = _squares([(rows, each) for rows, each, _ in drawn], taught)
        each = np.array(evaluations, float) / len(shard.draws.seeds)
        columns = {"squares": squares, "nfe": each[None]}
        if shard.rewarded:
            columns["rewards"] = np.stack([rewards for *_, rewards in drawn], axis=1)
        return Output(rows=columns, nfe=nfe + sum(evaluations))

    def _compared(
        self, shard: Compared, through: Through, *, rewarded: bool
    ) -> tuple[np.ndarray, int, np.ndarray]:
        """Rows, evaluations and rewards: of images where there is a reward."""
        if not shard.rewarded:
            return *self._draws.rows_as_they_are(shard.draws, through), np.empty(0)
        images, nfe = self._draws.images_as_they_are(shard.draws, through)
        rewards = self._draws.rewarded(shard.draws, images) if rewarded else np.empty(0)
        return as_rows(images), nfe, rewards

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
