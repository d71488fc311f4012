"""Lambda and the weights of the lower rewards, of which some are tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raybilevel.errors import InputError
from raybilevel.upper.variables import Variable


@dataclass(frozen=True)
class Coefficients:
    """(lambda, w_1, ..., w_K): each a `Variable`, which is tuned, or a number, which is fixed."""

    given: Sequence[Variable | float]

    @cached_property
    def variables(self) -> tuple[Variable, ...]:
        """The (d,) that are tuned."""
        return tuple(c for c in self.given if isinstance(c, Variable))

    @cached_property
    def columns(self) -> list[int]:
        """Which of (lambda, w_1, ..., w_K) each of the variables is."""
        return [i for i, c in enumerate(self.given) if isinstance(c, Variable)]

    def at(self, x: np.ndarray) -> np.ndarray:
        """All of them (1 + K,) where the variables have the values `x` (d,)."""
        point = np.array([c.init if isinstance(c, Variable) else c for c in self.given], float)
        point[self.columns] = x
        return point

    @cached_property
    def safest(self) -> np.ndarray:
        """Where p is closest to p0 in the box (d,): the largest lambda, the smallest weights."""
        named = zip(self.variables, self.columns, strict=True)
        return np.array(
            [v.high if column == 0 else min(max(0.0, v.low), v.high) for v, column in named]
        )

    @property
    def tune_lambda(self) -> bool:
        """Whether lambda is one of the variables."""
        return isinstance(self.given[0], Variable)

    @property
    def are_free(self) -> bool:
        """Whether nothing says how large lambda and the weights are: p_x has w / lambda alone.

        A weight of 0 says nothing of the others.
        """
        return all(isinstance(c, Variable) or c == 0 for c in self.given)

    def check(self) -> None:
        """Refuse what leaves the variables undetermined, or two of one name.

        Raises
        ------
        InputError
            As p_x depends on w / lambda alone, lambda and all weights cannot be free together.
        """
        if self.are_free:
            other = " other than 0" if 0 in self.given else ""
            raise InputError(
                "lambda_ and all weights are free together, but samples depend on weights / lambda "
                f"alone; give lambda_ or one weight as a number{other}"
            )
        names = [v.name for v in self.variables]
        if len(set(names)) < len(names):
            raise InputError(f"the variables are named {names}, but each needs a name of its own")
