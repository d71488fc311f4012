"""Names of problems, rewards, schedules, solvers and searches: ours, and those of other packages.

A package registers a name as an entry point:

    [project.entry-points."raybilevel.problems"]
    their_name = "their_package.module:TheirProblem"

and likewise in `raybilevel.rewards`, `raybilevel.schedules`, `raybilevel.solvers` and
`raybilevel.searches`. A name is looked up where a run is configured, and only what is named is
imported. What was looked up travels with the run (`looked_up`, `hand_over`), so that drivers and
workers search no installed packages.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

from raybilevel.errors import InputError
from raybilevel.imports import resolve

_US = "raybilevel"
_PREFIX = "raybilevel."
_SINGULAR = {
    "problems": "problem",
    "rewards": "reward",
    "schedules": "schedule",
    "solvers": "solver",
    "searches": "search",
}
_OURS: dict[str, dict[str, str]] = {
    "problems": {
        "reward": "raybilevel.problems.reward.problem:RewardTuning",
        "sampling_schedule": "raybilevel.problems.schedule.sampling_schedule:SamplingSchedule",
        "training_schedule": "raybilevel.problems.schedule.training.problem:TrainingSchedule",
    },
    "rewards": {
        name: f"raybilevel.rewards.builtin:{name}"
        for name in ("ink", "ink_error", "jpeg_size", "legibility", "proxy_legibility", "novelty",
                     "realism", "class_log_prob", "proxy_logit")
    } | {
        name: f"raybilevel.rewards.clip.rewards:{name}"
        for name in ("clip_similarity", "pickscore", "aesthetic")
    } | {
        name: f"raybilevel.rewards.asked_digit:{name}"
        for name in ("asked_digit", "proxy_asked_digit", "held_out_asked_digit")
    } | {"thickness": "raybilevel.rewards.thickness:thickness"},
    "schedules": {
        "knots": "raybilevel.schedules.knots:knots",
        "cosine": "raybilevel.schedules.cosine_sigmoid:cosine",
        "sigmoid": "raybilevel.schedules.cosine_sigmoid:sigmoid",
    },
    "solvers": {
        "dpm++": "raybilevel.lower.sampling.solvers:DPMPP_2M",
        "ddim": "raybilevel.lower.sampling.solvers:DDIM",
    },
    "searches": {
        name: f"raybilevel.baselines.searches:{name}"
        for name in ("default", "grid", "random", "tpe", "gp", "asha", "pbt", "pb2")
    },
}  # fmt: skip
"""Built in, and not entry points of this package: they do not depend on how it is installed."""


@dataclass(frozen=True, order=True)
class Entry:
    """A registered name.

    Attributes
    ----------
    group : "problems", "rewards", "schedules", "solvers" or "searches".
    path : the import path "package.module:name" that it stands for.
    package : the distribution that registers it.
    """

    group: str
    name: str
    path: str
    package: str

    @property
    def ours(self) -> bool:
        """Whether it comes with raybilevel."""
        return self.package == _US

    def load(self) -> Any:
        """What the name stands for; `InputError` names the package and why its import fails."""
        return resolve(self.path, f"{self}")

    def __str__(self) -> str:
        return f"the {_SINGULAR[self.group]} '{self.name}' of package {self.package}"


_looked_up: dict[tuple[str, str], Entry] = {}
_handed_over: dict[tuple[str, str], Entry] = {}


def names(group: str) -> list[str]:
    """All names of a group, ours first; duplicates once."""
    return list(dict.fromkeys(entry.name for entry in _entries(group)))


def find(group: str, name: str) -> Entry | None:
    """The entry of that name; None where nobody registers it.

    Raises
    ------
    InputError
        If two packages do.
    """
    if (group, name) in _handed_over:
        return _handed_over[group, name]
    found = [entry for entry in _entries(group) if entry.name == name]
    if len(found) > 1:
        first, second = found[0], found[1]
        raise InputError(
            f"the {_SINGULAR[group]} '{name}' is registered by two packages, {first.package} "
            f"({first.path}) and {second.package} ({second.path}); uninstall one of them"
        )
    if not found:
        return None
    _looked_up[group, name] = found[0]
    return found[0]


def name_of(group: str, thing: Any) -> str | None:
    """The name that `thing` is registered by, found without an import; None where it has none."""
    for entry in _entries(group):
        module, _, attribute = entry.path.partition(":")
        if module in sys.modules and getattr(sys.modules[module], attribute, None) is thing:
            return entry.name
    return None


def looked_up() -> tuple[Entry, ...]:
    """What was looked up in this process, for another one, in an order of its own."""
    return tuple(sorted((_looked_up | _handed_over).values()))


def hand_over(entries: Iterable[Entry]) -> None:
    """Use what another process looked up, in place of searching here."""
    _handed_over.update({(entry.group, entry.name): entry for entry in entries})


def _entries(group: str) -> list[Entry]:
    ours = [Entry(group, name, path, _US) for name, path in _OURS[group].items()]
    return ours + [entry for entry in _installed(tuple(sys.path)) if entry.group == group]


@lru_cache(maxsize=4)
def _installed(search_path: tuple[str, ...]) -> tuple[Entry, ...]:
    """What the packages on the search path register, read once."""
    return tuple(
        Entry(group.removeprefix(_PREFIX), point.name, point.value, point.dist.name)
        for group in (f"{_PREFIX}{group}" for group in _SINGULAR)
        for point in entry_points(group=group)
        if point.dist is not None
    )
