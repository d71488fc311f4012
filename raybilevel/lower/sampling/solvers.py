"""Deterministic samplers over any list of noise levels, in log-SNR.

Legend: x (N, ...) noisy images; logsnr (k,) rising levels log(abar / (1 - abar)), the noisiest
first; alpha = sqrt(abar), sigma = sqrt(1 - abar); x0 and eps the predicted clean image and noise.
The last step goes to clean images: alpha 1, sigma 0. k levels cost k network evaluations an image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from raybilevel.config import registry
from raybilevel.errors import InputError

Predict = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Maps x (N, ...) and its log-SNR (1,) to (x0, eps), each (N, ...)."""


def sample_ddim(predict: Predict, x: Tensor, logsnr: Tensor) -> Tensor:
    """DDIM without noise (Song et al. 2021, arXiv 2010.02502, equation 12 at eta = 0)."""
    alpha, sigma = _to_clean(logsnr, x)
    for i in range(len(logsnr)):
        x0, eps = predict(x, logsnr[i : i + 1])
        x = alpha[i + 1] * x0 + sigma[i + 1] * eps
    return x


def sample_dpmpp_2m(predict: Predict, x: Tensor, logsnr: Tensor) -> Tensor:
    """DPM-Solver++(2M), midpoint (Lu et al. 2022, arXiv 2211.01095, Algorithm 2).

    First order in the first and the last step, as diffusers' `DPMSolverMultistepScheduler` with
    `solver_order=2` and `final_sigmas_type="zero"`.
    """
    alpha, sigma = _to_clean(logsnr, x)
    half = (logsnr / 2).to(x)  # log(alpha / sigma), the paper's lambda
    before: Tensor | None = None
    for i in range(len(logsnr)):
        x0, _ = predict(x, logsnr[i : i + 1])
        if i + 1 == len(logsnr):
            return x0
        h = half[i + 1 : i + 2] - half[i : i + 1]
        ahead = x0
        if before is not None:
            ahead = x0 + (x0 - before) * (h / (half[i : i + 1] - half[i - 1 : i])) / 2
        x = (sigma[i + 1] / sigma[i]) * x - alpha[i + 1] * torch.expm1(-h) * ahead
        before = x0
    raise AssertionError("a sampler visits at least one level")


@dataclass(frozen=True)
class Solver:
    """A way from noise to images over a list of levels, and the stock scheduler that steps so.

    Attributes
    ----------
    walk : maps `Predict`, noise x (N, ...) and levels logsnr (k,) to clean images (N, ...).
    scheduler : a class of diffusers' that gives the same images from trailing timesteps at the same
        levels, in a `DDIMPipeline` if it is `DDIMScheduler`, else in a `DDPMPipeline`.
    options : of that class, but for the levels.
    clips : whether the predicted clean image is clipped where the model asks for it.
    """

    walk: Callable[[Predict, Tensor, Tensor], Tensor]
    scheduler: str
    options: Mapping[str, Any]
    clips: bool = False


DPMPP_2M = Solver(
    sample_dpmpp_2m,
    "DPMSolverMultistepScheduler",
    {"solver_order": 2, "algorithm_type": "dpmsolver++", "final_sigmas_type": "zero"},
)
DDIM = Solver(sample_ddim, "DDIMScheduler", {"set_alpha_to_one": True}, clips=True)


def load_solver(name: str) -> Solver:
    """The registered solver `name`.

    Raises
    ------
    InputError
        If there is none, its import fails, or it is no `Solver`.
    """
    entry = registry.find("solvers", name)
    if entry is None:
        raise InputError(_unknown(name))
    solver: Solver = entry.load()
    if not isinstance(solver, Solver):
        raise InputError(f"{entry} is {solver!r}, but it must be a Solver")
    return solver


CLASSES: dict[str, str] = {
    "DPMSolverMultistepScheduler": "dpm++",
    "DDIMScheduler": "ddim",
}
"""Names of diffusers' classes that step as these do."""


def solver_name(given: Any) -> str:
    """The solver that a name, or a mapping {class, options}, stands for.

    Raises
    ------
    InputError
        Naming those that are known.
    """
    if isinstance(given, Mapping):
        options = given.get("options") or {}
        if set(given) <= {"class", "options"} and not options and given.get("class") in CLASSES:
            return CLASSES[given["class"]]
    elif isinstance(given, str) and registry.find("solvers", given) is not None:
        return given
    raise InputError(_unknown(given))


def _unknown(given: Any) -> str:
    classes = {name: f" ({cls}, without options)" for cls, name in CLASSES.items()}
    known = " and ".join(f"'{n}'{classes.get(n, '')}" for n in registry.names("solvers"))
    return f"solver is {given!r}; the known are {known}"


def _to_clean(logsnr: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Give alpha and sigma (k + 1, 1) at the levels and at the clean end, in x's type."""
    alpha, sigma = torch.sigmoid(logsnr).sqrt(), torch.sigmoid(-logsnr).sqrt()
    clean = torch.ones_like(alpha[:1])
    alpha, sigma = torch.cat([alpha, clean]), torch.cat([sigma, clean - 1])
    return alpha.to(x)[:, None], sigma.to(x)[:, None]
