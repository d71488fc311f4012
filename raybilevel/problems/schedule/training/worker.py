"""The lower level in one process where the run trains the network: local steps, and dg/dq."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raybilevel.data import held
from raybilevel.lower.training.loss import Draw, denoising_loss, draw
from raybilevel.lower.training.parameter_vector import ParameterVector
from raybilevel.lower.training.penalty_pair import PenaltyPair, train_pair
from raybilevel.lower.training.trainer import Accumulate, Learner, Trainer
from raybilevel.lower.training.upper_gradient import Linearised, UpperGradient
from raybilevel.problems.base import Arrays, Output, Shard
from raybilevel.problems.schedule.components import Components
from raybilevel.problems.schedule.real_images.objective import ObjectiveName
from raybilevel.problems.schedule.shards import Train, TrainPair
from raybilevel.problems.schedule.training.spec import LEARNER, SAMPLED, TrainingSpec
from raybilevel.problems.schedule.worker import ScheduleWorker
from raybilevel.schedules import Schedule

_SLOPES = 4  # batches that dg/dq is taken on
_KEPT = 2**63 - 1  # torch takes signed seeds


class TrainingWorker(ScheduleWorker):
    """Runs training shards too; samples are drawn with the weights that are broadcast.

    Parameters
    ----------
    components, objective : as `ScheduleWorker` takes them.
    spec, schedule : how the network is trained, and on what noise.
    """

    def __init__(
        self,
        components: Components,
        objective: ObjectiveName,
        device: str,
        spec: TrainingSpec,
        schedule: Schedule,
    ) -> None:
        super().__init__(components, objective, device)
        self._spec, self._schedule = spec, schedule
        self._images = held(components.real.folds[0].images)
        unet = self._sampler.unet
        self._weights = ParameterVector(unet)
        self._trainer = Trainer(self._weights, spec.optimizer)
        self._network: Any = torch.compile(unet) if spec.compiled else unet
        self._upper = UpperGradient(
            self._sampler, self._weights, self._seeing.objective, spec.grad_steps
        )

    def run(self, shard: Shard, broadcast: Mapping[str, np.ndarray], key: int) -> Output:
        """Run one shard; all that is random about training comes from `key`."""
        match shard:
            case Train():
                return self._train(shard, broadcast, key)
            case TrainPair():
                return self._train_pair(shard, broadcast, key)
        if SAMPLED in broadcast:
            self._weights.load(broadcast[SAMPLED])
        return super().run(shard, broadcast, key)

    def _train(self, shard: Train, broadcast: Mapping[str, np.ndarray], key: int) -> Output:
        generator, x = _generator(key), self._x(broadcast)
        draws = [self._draw_batch(generator) for _ in range(shard.count)]
        steps = (self._lower(x, at) for at in draws)
        learner, losses = self._trainer.run(_start(broadcast), shard.first, steps)
        return self._output(learner, losses, {}, {}, 0)

    def _train_pair(
        self, shard: TrainPair, broadcast: Mapping[str, np.ndarray], key: int
    ) -> Output:
        generator, x = _generator(key), self._x(broadcast)
        draws = [self._draw_batch(generator) for _ in range(shard.count)]
        batches = [self._draw_batch(generator) for _ in range(_SLOPES)]
        f = Linearised(broadcast["slope_mean"], broadcast["slope_outer"], self._sampler.device)
        pair = train_pair(
            self._trainer, _start(broadcast), shard.first, draws,
            lower=lambda at: self._lower(x, at),
            upper=lambda: self._add_upper(shard, f, generator),
            slopes=lambda: self._slopes(x, batches),
        )  # fmt: skip
        return self._pair_output(shard, pair)

    def _pair_output(self, shard: TrainPair, pair: PenaltyPair) -> Output:
        rows = {"slope_y": pair.slope_y, "slope_z": pair.slope_z}
        each = self._upper.nfe(len(shard.levels), self._spec.z_step == "zeroth_order")
        extra = 3 * (shard.count + 2 * _SLOPES) + shard.count * each
        return self._output(pair.y, pair.losses, {"weights_z": pair.z.weights}, rows, extra)

    def _output(
        self, learner: Learner, losses: list[float], sums: Arrays, rows: Arrays, extra: int
    ) -> Output:
        """Where training led; `extra` evaluations a sample of the batch beside y's steps."""
        learned = {name: getattr(learner, name) for name in LEARNER}
        nfe = self._spec.batch_size * (3 * len(losses) + extra)
        return Output(learned | sums, rows | {"loss": np.array(losses)}, nfe)

    def _x(self, broadcast: Mapping[str, np.ndarray]) -> Tensor:
        return torch.tensor(broadcast["x"], device=self._sampler.device)

    def _draw_batch(self, generator: torch.Generator) -> Draw:
        return draw(self._images, self._spec.batch_size, generator, self._sampler.device)

    def _loss(self, x: Tensor, at: Draw) -> Tensor:
        return denoising_loss(self._network, self._sampler.info, self._schedule, x, at)

    def _lower(self, x: Tensor, at: Draw) -> Accumulate:
        def add() -> Tensor:
            loss = self._loss(x, at)
            loss.backward()
            return loss.detach()

        return add

    def _add_upper(self, shard: TrainPair, f: Linearised, generator: torch.Generator) -> Tensor:
        """Add the gradient of f / gamma on fresh noise; gives its value ()."""
        shape = (self._spec.batch_size, *self._images.shape[1:])
        noise = torch.randn(shape, generator=generator)
        at = f, noise, list(shard.levels), 1 / shard.gamma
        if self._spec.z_step == "truncated":
            return self._upper.truncated(*at)
        way = torch.randn(len(self._weights.parameter), generator=generator)
        return self._upper.two_point(*at, way)

    def _slopes(self, x: Tensor, batches: list[Draw]) -> np.ndarray:
        """dg/dq (m, d) of each batch."""
        x = x.clone().requires_grad_()
        slopes = [torch.autograd.grad(self._loss(x, at), x)[0] for at in batches]
        return torch.stack(slopes).cpu().numpy()


def _generator(key: int) -> torch.Generator:
    return torch.Generator().manual_seed(key & _KEPT)


def _start(broadcast: Mapping[str, np.ndarray]) -> Learner:
    return Learner(*(broadcast[name] for name in LEARNER))
