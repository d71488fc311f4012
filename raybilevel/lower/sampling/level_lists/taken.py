"""Which of diffusers' schedulers take a list of noise levels, and in what form.

Read from diffusers 0.42; `tests/lower/sampling/level_lists` visits a list through each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Taken:
    """The form in which a class of schedulers takes a list.

    Attributes
    ----------
    argument : of `set_timesteps`, and of a pipeline's call.
    whole : whether timesteps are rounded to whole ones.
    ends_with_zero : whether the list ends with the clean image's 0.
    resamples : whether it adds noise of its own at its steps.
    """

    argument: Literal["sigmas", "timesteps"]
    whole: bool = False
    ends_with_zero: bool = False
    resamples: bool = False


TAKEN = {
    "EulerDiscreteScheduler": Taken("sigmas", ends_with_zero=True),
    "FlowMatchEulerDiscreteScheduler": Taken("sigmas"),
    "FlowMatchLCMScheduler": Taken("sigmas", resamples=True),
    "HeunDiscreteScheduler": Taken("timesteps"),
    "DPMSolverMultistepScheduler": Taken("timesteps", whole=True),
    "DPMSolverSinglestepScheduler": Taken("timesteps", whole=True),
    "DDPMScheduler": Taken("timesteps", whole=True, resamples=True),
    "LCMScheduler": Taken("timesteps", whole=True, resamples=True),
    "TCDScheduler": Taken("timesteps", whole=True, resamples=True),
}
"""By the name of the class."""

BAKED = "DPMSolverMultistepScheduler"
"""The class that levels are baked into where a call takes no list, as of models in pixel space."""

DPMPP_2M = {
    "solver_order": 2, "algorithm_type": "dpmsolver++", "solver_type": "midpoint",
    "final_sigmas_type": "zero", "thresholding": False,
}  # fmt: skip
"""Options with which `BAKED` is the solver that others call DPM++ 2M."""

TWICE = ("HeunDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
"""Which evaluate the network twice at every step but the last."""

_STANDS_IN = {
    "DDIMScheduler": "EulerDiscreteScheduler, whose steps are those of DDIM with eta 0",
    "PNDMScheduler": "DPMSolverMultistepScheduler",
    "DEISMultistepScheduler": "DPMSolverMultistepScheduler",
    "LMSDiscreteScheduler": "EulerDiscreteScheduler",
    "UniPCMultistepScheduler": "DPMSolverMultistepScheduler",
}
"""What takes a list in place of what takes none.

UniPC takes one with use_flow_sigmas alone, and fails where it is a list and not a numpy array.
"""

SPACINGS = (
    "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas",
)  # fmt: skip
"""Switches that put levels of their own in place of a list, or refuse one."""


def why_no_list(scheduler: Any) -> str | None:
    """Why a scheduler cannot be given a list, and what can: a sentence; None where it can.

    Parameters
    ----------
    scheduler : of diffusers', made with its configuration.
    """
    name, config = type(scheduler).__name__, scheduler.config
    if name not in TAKEN:
        instead = _STANDS_IN.get(name, ", ".join(sorted(TAKEN)))
        return f"{name} takes no list of noise levels; take {instead}"
    if TAKEN[name].whole and config.get("use_flow_sigmas"):
        return (
            f"{name} takes no list of noise levels with use_flow_sigmas; take "
            "FlowMatchEulerDiscreteScheduler"
        )
    return _why_changed(name, config)


def _why_changed(name: str, config: Any) -> str | None:
    """The switches of a class that would change a list, or drop it."""
    if config.get("timestep_type", "discrete") != "discrete":
        return (
            f"{name} with timestep_type '{config['timestep_type']}' gives networks no timestep; "
            "take one of another"
        )
    of_its_own = [switch for switch in SPACINGS if config.get(switch)]
    if name != "EulerDiscreteScheduler" and of_its_own:  # which heeds them for no list of sigmas
        return _turned_off(name, of_its_own[0], "false", "puts its own levels in place of a list")
    if config.get("shift_terminal"):
        return _turned_off(name, "shift_terminal", "null", "stretches any list")
    if config.get("invert_sigmas"):
        return _turned_off(name, "invert_sigmas", "false", "turns any list around")
    return None


def _turned_off(name: str, switch: str, off: str, why: str) -> str:
    return (
        f"{name} with {switch} {why}; give the scheduler as "
        f"{{class: {name}, options: {{{switch}: {off}}}}}"
    )
