"""What is tried before the first shard: rewards on a small batch like the model's samples."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from raybilevel.errors import InputError
from raybilevel.imports import said_in_a_sentence
from raybilevel.problems.asked_rewards import check_reading, said_of_prompts
from raybilevel.problems.prompts.prompt_list import PromptList
from raybilevel.problems.reward.models.base import Probe
from raybilevel.rewards import Reward, evaluate

if TYPE_CHECKING:
    from raybilevel.lower.sampling.pipelines.probe import PipelineReport

_GIGABYTE = 1e9


def check_rewards(
    rewards: Mapping[str, Reward], probe: Probe, prompts: PromptList | None = None
) -> None:
    """Refuse rewards that give anything but a finite number a sample.

    Parameters
    ----------
    rewards : by column of the pool.

    Raises
    ------
    InputError
        Naming the reward.
    """
    samples, said = probe.samples, said_of_prompts(prompts, probe.prompts)
    for column, reward in rewards.items():
        check_reading(reward, column, prompts)
        with said_in_a_sentence(f"reward '{column}'", f"a batch of {tuple(samples.shape)}"):
            values = evaluate(reward, samples, f"reward '{column}'", **said)
        if not np.isfinite(values).all():
            raise InputError(
                f"reward '{column}' gave {values[~np.isfinite(values)][0]} on a probe batch; "
                "it must be a finite number for every sample"
            )


def probe_of(report: PipelineReport, prompts: PromptList | None) -> Probe:
    """What a pipeline drew when it was tried, with the places of its prompts."""
    if prompts is None or report.conditions is None:
        return Probe(report.images)
    return Probe(report.images, tuple(map(prompts.conditions.index, report.conditions)))


def said_of_load(
    named: str, report: PipelineReport, samples: int, peak_bytes: int
) -> tuple[str, ...]:
    """What a user should know of a model that a worker has loaded.

    Parameters
    ----------
    samples : of the pool to begin with.
    peak_bytes : of the process, once its rewards were tried too.
    """
    shape = " x ".join(map(str, report.image_shape))
    alone = timedelta(seconds=round(samples * report.seconds_per_sample))
    return (
        f"{named} draws {shape} images for {report.nfe_per_sample} NFE and "
        f"{report.seconds_per_sample:.2g} s each, alone; a worker has held "
        f"{report.peak_bytes / _GIGABYTE:.2g} GB, with the rewards "
        f"{peak_bytes / _GIGABYTE:.2g} GB; a pool of {samples:,} takes one such worker {alone}",
        *report.remarks,
    )
