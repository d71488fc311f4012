"""What is tried before a run: rewards on a small batch like the model's samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.errors import InputError
from raybilevel.imports import said_in_a_sentence
from raybilevel.rewards import evaluate, load_reward

if TYPE_CHECKING:
    from torch import Tensor


def check_rewards(rewards: Mapping[str, Any], samples: Tensor) -> None:
    """Refuse rewards that cannot be loaded, or give anything but a finite number a sample.

    Parameters
    ----------
    rewards : by column of the pool, as `load_reward` takes them.
    samples : (N, ...)

    Raises
    ------
    InputError
        Naming the reward.
    """
    for column, spec in rewards.items():
        reward = load_reward(spec, column, "cpu")
        with said_in_a_sentence(f"reward '{column}'", f"a batch of {tuple(samples.shape)}"):
            values = evaluate(reward, samples, f"reward '{column}'")
        if not np.isfinite(values).all():
            raise InputError(
                f"reward '{column}' gave {values[~np.isfinite(values)][0]} on a probe batch; "
                "it must be a finite number for every sample"
            )
