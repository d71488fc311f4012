"""One batch: samples of seeds or of noise, and their rewards."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from raybilevel.lower.sampling.pipelines.call import Conditions
from raybilevel.problems.asked_rewards import asked
from raybilevel.problems.base import Arrays, Output
from raybilevel.problems.named_pipeline import DRAWN_IN
from raybilevel.problems.prompts.prompt_list import PromptList
from raybilevel.problems.reward.drawing.particles import Particles
from raybilevel.problems.reward.models.base import DrawnSamples, Sampler
from raybilevel.problems.user_code import check_finite, naming
from raybilevel.rewards import Reward

if TYPE_CHECKING:
    from torch import Tensor

    from raybilevel.lower.sampling.guidance.call import Guide, PathTerms
    from raybilevel.lower.sampling.guidance.steering import Steering


class Batches:
    """Draws batches and asks the rewards.

    Parameters
    ----------
    sampler : draws from p0.
    rewards : by column of the pool.
    prompts : the list that `places` are of; None without prompts.
    """

    def __init__(
        self, sampler: Sampler, rewards: Mapping[str, Reward], prompts: PromptList | None
    ) -> None:
        self.sampler, self.rewards, self.prompts = sampler, rewards, prompts
        self.particles = Particles(sampler.noise)

    @property
    def lower(self) -> dict[str, Reward]:
        """The lower rewards by column, in the order of these."""
        return {c: reward for c, reward in self.rewards.items() if c.startswith("lower.")}

    def of_seeds(self, seeds: Sequence[int], places: Sequence[int] | None) -> DrawnSamples:
        """A sample a seed; `RunError` for one that is not finite."""
        return self._drawn(lambda told: self.sampler.draw(seeds, told), seeds, places)

    def of_noise(
        self, noise: Tensor, seeds: Sequence[int], places: Sequence[int] | None
    ) -> DrawnSamples:
        """A sample a row of noise, which sentences name by its seed."""
        return self._drawn(lambda told: self.sampler.draw_noise(noise, told), seeds, places)

    def guided(
        self, seeds: Sequence[int], places: Sequence[int] | None, guide: Guide
    ) -> tuple[DrawnSamples, PathTerms]:
        """A guided path a seed, and what its density is made of."""
        with naming("the model, guided,", seeds):
            drawn, terms = self.sampler.draw_guided(seeds, self._told(places), guide)
        check_finite(drawn.samples.flatten(1).sum(1).numpy(), seeds, "the sampler")
        return drawn, terms

    def steered(
        self, seeds: Sequence[int], places: Sequence[int] | None, steering: Steering
    ) -> tuple[DrawnSamples, np.ndarray]:
        """A steered particle a seed, and what each weighs no more."""
        with naming("the model, steered,", seeds):
            drawn, paid = self.sampler.draw_steered(seeds, self._told(places), steering)
        check_finite(drawn.samples.flatten(1).sum(1).numpy(), seeds, "the sampler")
        return drawn, paid

    def operations(self, places: Sequence[int] | None) -> tuple[float, float, DrawnSamples]:
        """As the sampler counts them, of one sample."""
        return self.sampler.operations(self._told(places))

    def _drawn(
        self,
        draw: Callable[[Conditions], DrawnSamples],
        seeds: Sequence[int],
        places: Sequence[int] | None,
    ) -> DrawnSamples:
        with naming("the model", seeds):
            drawn = draw(self._told(places))
        check_finite(drawn.samples.flatten(1).sum(1).numpy(), seeds, "the sampler")
        return drawn

    def _told(self, places: Sequence[int] | None) -> Conditions:
        if self.prompts is None or places is None:
            return None
        return [self.prompts.conditions[c] for c in places]

    def rewarded(
        self, drawn: DrawnSamples, seeds: Sequence[int], places: Sequence[int] | None
    ) -> Output:
        """Rows of the pool: seeds, prompts and rewards; what is counted; what it took."""
        begun = time.perf_counter()
        rows = {"pool/seed": np.array(seeds, dtype=np.int64)}
        if places is not None:
            rows["pool/prompt"] = np.array(places, dtype=np.int64)
        rows |= self._values(drawn.samples, seeds, places)
        seconds = {**drawn.seconds, "rewards": time.perf_counter() - begun}
        return Output(self._sums(drawn), rows, drawn.nfe, seconds)

    def _values(
        self, samples: Tensor, seeds: Sequence[int], places: Sequence[int] | None
    ) -> Arrays:
        values = asked(self.rewards, samples, seeds, self.prompts, places)
        return {f"pool/{column}": given for column, given in values.items()}

    def _sums(self, drawn: DrawnSamples) -> Arrays:
        sums = {} if drawn.blackened is None else {"blackened": np.array(drawn.blackened)}
        if drawn.dtype is not None:
            sums[f"{DRAWN_IN}{drawn.dtype}"] = np.array(len(drawn.samples))
        if self.sampler.why_fixed is not None:
            sums["fixed"] = np.array(len(drawn.samples))
        return sums
