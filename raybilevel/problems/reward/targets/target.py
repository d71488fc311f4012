"""`target`: a KL, or how much of a reward is to be kept, in place of an upper reward."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import model_validator

from raybilevel.config.settings import Settings
from raybilevel.errors import InputError
from raybilevel.upper.variables import Variable

_KEYS = ({"kl"}, {"reward", "at_least"})
_MUST_BE = "must be {kl: nats} or {reward: name, at_least: number}"
_HELD_OUT = "held_out"


class Target(Settings):
    """What is asked of p_x.

    Parameters
    ----------
    kl
        KL(p_x || p0) in nats, above 0; over prompts the average of theirs by shares.
    reward, at_least
        The name of a lower reward, or "held_out", and what its mean under p_x is to be at least.
    """

    said_as: ClassVar[str | None] = "target"

    kl: float | None = None
    reward: str | None = None
    at_least: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            raise InputError(f"target is {given!r}, but it {_MUST_BE}")
        keys = {str(k) for k, v in given.items() if v is not None or k not in cls.model_fields}
        if keys not in _KEYS:
            raise InputError(
                f"target has {', '.join(sorted(keys)) or 'no keys'}, but it {_MUST_BE}"
            )
        return given

    @model_validator(mode="after")
    def _finite(self) -> Target:
        if self.kl is not None and not 0 < self.kl < math.inf:
            raise InputError(f"target.kl is {self.kl:g}, but nats are a finite number above 0")
        if self.at_least is not None and not math.isfinite(self.at_least):
            raise InputError(f"target.at_least is {self.at_least:g}, but it must be finite")
        return self

    @property
    def value(self) -> float:
        """What is aimed at: nats, or a reward."""
        value = self.kl if self.at_least is None else self.at_least
        assert value is not None, "one of both is given"
        return value

    @property
    def named(self) -> str:
        """What is aimed at, in words."""
        return "the KL" if self.kl is not None else f"reward '{self.reward}'"

    def column(self, lower: Collection[str]) -> str | None:
        """The reward's column in the pool, beside lower rewards of these names; None for a KL."""
        if self.reward is None:
            return None
        return f"lower.{self.reward}" if self.reward in lower else _HELD_OUT

    def check_for(
        self, given: Sequence[Variable | float], lower: Collection[str], *, held_out: bool
    ) -> None:
        """Refuse a reward that is not there, and what else would be tuned.

        Parameters
        ----------
        given : (1 + K,) lambda and the weights.
        lower : names of the lower rewards.
        held_out : whether there is a held-out reward.

        Raises
        ------
        InputError
            As one number is asked for, lambda alone can be looked for.
        """
        lambda_, *weights = given
        if not isinstance(lambda_, Variable):
            raise InputError(
                f"a target says which lambda_ to look for, but lambda_ is {lambda_:g}; give a "
                "Variable"
            )
        tuned = [w.name for w in weights if isinstance(w, Variable)]
        if tuned:
            raise InputError(
                "a target decides lambda_ alone, but weights would be tuned too "
                f"({', '.join(tuned)}); give them as numbers"
            )
        known = [*lower, *([_HELD_OUT] if held_out else [])]
        if self.reward is not None and self.reward not in known:
            raise InputError(
                f"target.reward is '{self.reward}', but the rewards are {', '.join(known)}"
            )
