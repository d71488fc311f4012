"""Rewards that are asked of samples: what they are told of prompts, and what they must give."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.problems.prompts.prompt_list import PromptList
from raybilevel.problems.user_code import check_finite, naming
from raybilevel.rewards import Reward, check_reads, evaluate, is_import_path, load_reward
from raybilevel.rewards.spec import parse

if TYPE_CHECKING:
    from torch import Tensor


def asked(
    rewards: Mapping[str, Reward],
    samples: Tensor,
    seeds: Sequence[int],
    prompts: PromptList | None,
    places: Sequence[int] | None,
) -> dict[str, np.ndarray]:
    """Numbers (n,) of each reward for samples (n, ...), all finite.

    Parameters
    ----------
    seeds : one a sample, for sentences.
    places : of each sample's prompt in the list.

    Raises
    ------
    RunError
        For a number that is not finite; `UserCodeError` where a reward raises.
    """
    values, said = {}, said_of_prompts(prompts, places)
    for name, reward in rewards.items():
        with naming(f"reward '{name}'", seeds):
            given = evaluate(reward, samples, f"reward '{name}'", **said)
        check_finite(given, seeds, f"reward '{name}'")
        values[name] = given
    return values


def check_named(specs: Mapping[str, Any], prompts: PromptList | None) -> None:
    """Refuse rewards that are not there, without loading what a name stands for.

    Parameters
    ----------
    specs : by column of the pool, as `load_reward` takes them.

    Raises
    ------
    InputError
        Naming the reward.
    """
    for column, spec in specs.items():
        if isinstance(spec, str) and not is_import_path(spec):
            parse(spec, column)
        else:
            check_reading(load_reward(spec, column), column, prompts)


def check_reading(reward: Reward, column: str, prompts: PromptList | None) -> None:
    """Refuse a reward that reads prompts, or metadata, of a model that has none."""
    has_prompts = prompts is not None
    check_reads(reward, f"reward '{column}'", prompts=has_prompts, metadata=has_prompts)


def said_of_prompts(prompts: PromptList | None, places: Sequence[int] | None) -> dict[str, Any]:
    """What rewards are told besides samples: a prompt each, and its metadata.

    Trainers' rewards take metadata whether they use it or not: of a list of prompts it is empty.
    """
    if prompts is None or places is None:
        return {}
    metadata = prompts.metadata or ({},) * len(prompts)
    return {
        "prompts": [str(prompts.conditions[c]) for c in places],
        "metadata": [copy.deepcopy(metadata[c]) for c in places],  # rewards may change theirs
    }
