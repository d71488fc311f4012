"""One process's pipeline: draws through lists of levels, and says how far from the teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.errors import RunError
from raybilevel.lower.sampling.pipelines.call import Conditions
from raybilevel.problems.base import Output, Shard
from raybilevel.problems.named_pipeline import DRAWN_IN
from raybilevel.problems.schedule.teacher.comparison import LEARNED
from raybilevel.problems.schedule.teacher.model import TaughtModel
from raybilevel.problems.schedule.teacher.shards import (
    Compared,
    Differences,
    Distances,
    Draws,
    Show,
    Sigmas,
    Survey,
    Teach,
    Through,
    Visit,
)

if TYPE_CHECKING:
    from raybilevel.lower.sampling.pipelines.sampler import Drawn


class TeacherWorker:
    """Runs the shards of a schedule that is found by a teacher.

    A sample is a row of numbers, divided by the root of how many they are: squared distances are
    means over them.

    Attributes
    ----------
    remarks : on the pipeline that was loaded.
    """

    def __init__(self, model: TaughtModel, device: str) -> None:
        self._model = model
        self._sampler, self._images, self.remarks, self._dtype = model.samplers(device)

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
        return self._run_last(shard)

    def _run_last(self, shard: Shard) -> Output:
        """Those of the last round."""
        match shard:
            case Compared():
                return self._compare(shard)
            case Show():
                return self._show(shard)
            case Visit():
                self._sampler.argument(np.array(shard.sigmas))
                return Output()
        raise AssertionError(f"{type(shard).__name__} is no shard of this problem")

    def _survey(self, shard: Survey) -> Output:
        visited = self._sampler.spacings(shard.schedulers, shard.steps)
        mu = self._sampler.lists.given.get("mu", np.nan)
        rivals = [self._sampler.steps_for(rival, shard.evaluations) for rival in shard.rivals]
        rows = {"visited": visited, "mu": np.array([float(mu)]), "rival_steps": np.array(rivals)}
        return Output({f"{DRAWN_IN}{self._dtype}": np.array(1)}, rows)

    def _teach(self, draws: Draws) -> Output:
        taught, nfe = self._drawn(draws, self._model.teacher)
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
        self, shard: Differences, pairs: Sequence[tuple[Sigmas, Sigmas]], known: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, float, int]:
        """Of one number of steps: J'r (d,), J'J (d, d), r'r, and evaluations."""
        moving = [i for i, (up, down) in enumerate(pairs) if up != down]
        slopes, curvatures = np.zeros(len(pairs)), np.zeros((len(pairs), len(pairs)))
        columns, squares, nfe = [], 0.0, 0
        for i in moving:
            (up, first), (down, second) = (
                self._drawn(shard.draws, Through(sigmas=sigmas, exact=True)) for sigmas in pairs[i]
            )
            column, between = (up - down) / (2 * shard.delta), (up + down) / 2 - known
            slopes[i] = np.sum(column * between)
            squares += float(np.sum(between**2)) / len(moving)
            columns.append(column.astype(np.float32))  # of pixels they are large
            nfe += first + second
        curvatures[np.ix_(moving, moving)] = _products(columns)
        return slopes, curvatures, squares, nfe

    def _distances(self, shard: Distances, taught: np.ndarray) -> Output:
        drawn = [self._drawn(shard.draws, through) for through in shard.lists]
        squares, evaluations = _squares(drawn, _of(shard.draws, taught))
        return Output(rows={"squares": squares}, nfe=sum(evaluations))

    def _compare(self, shard: Compared) -> Output:
        taught, nfe = self._drawn(shard.draws, self._model.teacher)
        drawn = [self._drawn_as_is(shard.draws, s) for s in shard.subjects]
        for subject, (rows, _) in zip(shard.subjects, drawn, strict=True):
            if subject.name == LEARNED:  # a rival may overflow
                _check_finite(rows)
        squares, evaluations = _squares(drawn, taught)
        each = np.array(evaluations, float) / len(shard.draws.seeds)
        return Output(rows={"squares": squares, "nfe": each[None]}, nfe=nfe + sum(evaluations))

    def _show(self, shard: Show) -> Output:
        drawn = self._draw(shard.draws, shard.subject, images=True)
        shown = (drawn.images.clamp(0, 1) * 255).round().byte().numpy()
        return Output(rows={"shown": shown[None]}, nfe=drawn.cost.nfe)

    def _drawn(self, draws: Draws, through: Through) -> tuple[np.ndarray, int]:
        """Samples (n, D) float64, all finite, and their evaluations."""
        rows, nfe = self._drawn_as_is(draws, through)
        _check_finite(rows)
        return rows, nfe

    def _drawn_as_is(self, draws: Draws, through: Through) -> tuple[np.ndarray, int]:
        drawn = self._draw(draws, through)
        rows = drawn.images.flatten(1).double().numpy()
        return rows / np.sqrt(rows.shape[1]), drawn.cost.nfe

    def _draw(self, draws: Draws, through: Through, *, images: bool = False) -> Drawn:
        sampler = self._images if images else self._sampler
        seeds, conditions = draws.seeds, self._conditions(draws)
        if through.sigmas is None:
            return sampler.draw_stock(seeds, conditions, through.scheduler, through.steps)
        return sampler.draw(seeds, conditions, np.array(through.sigmas), exact=through.exact)

    def _conditions(self, draws: Draws) -> Conditions:
        known: Any = self._model.conditions
        return None if draws.prompts is None else [known[i] for i in draws.prompts]


def _squares(
    drawn: Sequence[tuple[np.ndarray, int]], taught: np.ndarray
) -> tuple[np.ndarray, list[int]]:
    """Squared distances (n, lists), and the evaluations of each list."""
    squares = [np.sum((samples - taught) ** 2, axis=1) for samples, _ in drawn]
    return np.stack(squares, axis=1), [nfe for _, nfe in drawn]


def _products(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Inner products (d, d) of columns (n, D), summed in float64."""
    d = len(columns)
    found = np.empty((d, d))
    for i, j in combinations_with_replacement(range(d), 2):
        found[i, j] = found[j, i] = np.einsum("nD,nD->", columns[i], columns[j], dtype=np.float64)
    return found


def _check_finite(rows: np.ndarray) -> None:
    if not np.isfinite(rows).all():
        raise RunError(
            "samples are not finite: the network or the decoder overflows; try dtype: float32"
        )


def _of(draws: Draws, taught: np.ndarray) -> np.ndarray:
    return taught[draws.first : draws.first + len(draws.seeds)].astype(float)
