"""Deterministic samplers over any list of noise levels, in log-SNR.

Legend: x (N, ...) noisy images; logsnr (k,) rising levels log(abar / (1 - abar)), the noisiest
first; alpha = sqrt(abar), sigma = sqrt(1 - abar); x0 and eps the predicted clean image and noise.
The last step goes to clean images: alpha 1, sigma 0. k levels cost k network evaluations an image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from raybilevel.errors import InputError

SolverName = Literal["dpm++", "ddim"]

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


SOLVERS: dict[SolverName, Callable[[Predict, Tensor, Tensor], Tensor]] = {
    "dpm++": sample_dpmpp_2m,
    "ddim": sample_ddim,
}

CLASSES: dict[str, SolverName] = {
    "DPMSolverMultistepScheduler": "dpm++",
    "DDIMScheduler": "ddim",
}
"""Names of diffusers' classes that step as these do."""


def solver_name(given: Any) -> SolverName:
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
    elif isinstance(given, str) and given in SOLVERS:
        return given
    classes = " and ".join(f"'{name}' ({cls}, without options)" for cls, name in CLASSES.items())
    raise InputError(f"solver is {given!r}; the known are {classes}")


def _to_clean(logsnr: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Give alpha and sigma (k + 1, 1) at the levels and at the clean end, in x's type."""
    alpha, sigma = torch.sigmoid(logsnr).sqrt(), torch.sigmoid(-logsnr).sqrt()
    clean = torch.ones_like(alpha[:1])
    alpha, sigma = torch.cat([alpha, clean]), torch.cat([sigma, clean - 1])
    return alpha.to(x)[:, None], sigma.to(x)[:, None]
