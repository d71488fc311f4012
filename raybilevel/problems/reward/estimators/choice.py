"""Whether samples are moved or guided, where a pool of p0 says too little: by pilots of both.

At an s just beyond what p0's samples reach, each way is worth its effective samples over what they
cost: evaluations of the network, and as many as decoding and rewards are worth by their operations.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from raybilevel.problems.base import Arrays, Metrics, Output, Stage
from raybilevel.problems.reward.drawing.lineages import moves_of
from raybilevel.problems.reward.drawing.paths import rows_read
from raybilevel.problems.reward.guiding.pilots import APART, Pilot
from raybilevel.problems.reward.guiding.rounds import piloted
from raybilevel.problems.reward.guiding.strata import next_scales
from raybilevel.problems.reward.settings import RewardSettings
from raybilevel.problems.reward.shards import TryGuiding
from raybilevel.problems.reward.state_objective import lower_of, of_one, prompts_of, shares_of
from raybilevel.problems.seeds import sample_seeds
from raybilevel.upper.gates import gates_for
from raybilevel.upper.guidance.paths import path_kls
from raybilevel.upper.penalty import Pool
from raybilevel.upper.prompts import TiltedWithin
from raybilevel.upper.resampling import resample

WAYS = ("annealed", "guided")
_PATHS = 128
_PARTICLES = 32  # for each rho
_RHOS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.04, 0.02)
_FIRST = 2**20  # of the seeds of pilots: that of a schedule has those before
_GRADIENT = 3.0  # a forward and a backward pass, in forward ones


def begin_choice(settings: RewardSettings, state: Arrays, heading: np.ndarray) -> Arrays:
    """What a state has beside whose samples are to be moved or guided: the s (C, K) of pilots.

    Parameters
    ----------
    heading : (C, K) where they are to go.
    """
    lower = lower_of(settings, state)
    prompts = of_one(prompts_of(settings.prompt_list, state), len(lower))
    pool, asked = Pool(np.zeros(len(lower)), lower), gates_for(prompts).min_ess
    return {"choice_scales": next_scales(pool, prompts, np.zeros_like(heading), heading, asked)}


def is_undecided(state: Arrays) -> bool:
    """Whether pilots are to be drawn."""
    return "choice_scales" in state and "choice_worth" not in state


def row_of_choice(state: Arrays) -> Metrics:
    """What each way was worth, effective samples an evaluation; nan where nobody can guide."""
    worth = state.get("choice_worth", ())
    return {f"effective_per_nfe/{way}": float(w) for way, w in zip(WAYS, worth, strict=False)}


def decided(settings: RewardSettings, state: Arrays) -> Generator[Stage, Output, Arrays]:
    """The state with what both are worth; with a schedule of guidance, if that is worth more."""
    scales, shares = state["choice_scales"], shares_of(settings.prompt_list, state)
    trial = Pilot.begin(state, settings.pool_plan, shares, _FIRST, settings.shard_size)
    tried = yield Stage((TryGuiding(trial.shards(trial.scales(scales), None)[0]),))
    memory = {"choice_by_memory": tried.sums["too_large"]}
    if not tried.sums["guidable"]:
        return {**state, **memory, "choice_worth": np.full(2, np.nan)}
    guiding = yield from piloted(state, settings.pool_plan, shares, scales)
    network, decoding, rewards = tried.sums["operations"]
    image = (decoding + rewards) / network if network else 0.0
    guided = yield from _worth_of_guided(settings, guiding, shares, image)
    annealed = yield from _worth_of_moved(settings, state, image)
    kept = guiding if guided > annealed else state
    return {**kept, **memory, "choice_worth": np.array([annealed, guided])}


def _worth_of_guided(
    settings: RewardSettings, state: Arrays, shares: np.ndarray, image: float
) -> Generator[Stage, Output, float]:
    """Of paths of one stratum; an image costs as much as so many evaluations.

    Nothing where gradients are lost, or lead nowhere.
    """
    taus = tuple(state["guided_taus"].tolist())
    pilot = Pilot.begin(state, settings.pool_plan, shares, _FIRST + settings.shard_size, _PATHS)
    s = pilot.scales(state["choice_scales"])
    drawn = yield pilot.stage(s, taus)
    if not any(taus) or state["without_gradient"].any() or drawn.sums["without_gradient"].any():
        return 0.0
    count, (u, v) = len(s), rows_read(drawn.rows, s.shape[1])
    lower, log_ratio = lower_of(settings, drawn.rows), np.sum(s * u, 1) - path_kls(s, v)
    share = TiltedWithin(pilot.of, np.sum(s * lower, 1), -log_ratio).ess / count
    least = len(pilot.chosen) / count  # where a path of each prompt weighs all
    effective = count * max(share - least, 0.0) / (1 - least)
    return effective / (drawn.nfe + count * image * (_GRADIENT * len(taus) + 1))


def _worth_of_moved(
    settings: RewardSettings, state: Arrays, image: float
) -> Generator[Stage, Output, float]:
    """Of one move, at the step that goes farthest.

    A move that is accepted with probability a leaves a correlation of about 1 - a (1 - sqrt(1 -
    rho^2)) of what is linear in the noise: n of them are about n a (1 - sqrt(1 - rho^2)) / 2
    independent samples.
    """
    lower = lower_of(settings, state)
    prompts = of_one(prompts_of(settings.prompt_list, state), len(lower))
    s, size = state["choice_scales"][prompts.of], _PARTICLES * len(_RHOS)
    weights = TiltedWithin(prompts, np.sum(s * lower, 1)).weights
    rng = np.random.default_rng([int(state["seed_base"]), len(lower)])
    rows = resample(weights, size, rng)
    first = APART + _FIRST + settings.shard_size + _PATHS
    seeds = np.array(sample_seeds(state["seed_base"], first, first + size))
    rhos = np.repeat(_RHOS, _PARTICLES)
    parts = np.split(np.arange(size), range(settings.shard_size, size, settings.shard_size))
    shards = (moves_of(state, rows[p], s[rows[p]], rhos[p], [seeds[p].tolist()]) for p in parts)
    drawn = yield Stage(tuple(shards))
    accepted = drawn.rows["pool/accepted"].reshape(len(_RHOS), -1).mean(1)
    gains = accepted * (1 - np.sqrt(1 - np.square(_RHOS))) / 2
    return float(gains.max()) * size / (drawn.nfe + size * image)
