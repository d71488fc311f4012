"""Whether moved samples can be believed at a point: by their islands.

Row-wise numbers say nothing of them: Kish's ESS is n after every resampling, and Pareto's k-hat is
that of weights which are one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from raybilevel.upper.diagnostics import Diagnostics
from raybilevel.upper.islands import Islands
from raybilevel.upper.ladder.strata import Strata
from raybilevel.upper.penalty import Estimate
from raybilevel.upper.prompts import TiltedWithin


@dataclass(frozen=True)
class IslandGates:
    """Thresholds; a number is given only where both hold.

    Attributes
    ----------
    min_overlap : share of effective samples that some rung has, of the prompt that has least. A
        little less than where the next rung is drawn, whose samples are then inside.
    max_log_z_sd : standard deviation over islands of what each says of log Z.
    """

    min_overlap: float = 0.89
    max_log_z_sd: float = 1.0


def examine_islands(
    estimate: Estimate, strata: Strata, gates: IslandGates | None = None
) -> Diagnostics:
    """Run the gates for an estimate of samples in islands."""
    gates = gates or IslandGates()
    overlap, spread, failures = 1.0, 0.0, []
    for p in estimate.tilts:
        assert isinstance(p, TiltedWithin), "islands are of prompts"
        overlap = min(overlap, float(np.min(strata.overlaps(p.tilt))))
        spread = max(spread, log_z_sd(p, strata.islands))
    if overlap < gates.min_overlap:
        failures.append(
            f"{overlap:.0%} of the nearest rung's samples count, {gates.min_overlap:.0%} must"
        )
    if not spread <= gates.max_log_z_sd:
        failures.append(
            f"islands disagree about log Z by {spread:.2f}, it must be {gates.max_log_z_sd:.1f}"
        )
    kl = max(p.kl for p in estimate.tilts)
    return Diagnostics(
        math.nan, kl, math.nan, math.nan, math.nan, tuple(failures),
        overlap=overlap, log_z_sd=spread,
    )  # fmt: skip


def log_z_sd(p: TiltedWithin, islands: Islands) -> float:
    """Standard deviation of log Z over the islands of a prompt; of several the root mean square."""
    log_z = islands.alone.log_means((p.tilt + p.log_base)[islands.order])
    units = islands.units
    squares = (log_z - units.each(units.sums(log_z) / units.counts)) ** 2
    return float(np.sqrt(units.shares @ (units.sums(squares) / (units.counts - 1))))
