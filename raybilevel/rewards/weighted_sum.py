"""A weighted sum of rewards, which is a reward of all that its terms read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raybilevel.rewards.builtin import Reward
from raybilevel.rewards.reading import call, reads, signature_of
from raybilevel.rewards.scores import is_tensor, scores_of


@dataclass(frozen=True)
class MadeTerm:
    """A reward, times a weight, and what sentences call it."""

    weight: float
    reward: Reward
    named: str


class WeightedSum:
    """Calls its terms, and adds what they return: arrays, or tensors with their gradient.

    It reads what one of its terms reads, by a signature of its own.
    """

    def __init__(self, terms: Sequence[MadeTerm]) -> None:
        self.terms = tuple(terms)
        read = {what for term in terms for what in reads(term.reward)}
        self.__signature__ = signature_of(sorted(read, key=("images", "prompts", "metadata").index))

    def __call__(
        self,
        images: Any,
        prompts: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> Any:
        """Scores (N,) of images (N, ...)."""
        found = [
            scores_of(call(term.reward, images, prompts, metadata, term.named), images, term.named)
            for term in self.terms
        ]
        weights = [term.weight for term in self.terms]
        return sum(w * s for w, s in zip(weights, _alike(found, images), strict=True))


def _alike(scores: list[Any], images: Any) -> list[Any]:
    """Arrays as they are; if there is a tensor, all as tensors, on the images' device."""
    if not any(map(is_tensor, scores)):
        return scores
    import torch

    device = images.device if is_tensor(images) else None
    return [torch.as_tensor(part, device=device) for part in scores]
