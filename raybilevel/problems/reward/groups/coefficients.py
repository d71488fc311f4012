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

    Attributes
    ----------
    groups : their names (G,).
    """

    groups: tuple[str, ...]

    @classmethod
    def of(cls, given: Sequence[OneOrEach], named: Sequence[str]) -> GroupedCoefficients:
        """Of lambda and the weights (1 + K,), of which one at least is given by group.

        A group's variable is named "<its name>/<group>".

        Parameters
        ----------
        named : (1 + K,) what sentences call each.

        Raises
        ------
        InputError
            If they are given for different groups, or a variable is one for all of them.
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
        shared = [n for n, c in zip(named, given, strict=True) if isinstance(c, Variable)]
        if shared:
            raise InputError(
                f"{shared[0]} is one Variable for all prompts while {next(iter(each))} is one a "
                "group; give it by group too, or as a number"
            )
        return cls(tuple(_of_group(c, g) for g in groups for c in given), groups)

    @cached_property
    def parts(self) -> dict[str, Coefficients]:
        """Each group's own, by its name."""
        each = len(self.given) // len(self.groups)
        numbered = enumerate(self.groups)
        return {g: Coefficients(self.given[i * each : (i + 1) * each]) for i, g in numbered}

    @cached_property
    def places(self) -> dict[str, slice]:
        """Where in x (d,) each group's variables are."""
        counts = [len(part.variables) for part in self.parts.values()]
        ends = np.cumsum(counts).tolist()
        return {
            g: slice(end - count, end)
            for g, count, end in zip(self.groups, counts, ends, strict=True)
        }

    def check(self) -> None:
        """As for one group, in each of them."""
        for part in self.parts.values():
            part.check()

    def check_groups(self, groups: Sequence[str]) -> None:
        """Refuse other groups than those that prompts (C,) belong to."""
        if set(groups) != set(self.groups):
            raise InputError(
                f"lambda_ and weights are given for {', '.join(self.groups)}, but the prompts' "
                f"groups are {', '.join(dict.fromkeys(groups))}; give each one"
            )


def _of_group(given: OneOrEach, group: str) -> Variable | float:
    one = given[group] if isinstance(given, Mapping) else given
    return replace(one, name=f"{one.name}/{group}") if isinstance(one, Variable) else one
