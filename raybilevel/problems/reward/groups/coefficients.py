"""Lambda and the weights of every group of prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated

import numpy as np
from pydantic import AfterValidator

from raybilevel.errors import InputError
from raybilevel.problems.reward.coefficients import Coefficients
from raybilevel.upper.variables import Variable


def _no_field(name: str) -> str:
    if name in Variable.__dataclass_fields__:
        raise ValueError(f"'{name}' is what a Variable has, and no group")
    return name


GroupName = Annotated[str, AfterValidator(_no_field)]
"""Not "low" and the like, so that a `Variable` that lacks something is told so."""

OneOrEach = Variable | float | Mapping[str, Variable | float]
"""What is one for all prompts, or one a group."""


@dataclass(frozen=True)
class GroupedCoefficients(Coefficients):
    """Those of all groups, one group after the other.

    Variables are those that groups share, in the order of lambda and the weights, and then each
    group's own.

    Attributes
    ----------
    groups : their names (G,).
    shared : which of (lambda, w_1, ..., w_K) are one variable for all groups.
    """

    groups: tuple[str, ...]
    shared: tuple[int, ...] = ()

    @classmethod
    def of(cls, given: Sequence[OneOrEach], named: Sequence[str]) -> GroupedCoefficients:
        """Of lambda and the weights (1 + K,), of which one at least is given by group.

        A group's own variable is named "<its name>/<group>", a shared one as it is.

        Parameters
        ----------
        named : (1 + K,) what sentences call each.

        Raises
        ------
        InputError
            If they are given for different groups.
        """
        each = {n: list(c) for n, c in zip(named, given, strict=True) if isinstance(c, Mapping)}
        groups = tuple(next(iter(each.values())))
        if not groups:
            raise InputError(f"{next(iter(each))} is empty; give a Variable or a number, or groups")
        for name, others in each.items():
            if set(others) != set(groups):
                raise InputError(
                    f"{name} is given for {', '.join(others)}, but {next(iter(each))} for "
                    f"{', '.join(groups)}; give each for the same groups"
                )
        shared = tuple(i for i, c in enumerate(given) if isinstance(c, Variable))
        return cls(tuple(_of_group(c, g) for g in groups for c in given), groups, shared)

    @cached_property
    def parts(self) -> dict[str, Coefficients]:
        """Each group's, what is shared among them, by its name."""
        each = len(self.given) // len(self.groups)
        numbered = enumerate(self.groups)
        return {g: Coefficients(self.given[i * each : (i + 1) * each]) for i, g in numbered}

    @cached_property
    def variables(self) -> tuple[Variable, ...]:
        """The (d,) that are tuned."""
        one = self.parts[self.groups[0]]
        shared = (v for v, c in zip(one.variables, one.columns, strict=True) if c in self.shared)
        own = (v for part in self.parts.values() for v in self._own(part))
        return *shared, *own

    @cached_property
    def places(self) -> dict[str, np.ndarray]:
        """Where in x (d,) each group's variables are."""
        found, end = {}, len(self.shared)
        for group, part in self.parts.items():
            is_shared, own = np.isin(part.columns, self.shared), len(self._own(part))
            found[group] = np.empty(len(is_shared), dtype=np.int64)
            found[group][is_shared] = np.arange(len(self.shared))
            found[group][~is_shared] = np.arange(end, end + own)
            end += own
        return found

    @cached_property
    def safest(self) -> np.ndarray:
        """As in each group."""
        found = np.empty(len(self.variables))
        for group, part in self.parts.items():
            found[self.places[group]] = part.safest
        return found

    @property
    def tune_lambda(self) -> bool:
        """Whether that of any group is."""
        return any(part.tune_lambda for part in self.parts.values())

    @property
    def are_free(self) -> bool:
        """Whether some are: what is shared has its size from any group with a number."""
        free = [part.are_free for part in self.parts.values()]
        return all(free) if self.shared else any(free)

    def _own(self, part: Coefficients) -> list[Variable]:
        named = zip(part.variables, part.columns, strict=True)
        return [v for v, column in named if column not in self.shared]

    def check_groups(self, groups: Sequence[str]) -> None:
        """Refuse other groups than those that prompts (C,) belong to."""
        if set(groups) != set(self.groups):
            raise InputError(
                f"lambda_ and weights are given for {', '.join(self.groups)}, but the prompts' "
                f"groups are {', '.join(dict.fromkeys(groups))}; give each one"
            )


def _of_group(given: OneOrEach, group: str) -> Variable | float:
    if not isinstance(given, Mapping):
        return given
    own = given[group]
    return replace(own, name=f"{own.name}/{group}") if isinstance(own, Variable) else own
