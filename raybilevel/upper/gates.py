"""The thresholds that a number from a pool has to pass, and what they rest on.

`jobs/bench/gates.py` and, over prompts, `jobs/bench/prompts.py` print it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from raybilevel.upper.prompts import Prompts


@dataclass(frozen=True)
class Gates:
    """Thresholds; a number is given only where all of them hold.

    A standard error is worth what its own error allows: where few samples carry the variance of the
    gradient, intervals miss, and the pools that look best are those which happen to lack the rare
    samples that matter. So `max_share` asks for 50 samples that carry it; it replaced a bound on
    the largest share, which selected lucky pools. With 50, chosen on seeds 0 to 199 of ten problems
    (n = 4,096 and 16,384), 95 % intervals of gradients covered 90 to 99 % on fresh seeds, 1000 to
    1199, in each of the 74 places (problem, lambda, gamma, entry) where at least 60 of 200 pools of
    4,096 pass, 95 % on average. With 20 to 40 up to a tenth of such places missed.

    What these gates do not catch: where fewer pools pass, those that do are lucky, and covered 87 %
    (561 pools in all). n / exp(KL) never decided: it says how many samples would do.
    `jobs/bench/gates.py` prints all this for the oracles.
    """

    min_ess: float = 400.0
    max_pareto_k: float = 0.7
    tail_of_gradient: bool = True
    max_share: float = 0.02
    samples_per_exp_kl: float = 10.0
    max_z_error: float = math.inf
    max_correction: float = math.inf
    max_bias_left: float = math.inf
    max_correction_left: float = math.inf

    @property
    def of_size(self) -> Gates:
        """Those that a single sample far from the optimum cannot spoil."""
        none = math.inf
        return replace(
            self, max_pareto_k=none, max_share=none, max_correction=none, max_correction_left=none
        )


GATES_WITHIN = Gates(
    min_ess=100.0,
    tail_of_gradient=False,
    max_share=1.0,
    max_z_error=0.08,
    max_correction=3.0,
    max_bias_left=0.3,
)
"""For ten prompts and more, where intervals are Student's with half as many degrees of freedom as
samples that carry the variance: so few carriers are no reason to refuse, and a bound on them, or
on the influences' tail, would select lucky pools. What counts is the bias that the jackknife
leaves, which three numbers tell: the relative standard error of a prompt's normalising constant,
which is the root of 1 / ESS_c - 1 / n_c; the correction's size; and what a bias of second order
comes to over so many prompts, some 1.5 sqrt(n) / n_c^2 standard errors (measured on 2,000 prompts
of 20 and of 32, and on 1,000 of 64).

Chosen on 77,000 pools of the problems of `raybilevel.testing.prompted_oracles` (10 to 200 prompts
of 16 to 128 samples, 0.7 to 4 spreads of the reward): in 140 of the 143 places where a quarter of
pools pass, intervals of gradients covered 90 % or more, 95 % on average (86 to 89 % in the others).
`jobs/bench/prompts.py` prints them for fresh seeds. For fewer prompts no such gates were found, and
those for one apply.
"""

GATES_OF_KL = Gates(
    min_ess=100.0,
    tail_of_gradient=False,
    max_share=1.0,
    max_z_error=0.1,
    max_correction_left=0.03,
)
"""For a KL, of one prompt or many, where intervals are Student's as above. A KL's bias before the
jackknife has the same sign in all prompts, so that over many its correction is always standard
errors large, however exact: what counts is what it leaves, some five times the correction times the
square of a normalising constant's relative standard error. (Of gradients two gates hold that
product below 0.02; and their third would refuse KLs of 200 prompts of 16, whose intervals cover.)

Chosen on 56,000 pools of six kinds of lower reward (Gaussian, bounded, skewed to either side,
quadratic; 1 to 200 prompts, 16 to 16,384 samples a prompt, 0.03 to 2 nats): of the 268 places where
a quarter of pools pass, intervals covered 90 % or more in 250, 95 % on average (74 to 89 % in the
others, most of them of a reward whose weights have no variance). `jobs/bench/prompts.py targets`
prints some for fresh seeds.
"""


FEWEST_WITHIN = 10
"""Prompts that `GATES_WITHIN` are for."""


def gates_for(prompts: Prompts | None) -> Gates:
    """Those for a pool of so many prompts; None for one."""
    many = prompts is not None and len(prompts.shares) >= FEWEST_WITHIN
    return GATES_WITHIN if many else Gates()
