"""A weighted sum of rewards, which is a reward of all that its terms read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raybilevel.rewards.builtin import Reward
from raybilevel.rewards.reading import call, reads, signature_of
from raybilevel.rewards.scores import scores_of


@dataclass(frozen=True)
class MadeTerm:
    """A reward, times a weight, and what sentences call it."""

    weight: float
    reward: Reward
    named: str


class WeightedSum:
    """Calls its terms, and adds what they return: a tensor, on the images' device.

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
        import torch

        def scores(term: MadeTerm) -> torch.Tensor:
            returned = call(term.reward, images, prompts, metadata, term.named)
            found = scores_of(returned, images, term.named)
            return torch.as_tensor(found, device=getattr(images, "device", None))

        return sum(term.weight * scores(term) for term in self.terms)
