"""Rewards: registered ones by name, and how a user's own are found and run.

A reward maps images (N, C, H, W) in [0, 1] to (N,) or (N, 1) numbers, more being better. It may
also read prompts, one a sample, and their metadata, and return (scores, info), as trainers' rewards
do. Nothing else is asked of it: no gradient, no torch.
"""

from __future__ import annotations

from raybilevel.errors import InputError
from raybilevel.imports import resolve
from raybilevel.rewards.builtin import Reward
from raybilevel.rewards.pinning import pinned
from raybilevel.rewards.reading import check_reads, reads
from raybilevel.rewards.scores import evaluate
from raybilevel.rewards.spec import is_import_path, parse
from raybilevel.rewards.weighted_sum import MadeTerm, WeightedSum

__all__ = [
    "Reward", "check_reads", "evaluate", "is_import_path", "load_reward", "pinned", "reads",
]  # fmt: skip


def load_reward(spec: str | Reward, where: str, device: str = "cpu") -> Reward:
    """Find the reward that `spec` names.

    Parameters
    ----------
    spec
        A name, of one that comes along or that another package registers ("ink",
        "jpeg_size(quality=75)", "class_log_prob(3)"), a weighted sum of them
        ("legibility + 0.5 * novelty"), which reads what its terms read, an import path
        "package.module:name", or a callable, which is returned as it is.
    where
        The argument that holds the spec, for the error's sentence.
    device
        "cpu" or "cuda": where a built-in's network runs. Those of CLIPs are read when first used.

    Raises
    ------
    InputError
        If there is no such reward, or it takes other arguments.
    """
    if callable(spec):
        return spec
    if is_import_path(spec):
        reward = resolve(spec, where)
        if not callable(reward):
            raise InputError(f"{where} is '{spec}', which is no function of images but {reward!r}")
        return reward
    terms = parse(spec, where)
    return WeightedSum(
        [MadeTerm(t.weight, t.make(device), f"the reward '{t.name}'") for t in terms]
    )
