"""Whether pictures show the digit that their prompt asks for: three judges of "mnist-sd"."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from raybilevel.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_SHAPE = (1, 32, 32)

PromptReward = Callable[["Tensor", Sequence[str]], "Tensor"]
"""Maps images (N, C, H, W) in [0, 1] and N prompts to numbers (N,)."""


def asked_digit(device: str) -> PromptReward:
    """Log-probability of the digit that the prompt asks for under the good judge, at most 0."""
    return _log_prob("mnist", "asked_digit", device)


def held_out_asked_digit(device: str) -> PromptReward:
    """The same under a judge of other pictures, to be reported and never optimised."""
    return _log_prob("mnist-held-out", "held_out_asked_digit", device)


def proxy_asked_digit(device: str) -> PromptReward:
    """Logit of the digit that the prompt asks for under a linear judge that has seen few labels."""
    logits = _logits("mnist-proxy", "proxy_asked_digit", device)
    return lambda images, prompts: _chosen(logits(images), prompts, "proxy_asked_digit")


def _log_prob(name: str, reward: str, device: str) -> PromptReward:
    logits = _logits(name, reward, device)
    return lambda images, prompts: _chosen(logits(images).log_softmax(1), prompts, reward)


def _logits(name: str, reward: str, device: str) -> Callable[[Tensor], Tensor]:
    from raybilevel.rewards.mnist_classifier import mnist_classifier

    classifier = mnist_classifier(name).to(device)

    def logits(images: Tensor) -> Tensor:
        if tuple(images.shape[1:]) != _SHAPE:
            raise InputError(
                f"{reward} is a reward for digits of shape {_SHAPE}, as 'mnist-sd' draws them, but "
                f"the images have shape {tuple(images.shape[1:])}; give a reward of your own as "
                "'package.module:name'"
            )
        found: Any = classifier(images.to(device))
        return found

    return logits


def _chosen(values: Tensor, prompts: Sequence[str], reward: str) -> Tensor:
    """(N,) of (N, 10), each row's by its prompt."""
    import torch

    asked = torch.tensor([digit_asked(prompt, reward) for prompt in prompts], device=values.device)
    return values.gather(1, asked[:, None])[:, 0]


def digit_asked(prompt: str, reward: str = "asked_digit") -> int:
    """The digit that a prompt names.

    Raises
    ------
    InputError
        If it names none, or several.
    """
    words = re.findall(r"[a-z]+", prompt.lower())
    named = [digit for digit, word in enumerate(DIGITS) if word in words]
    if len(named) != 1:
        raise InputError(
            f"{reward} was given the prompt '{prompt}', which names {len(named) or 'no'} digits; "
            "it must name one, such as 'a thin seven'"
        )
    return named[0]
