"""A reward problem of a second, whose optimum is known: lambda* = 2."""

from toys import bump, first, gaussian

from raybilevel import RewardTuning, Variable

LAMBDA = Variable("lambda", 3.0, 0.5, 20.0, "log")
REWARD = RewardTuning(
    model=gaussian, lower_reward=first, upper_reward=bump, lambda_=LAMBDA, pool_size=100
)
