"""What diffusers offers for a model: samplers with every spacing they have, published lists."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from raybilevel.lower.sampling.level_lists.sigmas import is_flow, training_sigmas
from raybilevel.lower.sampling.level_lists.taken import SPACINGS

Choice = dict[str, Any]
"""{class, options}: a scheduler, made of the config of a model's own."""

_SPACINGS: dict[str, dict[str, Any]] = {
    "trailing": {"timestep_spacing": "trailing"},
    "leading": {"timestep_spacing": "leading"},
    "linspace": {"timestep_spacing": "linspace"},
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "beta": {"use_beta_sigmas": True},
    "lu": {"use_lu_lambdas": True},
}
_DPMPP = {"algorithm_type": "dpmsolver++", "final_sigmas_type": "zero"}
_MIDPOINT, _HEUN = {**_DPMPP, "solver_type": "midpoint"}, {**_DPMPP, "solver_type": "heun"}
_GAUSSIAN: dict[str, tuple[str, dict[str, Any]]] = {
    "dpm++ 2m": ("DPMSolverMultistepScheduler", {**_MIDPOINT, "solver_order": 2}),
    "dpm++ 2m heun": ("DPMSolverMultistepScheduler", {**_HEUN, "solver_order": 2}),
    "dpm++ 3m": ("DPMSolverMultistepScheduler", {**_MIDPOINT, "solver_order": 3}),
    "dpm++ single step": ("DPMSolverSinglestepScheduler", {**_DPMPP, "lower_order_final": True}),
    "unipc 2": ("UniPCMultistepScheduler", {"solver_order": 2}),
    "unipc 3": ("UniPCMultistepScheduler", {"solver_order": 3}),
    "deis": ("DEISMultistepScheduler", {"algorithm_type": "deis"}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "lms": ("LMSDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
}
_FLOW: dict[str, tuple[str, dict[str, Any]]] = {
    "flow euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "flow heun": ("FlowMatchHeunDiscreteScheduler", {}),
}
_OF_SD = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000, "trained_betas": None,
}  # fmt: skip
_AYS = {"ays sd 1.5": "StableDiffusionSigmas", "ays sdxl": "StableDiffusionXLSigmas"}
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
        spacings = spacings_of(made)
        if not (every_spacing or name in _FIRST):
            spacings = dict(list(spacings.items())[:1])
        for spacing, more in spacings.items():
            found[f"{name} {spacing}"] = {"class": made, "options": {**options, **more}}
    return found


def spacings_of(made: str) -> dict[str, dict[str, Any]]:
    """Options of the class `made` for each spacing that it has, by name.

    "own" is that of a class which has but one besides the switches.
    """
    import diffusers

    taken = inspect.signature(getattr(diffusers, made)).parameters
    plain = {name: False for name in SPACINGS if name in taken}
    known: dict[str, dict[str, Any]] = {} if "timestep_spacing" in taken else {"own": {}}
    known |= {n: o for n, o in _SPACINGS.items() if set(o) <= set(taken)}
    return {name: {**plain, **options} for name, options in known.items()}


def published_lists(own: Any, steps: int) -> dict[str, np.ndarray]:
    """Sigmas (steps,) of Align Your Steps (Sabour et al. 2024, arXiv 2404.14507), by name.

    For models with the noise schedule of Stable Diffusion, of which two tables were made, of ten
    steps; of another number as their authors say, log-linearly between. From diffusers'
    `AysSchedules`.
    """
    from diffusers.schedulers import AysSchedules

    if is_flow(own) or any(own.config.get(name) != value for name, value in _OF_SD.items()):
        return {}
    least = training_sigmas(own)[0]
    found = {}
    for name, table in _AYS.items():
        ends = np.log([*AysSchedules[table][:-1], least])
        place = np.linspace(0, len(ends) - 1, steps + 1)[:-1]
        found[name] = np.exp(np.interp(place, np.arange(len(ends)), ends))
    return found
