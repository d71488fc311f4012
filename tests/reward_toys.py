"""A reward problem of a second, whose optimum is known: lambda* = 2."""

from toys import bump, first, gaussian

from raybilevel import RewardTuning, RunConfig, Variable
from raybilevel.runtime.rounds import run_locally

LAMBDA = Variable("lambda", 3.0, 0.5, 20.0, "log")
REWARD = RewardTuning(
    model=gaussian, lower_reward=first, upper_reward=bump, lambda_=LAMBDA, pool_size=100
)


def tuning(**changes):
    """The same on a pool that is large enough."""
    return REWARD.but(**({"pool_size": 8192, "shard_size": 2048} | changes))


def solve(seed=0, **changes):
    """Its run without Ray, and the history's rows."""
    return run_locally(tuning(**changes), RunConfig(seed=seed))
