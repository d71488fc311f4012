"""The next rung: how far it is, which samples go there, and how they are moved.

All of it comes from the rungs before, so that what islands say of Z stays unbiased: adapted to its
own moves a rung's would not be. Its samples are states from the last half of each chain's moves
(waste-free: Dau & Chopin 2022, arXiv 2011.02328). Where moves go less far there are more of them;
and on an optimum twice as many from rung to rung, as what is said of it rests on those.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raybilevel.problems.base import Arrays
from raybilevel.problems.reward.annealing.plan import LadderPlan
from raybilevel.upper.ladder.steps import next_steps
from raybilevel.upper.ladder.strata import of_last_rung, sds_of_p0
from raybilevel.upper.prompts import Prompts, TiltedWithin
from raybilevel.upper.resampling import systematic

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
    rhos, tilt_sds : (C,) how far moves go, and the standard deviation of s.r2 there.
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
    last = _LastRung.of(state, prompts, lower)
    way = state["rungs_heading"] - last.scales
    shares = np.minimum(plan.samples_per_prompt / last.prompts.counts, 1.0)
    shares[last.numbers > 0] = 1.0
    sds = sds_of_p0(prompts, state["pool/rung"], np.sum(lower * way[prompts.of], 1))
    steps = next_steps(last.prompts, last.tilt(way), plan.effective * shares, sds)
    moving = np.any(way != 0, axis=1)
    moving = moving if moving.any() else ~moving
    scales = last.scales + np.where(moving, steps, 0.0)[:, None] * way
    log_weights = last.tilt(scales - last.scales)
    tilt_sds = last.sds(last.tilt(scales), log_weights)
    rng = np.random.default_rng([int(state["seed_base"]), len(state["rungs_scale"]), _RESAMPLING])
    chosen = last.chosen(log_weights, np.repeat(moving, plan.islands), plan.chains, rng)
    log_z = last.log_z + last.log_means(log_weights)
    rhos = _rhos(state, tilt_sds, moving)
    apart = plan.apart(float(rhos[moving].min()))
    moves = plan.moves * apart * int(state["rungs_times"])
    return Rung(scales, log_z, rhos, tilt_sds, last.rows[chosen], moves, apart)


@dataclass(frozen=True, eq=False)
class _LastRung:
    """The samples of each prompt's last rung that has any.

    Attributes
    ----------
    rows : (m,) which of all samples.
    prompts, islands : which of each a sample is of; lower : (m, K).
    numbers : (C,) of the rung.
    scales : (C, K), log_z : (C, J)
    """

    rows: np.ndarray
    prompts: Prompts
    islands: Prompts
    numbers: np.ndarray
    lower: np.ndarray
    scales: np.ndarray
    log_z: np.ndarray

    @classmethod
    def of(cls, state: Arrays, prompts: Prompts, lower: np.ndarray) -> _LastRung:
        """Of a state."""
        log_z = state["rungs_log_z"][-1]
        rows = np.flatnonzero(of_last_rung(prompts, state["pool/rung"]))
        numbers = np.zeros(len(prompts.shares), np.int64)
        numbers[prompts.of[rows]] = state["pool/rung"][rows]
        return cls(
            rows,
            Prompts(prompts.of[rows], prompts.shares),
            Prompts(state["pool/island"][rows], np.full(log_z.size, 1 / log_z.size)),
            numbers,
            lower[rows],
            state["rungs_scale"][-1],
            log_z,
        )

    def tilt(self, scales: np.ndarray) -> np.ndarray:
        """(m,) s.r2 of each sample, with s (C, K) of its prompt."""
        return np.asarray(np.sum(self.lower * scales[self.prompts.of], 1))

    def log_means(self, log_weights: np.ndarray) -> np.ndarray:
        """(C, J) log of each island's mean weight."""
        of_islands = self.islands.log_means(log_weights[self.islands.order])
        return of_islands.reshape(self.log_z.shape)

    def sds(self, tilt: np.ndarray, log_weights: np.ndarray) -> np.ndarray:
        """(C,) standard deviation of a tilt (m,) under weights; islands count by their Z."""
        p = TiltedWithin(self.prompts, log_weights + self.log_z.ravel()[self.islands.of])
        return np.sqrt(p.means(p.centred(tilt) ** 2))

    def chosen(
        self, log_weights: np.ndarray, moving: np.ndarray, count: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Of each moving island (I,) so many samples, by their places, drawn by their weights."""
        return np.concatenate(
            [own[systematic(w, count, rng)] for own, w in self._islands(log_weights, moving)]
        )

    def _islands(
        self, log_weights: np.ndarray, moving: np.ndarray
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Places of each moving island's samples, and their weights, which sum to one."""
        found = []
        for island in np.flatnonzero(moving):
            own = self.islands.order[self._ends[island] : self._ends[island + 1]]
            weights = np.exp(log_weights[own] - log_weights[own].max())
            found.append((own, weights / weights.sum()))
        return found

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.append(0, np.cumsum(self.islands.counts))


def _rhos(state: Arrays, tilt_sds: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """(C,) for as many accepted moves as wanted, from those of the rung before.

    What a move changes of the tilt is about rho times its standard deviation. A prompt that waits
    keeps its own.
    """
    before, acceptance = state["rungs_rho"][-1], state["rungs_acceptance"][-1]
    known = np.isfinite(acceptance) & (tilt_sds > 0) & (state["rungs_tilt_sd"][-1] > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = before * np.exp(_GAIN * (acceptance - _ACCEPTANCE))
        wanted *= state["rungs_tilt_sd"][-1] / tilt_sds
    rhos = np.clip(np.where(known, wanted, _FIRST_RHO), _LEAST_RHO, 1.0)
    return np.where(moving, rhos, before)
