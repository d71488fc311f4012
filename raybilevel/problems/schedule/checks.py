"""What the schedule problems refuse once their parts are loaded."""

from __future__ import annotations

from collections.abc import Sequence

from raybilevel.errors import InputError
from raybilevel.problems.schedule.components import Components
from raybilevel.problems.schedule.export import check_divides


def check_steps(components: Components, sampling: int, compared: Sequence[int]) -> None:
    """Refuse numbers of sampling steps that the network, or a stock DDIM pipeline, cannot take.

    Parameters
    ----------
    sampling : `sampling_steps`.
    compared : `comparison.steps`.
    """
    most = len(components.info.logsnr)
    given = [("sampling_steps", sampling), *(("comparison.steps", steps) for steps in compared)]
    for name, steps in given:
        if not 1 <= steps <= most:
            raise InputError(
                f"{name} is {steps}, but {components.network} takes from 1 to {most} of them"
            )
    if components.solver == "ddim":
        check_divides(sampling, most)
