"""The samplers that diffusers offers for a model, each with every spacing that it has."""

from __future__ import annotations

import inspect
from typing import Any

from raybilevel.lower.sampling.level_lists.sigmas import is_flow

Choice = dict[str, Any]
"""{class, options}: a scheduler, made of the config of a model's own."""

_PLAIN = {
    "use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False,
    "use_lu_lambdas": False,
}  # fmt: skip
_SPACINGS: dict[str, dict[str, Any]] = {
    "trailing": {"timestep_spacing": "trailing"},
    "leading": {"timestep_spacing": "leading"},
    "linspace": {"timestep_spacing": "linspace"},
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "beta": {"use_beta_sigmas": True},
    "lu": {"use_lu_lambdas": True},
}
_GAUSSIAN: dict[str, tuple[str, dict[str, Any]]] = {
    "dpm++ 2m": ("DPMSolverMultistepScheduler", {"solver_order": 2, "solver_type": "midpoint"}),
    "dpm++ 2m heun": ("DPMSolverMultistepScheduler", {"solver_order": 2, "solver_type": "heun"}),
    "dpm++ 3m": ("DPMSolverMultistepScheduler", {"solver_order": 3, "solver_type": "midpoint"}),
    "dpm++ single step": ("DPMSolverSinglestepScheduler", {"lower_order_final": True}),
    "unipc 2": ("UniPCMultistepScheduler", {"solver_order": 2}),
    "unipc 3": ("UniPCMultistepScheduler", {"solver_order": 3}),
    "deis": ("DEISMultistepScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "lms": ("LMSDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
}
_FLOW: dict[str, tuple[str, dict[str, Any]]] = {
    "flow euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "flow heun": ("FlowMatchHeunDiscreteScheduler", {}),
}
_FIRST = ("dpm++ 2m", "flow euler")  # whose spacings are tried where not all are


def stock_samplers(own: Any, *, every_spacing: bool) -> dict[str, Choice]:
    """Deterministic samplers by name, made for the models that `own` is made for.

    Parameters
    ----------
    own : the model's scheduler.
    every_spacing : whether each has all of its spacings; else the first of them alone has, and the
        others "trailing", or what they have.
    """
    kinds = _FLOW if is_flow(own) else _GAUSSIAN
    found: dict[str, Choice] = {}
    for name, (made, options) in kinds.items():
        spacings = spacings_of(made, own)
        if not (every_spacing or name in _FIRST):
            spacings = dict(list(spacings.items())[:1])
        for spacing, more in spacings.items():
            found[f"{name} {spacing}"] = {"class": made, "options": {**options, **more}}
    return found


def spacings_of(made: str, own: Any) -> dict[str, dict[str, Any]]:
    """Options of the class `made` for each spacing that it has, by name.

    "own" is that of a class which has but one besides the switches.
    """
    import diffusers

    taken = inspect.signature(getattr(diffusers, made)).parameters
    plain = {name: off for name, off in _PLAIN.items() if name in taken}
    known: dict[str, dict[str, Any]] = {} if "timestep_spacing" in taken else {"own": {}}
    known |= {n: o for n, o in _SPACINGS.items() if set(o) <= set(taken)}
    return {name: {**plain, **options} for name, options in known.items()}
