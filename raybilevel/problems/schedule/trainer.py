"""The schedule problem's training shards, in one process: local steps, and dg/dq where f counts.

train   first, count          `count` AdamW steps from what is broadcast, on draws of the
shard's own key; sums of weights and moments
levels, gamma         where z is trained too: from the same start on the same draws,
minding f; and dg/dq at y and at z (rows)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raybilevel.lower.sampling.level_sampler import LevelSampler
from raybilevel.lower.training.loss import Draw, denoising_loss, draw
from raybilevel.lower.training.parameter_vector import FlatWeights
from raybilevel.lower.training.penalty_pair import Matched, matched_steps
from raybilevel.lower.training.trainer import Accumulate, Learner, Trainer
from raybilevel.lower.training.upper_gradient import Linearised, UpperTerm
from raybilevel.problems.base import Arrays, Output, PlacedShard
from raybilevel.problems.schedule.training_spec import LEARNER, Lesson
from raybilevel.schedules import Schedule

_SLOPES = 4  # batches that dg/dq is taken on
_KEPT = 2**63 - 1  # torch takes signed seeds


class ScheduleTrainer:
    """Runs training shards on one device.

    Parameters
    ----------
    sampler, flat : the network, whose weights every shard overwrites.
    schedule : what noise it is trained on.
    images : (N, C, H, W) in [0, 1].
    extractor : the objective's.
    """

    def __init__(
        self,
        lesson: Lesson,
        *,
        sampler: LevelSampler,
        flat: FlatWeights,
        schedule: Schedule,
        images: Tensor,
        extractor: torch.nn.Module,
    ) -> None:
        self._lesson, self._sampler, self._flat = lesson, sampler, flat
        self._schedule, self._images = schedule, images
        self._trainer = Trainer(flat, lesson.recipe)
        self._network: Any = torch.compile(sampler.unet) if lesson.compiled else sampler.unet
        self._term = UpperTerm(sampler, flat, extractor, lesson.grad_steps)

    def run(self, shard: PlacedShard, broadcast: Mapping[str, np.ndarray], key: int) -> Output:
        """Run one shard; all that is random comes from `key`."""
        generator = torch.Generator().manual_seed(key & _KEPT)
        args, start = shard.args, Learner(*(broadcast[name] for name in LEARNER))
        draws = [self._draw(generator) for _ in range(args["count"])]
        x = torch.tensor(broadcast["x"], device=self._sampler.device)
        if "gamma" not in args:
            steps = (self._lower(x, at) for at in draws)
            return self._output(*self._trainer.run(start, args["first"], steps), {}, {}, 0)
        f = Linearised(broadcast["slope_mean"], broadcast["slope_outer"], self._sampler.device)
        m = self._matched(start, x, draws, generator, args=args, f=f)
        rows = {"slope_y": m.slope_y, "slope_z": m.slope_z}
        each = self._term.nfe(len(args["levels"]), self._lesson.z_step == "zeroth_order")
        extra = 3 * (len(draws) + 2 * _SLOPES) + len(draws) * each
        return self._output(m.y, m.losses, {"weights_z": m.z.weights}, rows, extra)

    def _output(
        self, learner: Learner, losses: list[float], sums: Arrays, rows: Arrays, extra: int
    ) -> Output:
        learned = {name: getattr(learner, name) for name in LEARNER}
        nfe = self._lesson.batch_size * (3 * len(losses) + extra)
        return Output(learned | sums, rows | {"loss": np.array(losses)}, nfe)

    def _draw(self, generator: torch.Generator) -> Draw:
        return draw(self._images, self._lesson.batch_size, generator, self._sampler.device)

    def _loss(self, x: Tensor, at: Draw) -> Tensor:
        return denoising_loss(self._network, self._sampler.info, self._schedule, x, at)

    def _lower(self, x: Tensor, at: Draw) -> Accumulate:
        def add() -> Tensor:
            loss = self._loss(x, at)
            loss.backward()
            return loss.detach()

        return add

    def _matched(
        self,
        start: Learner,
        x: Tensor,
        draws: list[Draw],
        generator: torch.Generator,
        *,
        args: Mapping[str, Any],
        f: Linearised,
    ) -> Matched:
        batches = [self._draw(generator) for _ in range(_SLOPES)]

        def upper() -> Tensor:
            noise = torch.randn(draws[0].noise.shape, generator=generator)
            at = f, noise, args["levels"], 1 / args["gamma"]
            if self._lesson.z_step == "truncated":
                return self._term.truncated(*at)
            return self._term.two_point(*at, torch.randn(len(start.weights), generator=generator))

        return matched_steps(
            self._trainer, start, args["first"], draws,
            lower=lambda at: self._lower(x, at), upper=upper,
            slopes=lambda: self._slopes(x, batches),
        )  # fmt: skip

    def _slopes(self, x: Tensor, batches: list[Draw]) -> np.ndarray:
        """dg/dq (m, d) of each batch."""
        x = x.clone().requires_grad_()
        slopes = [torch.autograd.grad(self._loss(x, at), x)[0] for at in batches]
        return torch.stack(slopes).cpu().numpy()
