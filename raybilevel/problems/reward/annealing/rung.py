"""The next rung: how far it is, which samples go there, and how they are moved.

What islands say of Z is unbiased where neither follows from the samples that say it. So how far it
is comes from the rung before the last, weighted to the last; and an island moves as the others
were accepted (cross-fitting: Chernozhukov et al. 2018, doi 10.1111/ectj.12097, section 3).
Its samples are states from the last half of each chain's moves (waste-free: Dau & Chopin 2022,
arXiv 2011.02328). Where moves go less far there are more of them; and on an optimum twice as many
from rung to rung, as what is said of it rests on those.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raybilevel.problems.base import Arrays
from raybilevel.problems.reward.annealing.plan import LadderPlan
from raybilevel.problems.reward.annealing.rung_samples import RungSamples
from raybilevel.upper.ladder.steps import next_steps, steps_allowed
from raybilevel.upper.ladder.strata import sds_of_p0
from raybilevel.upper.prompts import Prompts

_ACCEPTANCE = 0.44  # the best of one dimension: Roberts & Rosenthal 2001, Stat. Sci. 16, 351-367
_GAIN = 2.0
_FIRST_RHO = 1.0
_LEAST_RHO = 1e-3
_RESAMPLING = 0x72756E67  # of the seed


@dataclass(frozen=True, eq=False)
class Rung:
    """A rung that nobody has drawn yet.

    Attributes
    ----------
    scales : (C, K) the s of each prompt.
    log_z : (C, J) what each island says of Z there.
    rhos, tilt_sds : (C, J) how far moves of an island go, and the standard deviation of s.r2 there
        as the other islands have it.
    chains : (m,) which of the samples are moved, island by island.
    moves : of each chain; in the last half of them every `apart`-th state counts.
    """

    scales: np.ndarray
    log_z: np.ndarray
    rhos: np.ndarray
    tilt_sds: np.ndarray
    chains: np.ndarray
    moves: int
    apart: int


def next_rung(state: Arrays, plan: LadderPlan, prompts: Prompts, lower: np.ndarray) -> Rung:
    """The rung after a state's last, towards its heading; prompts that are there wait for others.

    Parameters
    ----------
    state : of samples that count alone.
    prompts : which prompt each of them (n,) is of; lower : (n, K) their lower rewards.
    """
    last, moving, scales = further(state, plan, prompts, lower)
    log_weights = last.tilt(scales - last.scales)
    tilt_sds = last.sds_of_others(last.tilt(scales), log_weights)
    rng = np.random.default_rng([int(state["seed_base"]), len(state["rungs_scale"]), _RESAMPLING])
    chosen = last.chosen(log_weights, np.repeat(moving, plan.islands), plan.chains, rng)
    rhos = _rhos(state, tilt_sds, moving)
    apart = plan.apart(float(rhos[moving].mean(axis=1).min()))
    moves = plan.moves * apart * int(state["rungs_times"])
    log_z = last.log_z + last.log_means(log_weights)
    return Rung(scales, log_z, rhos, tilt_sds, last.rows[chosen], moves, apart)


def further(
    state: Arrays, plan: LadderPlan, prompts: Prompts, lower: np.ndarray
) -> tuple[RungSamples, np.ndarray, np.ndarray]:
    """The last rung's samples, which prompts (C,) go on, and the s (C, K) of the next rung.

    Parameters
    ----------
    state, prompts, lower : as for `next_rung`.
    """
    last = RungSamples.last_of(state, prompts, lower)
    way = state["rungs_heading"] - last.scales
    moving = np.any(way != 0, axis=1)
    moving = moving if moving.any() else ~moving
    before = RungSamples.before(state, prompts, lower)
    sds = sds_of_p0(prompts, state["pool/rung"], np.sum(lower * way[prompts.of], 1))
    steps = _steps(last, before, way, plan.effective * _shares(last, plan), sds)
    return last, moving, last.scales + np.where(moving, steps, 0.0)[:, None] * way


def _shares(last: RungSamples, plan: LadderPlan) -> np.ndarray:
    """(C,) how many samples a rung has over those of the last: p0's may be more."""
    fewer = np.minimum(plan.samples_per_prompt / last.prompts.counts, 1.0)
    return np.where(last.numbers > 0, 1.0, fewer)


def _steps(
    last: RungSamples, before: RungSamples, way: np.ndarray, effective: np.ndarray, sds: np.ndarray
) -> np.ndarray:
    """(C,) how far along the way (C, K) the last rung's samples stay effective, in [0, 1]."""
    to_last = before.tilt(last.scales - before.scales)
    steps = next_steps(before.prompts, before.tilt(way), effective, sds, to_last)
    return np.minimum(steps, steps_allowed(last.prompts, last.tilt(way), effective))


def _rhos(state: Arrays, tilt_sds: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """(C, J) for as many accepted moves as wanted, from those of the rung before.

    What a move changes of the tilt is about rho times its standard deviation. A prompt that waits
    keeps its own.
    """
    before, accepted = state["rungs_rho"][-1], state["rungs_acceptance"][-1]
    others = (accepted.sum(axis=1, keepdims=True) - accepted) / (accepted.shape[1] - 1)
    known = np.isfinite(others) & (tilt_sds > 0) & (state["rungs_tilt_sd"][-1] > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = before * np.exp(_GAIN * (others - _ACCEPTANCE))
        wanted *= state["rungs_tilt_sd"][-1] / tilt_sds
    rhos = np.clip(np.where(known, wanted, _FIRST_RHO), _LEAST_RHO, 1.0)
    return np.where(moving[:, None], rhos, before)
