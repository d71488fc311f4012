"""A reward problem of a second, whose optimum is known: lambda* = 2."""

from typing import ClassVar

from toys import bump, first, gaussian

from raybilevel import RewardTuning, RunConfig, Variable
from raybilevel.runtime.rounds import run_locally

LAMBDA = Variable("lambda", 3.0, 0.5, 20.0, "log")
_SMALL = {
    "model": gaussian, "lower_reward": first, "upper_reward": bump, "lambda_": LAMBDA,
    "pool_size": 100,
}  # fmt: skip
REWARD = RewardTuning(**_SMALL)


def tuning(**changes):
    """The same on a pool that is large enough."""
    return REWARD.but(**({"pool_size": 8192, "shard_size": 2048} | changes))


def solve(seed=0, **changes):
    """Its run without Ray, and the history's rows."""
    return run_locally(tuning(**changes), RunConfig(seed=seed))


class Moving(RewardTuning):
    """Stands for something that moves: each look at it, before a run begins, finds another."""

    looks: ClassVar[list[int]] = []

    found: int | None = None

    def pinned(self, before=None):
        if self.found is not None:
            return self
        if before is None:
            self.looks.append(len(self.looks))
        return self.but(found=self.looks[-1] if before is None else before["found"])


MOVING = Moving(**_SMALL)
