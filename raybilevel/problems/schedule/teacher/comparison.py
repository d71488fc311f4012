"""The comparison at the end: the learned lists beside what diffusers offers, on fresh noises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from raybilevel.lower.sampling.level_lists.stock import Choice, published_lists, stock_samplers
from raybilevel.problems.base import Arrays
from raybilevel.problems.schedule.real_images.judging import JUDGED, judge
from raybilevel.problems.schedule.teacher.model import TaughtModel
from raybilevel.problems.schedule.teacher.objectives.update import Trial, mean_of
from raybilevel.problems.schedule.teacher.settings import TeacherComparison
from raybilevel.problems.schedule.teacher.shards import Sigmas, Through

_FEATURES = "features/"  # how rows are called that have an extractor's

LEARNED = "learned"
START = "start of the search"
COLUMNS = ("nfe", "distance", "distance_se", "distance_median", "gap", "gap_se")
"""Of each subject: evaluations a sample; mean squared distance to the teacher, and its median, as
few samples that go elsewhere than the teacher's can make up the mean; and the gap: the learned
list's mean minus the subject's, on the same noises. With standard errors."""
REWARD_COLUMNS = ("reward", "reward_se", "reward_gap", "reward_gap_se")
"""Besides, where the objective is a reward: its mean, and the gap; distances are of images then."""

Metric = Literal["reward", "fid", "kid"]


def columns_of(metric: Metric | None) -> tuple[str, ...]:
    """Columns of a comparison; of FID and KID besides, by both extractors, those of `JUDGED`."""
    if metric is None:
        return COLUMNS
    return (*COLUMNS, *(REWARD_COLUMNS if metric == "reward" else JUDGED))


def rival_choices(model: TaughtModel, comparison: TeacherComparison) -> dict[str, Choice]:
    """Stock samplers by name, as {class, options}."""
    return stock_samplers(model.base, every_spacing=comparison.rivals == "all")


def rivals_of(
    model: TaughtModel,
    counts: Sequence[int],
    comparison: TeacherComparison,
    rival_steps: np.ndarray,
) -> list[list[Through]]:
    """What learned lists of so many steps are compared with: stock samplers, published lists.

    At as many evaluations, but for the model's own scheduler at `comparison.steps`; those that
    cannot walk so few are left out.

    Parameters
    ----------
    counts : numbers of steps.
    rival_steps : (counts, rivals) of each of `rival_choices`, 0 for those that are left out.
    """
    pairs = zip(counts, rival_steps, strict=True)
    return [_rivals(model, steps, comparison, known) for steps, known in pairs]


def _rivals(
    model: TaughtModel, steps: int, comparison: TeacherComparison, rival_steps: np.ndarray
) -> list[Through]:
    choices = rival_choices(model, comparison)
    rivals = [
        Through(name, scheduler=choice, steps=int(count))
        for (name, choice), count in zip(choices.items(), rival_steps, strict=True)
        if count
    ]
    steps_besides = dict.fromkeys(comparison.steps)
    more = [Through(f"own, {count} steps", steps=count) for count in steps_besides]
    lists = published_lists(model.base, steps).items()
    published = [Through(name, tuple(sigmas.tolist())) for name, sigmas in lists]
    return [Through("own", steps=steps), *rivals, *published, *more]


@dataclass(frozen=True)
class Subjects:
    """What is compared, of each number of steps: the learned list, the search's start, the rest."""

    parts: tuple[tuple[Through, ...], ...]

    @classmethod
    def of(
        cls,
        learned: Sequence[Sigmas],
        start: Sequence[Sigmas],
        rivals: Sequence[Sequence[Through]],
    ) -> Self:
        """Lists and rivals, of each number of steps."""
        each = zip(learned, start, rivals, strict=True)
        return cls(
            tuple((Through(LEARNED, a), Through(START, b), *others) for a, b, others in each)
        )

    @property
    def all(self) -> list[Through]:
        """One number of steps after the other."""
        return [one for part in self.parts for one in part]

    @property
    def learned(self) -> list[int]:
        """Places of the learned lists among all."""
        return [i for i, one in enumerate(self.all) if one.name == LEARNED]

    def tables(
        self, rows: Mapping[str, np.ndarray], state: Arrays, metric: Metric | None
    ) -> list[np.ndarray]:
        """Of each number of steps: (subjects, columns).

        Parameters
        ----------
        rows : of `Compared` shards.
        state : what is known of real images, where samples are held against them.
        """
        ends = [*self.learned[1:], len(self.all)]
        places = [slice(*span) for span in zip(self.learned, ends, strict=True)]
        return [_table(rows, part, state, metric) for part in places]

    def shown(self, tables: Sequence[np.ndarray], metric: Metric | None) -> list[Through]:
        """Of each number of steps the learned list, and the best of its rivals."""
        place, sign = columns_of(metric).index(metric or "distance"), sign_of(metric)
        bests = [2 + int(np.nanargmin(sign * table[2:, place])) for table in tables]
        pairs = zip(self.parts, bests, strict=True)
        return [one for part, best in pairs for one in (part[0], part[best])]

    def value(
        self, rows: Mapping[str, np.ndarray], tables: Sequence[np.ndarray], metric: Metric | None
    ) -> tuple[float, float]:
        """The objective of the learned lists, and its standard error."""
        if metric is None:
            return Trial.of_squares(rows["squares"][:, None, self.learned]).value(0)
        if metric == "reward":
            return mean_of(-rows["rewards"][:, self.learned].mean(axis=1))
        place = columns_of(metric).index(metric)
        values, errors = (np.mean([table[0, place + i] for table in tables]) for i in range(2))
        return float(values), float(errors)  # at most so much: lists have their noises in common


def sign_of(metric: Metric | None) -> int:
    """Of the metric in what is minimised."""
    return -1 if metric == "reward" else 1


def _table(
    rows: Mapping[str, np.ndarray], part: slice, state: Arrays, metric: Metric | None
) -> np.ndarray:
    nfe, squares = rows["nfe"][0, part], rows["squares"][:, part]
    medians, gaps = np.median(squares, axis=0), _gaps(squares)
    columns = np.stack([nfe, *_means(squares), medians, *gaps], axis=1)
    if metric is None:
        return columns
    if metric == "reward":
        rewards = rows["rewards"][:, part]
        more = np.stack([*_means(rewards), *_gaps(rewards)], axis=1)
    else:
        found = {n.removeprefix(_FEATURES): f for n, f in rows.items() if n.startswith(_FEATURES)}
        more = judge(state, {name: np.moveaxis(f[:, part], 1, 0) for name, f in found.items()})
    return np.concatenate([columns, more], axis=1)


def _means(values: np.ndarray) -> np.ndarray:
    """Means and errors (2, subjects) of values (n, subjects)."""
    return np.array([mean_of(column) for column in values.T]).T


def _gaps(values: np.ndarray) -> np.ndarray:
    """The first subject's mean minus each one's, and errors (2, subjects)."""
    return _means(values[:, :1] - values)


def frame(
    table: np.ndarray,
    counts: Sequence[int],
    rivals: Sequence[Sequence[Through]],
    metric: Metric | None = None,
) -> Any:
    """The tables of all numbers of steps as a data frame: sampling_steps, subject, the columns."""
    import pandas as pd

    names = [
        (steps, name)
        for steps, others in zip(counts, rivals, strict=True)
        for name in (LEARNED, START, *(other.name for other in others))
    ]
    named = pd.DataFrame(names, columns=["sampling_steps", "subject"])
    return named.join(pd.DataFrame(table, columns=list(columns_of(metric))))
