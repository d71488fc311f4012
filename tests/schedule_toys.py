"""Small real pipelines, with random weights, for the schedule problem's tests.

A driver, and a search's trial, read it for the extractors: diffusers, three CPU seconds, are
imported by what makes a pipeline alone.
"""

import math
import os
from pathlib import Path

import numpy as np
import torch
from toys import KILL

from raybilevel import SamplingSchedule, TrainingSchedule


def tiny_unet(size=8, channels=1, **options):
    """A network without attention whose noise predictions are of about unit size."""
    from diffusers import UNet2DModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DModel(
            sample_size=size, in_channels=channels, out_channels=channels,
            block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"), **options,
        )  # fmt: skip
    with torch.no_grad():
        unet.conv_out.weight.mul_(3)
    return unet


def chunks_looked_at(starts):
    """Of the search for where to begin, with two chunks an evaluation: 2, 1, 1 and 2 a look."""
    half = math.ceil(starts / 2)
    quarter = math.ceil(half / 2)
    return starts * 2 + half + quarter + math.ceil(quarter / 2) * 2


def save_pipeline(folder, unet=None, **scheduler):
    """A stock pipeline of 40 training steps in `folder`, and its path."""
    from diffusers import DDIMPipeline, DDIMScheduler

    options = {"num_train_timesteps": 40, "beta_start": 0.003, "beta_end": 0.3} | scheduler
    DDIMPipeline(unet or tiny_unet(), DDIMScheduler(**options)).save_pretrained(folder)
    return str(folder)


SMALL = {
    "data": "digits", "sampling_steps": 2, "estimation": {"samples": 32, "shard_size": 16},
    "optimizer": {"directions": 2, "updates": 2}, "comparison": {"samples": 128},
}  # fmt: skip
UNCOMPARED = {"comparison": {"samples": 0}}


def tuning(model, **changes):
    """A sampling schedule of seconds: two updates of two levels; groups are changed in part."""
    return SamplingSchedule(model=model, **SMALL).but(**changes)


def done(generator, worker):
    """What a part of a round of one stage returns, its shards run here."""
    stage = next(generator)
    outputs = [worker.run(shard, stage.broadcast, 0) for shard in stage.shards]
    rows = {n: np.concatenate([o.rows[n] for o in outputs]) for n in outputs[0].rows}
    try:
        generator.send(type(outputs[0])(rows=rows))
    except StopIteration as end:
        return end.value
    raise AssertionError("one stage was enough")


class Pixels(torch.nn.Module):
    """The image itself as features."""

    def forward(self, images):
        return images.flatten(1)


class DyingPixels(Pixels):
    """The same; the process is killed on its seventh chunk of sixteen samples, once."""

    def __init__(self, folder):
        super().__init__()
        self.marker, self.chunks = f"{folder}/died", 0

    def forward(self, images):
        self.chunks += len(images) == 16
        if self.chunks == 7 and not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), KILL)
        return super().forward(images)


class HookedPixels(Pixels):
    """Writes down, by process, what a hook on every network's forward counts: a batch in training
    three times an image, as its backward costs twice as much; nothing where shapes alone are
    tried, on the meta device."""

    def __init__(self, folder):
        super().__init__()
        self.folder = str(folder)

    def __setstate__(self, state):
        super().__setstate__(state)
        torch.nn.modules.module.register_module_forward_pre_hook(self.count)

    def count(self, module, args):
        if type(module).__name__ == "UNet2DModel" and args[0].device.type != "meta":
            nfe = len(args[0]) * (3 if torch.is_grad_enabled() else 1)
            with Path(self.folder, str(os.getpid())).open("a") as file:
                file.write(f"{nfe}\n")


def learning(**changes):
    """A schedule that is learned while a tiny network trains: eight rounds, two updates."""
    training = {
        "rounds": 8, "warmup": 3, "shards": 2, "inner_steps": 3, "batch_size": 16,
        "evaluate_every": 3,
    }  # fmt: skip
    network = {"block_out_channels": [8, 16], "norm_num_groups": 4}
    return TrainingSchedule(network=network, training=training, **SMALL).but(**changes)


def at(problem, **x):
    """The end of a search's trial: values of all variables, those that are not named at init."""
    return {"x": np.array([x.get(v.name, v.init) for v in problem.variables])}


def stock_and_ours(problem, state, folder):
    """Four images of one generator: by the exported stock pipeline, and by the problem itself."""
    from diffusers import DiffusionPipeline

    problem.export(state, folder)
    pipeline = DiffusionPipeline.from_pretrained(folder / "pipeline")
    images = pipeline(
        batch_size=4, generator=torch.Generator().manual_seed(9), output_type="np",
        num_inference_steps=problem.sampling_steps,
    ).images  # fmt: skip
    return images, problem.samples(state, 4, 9, "cpu").permute(0, 2, 3, 1).numpy()
