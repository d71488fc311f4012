"""A pipeline in pixel space by any scheduler: diffusers' own know one, or those that scale nothing.

A `DDIMPipeline` makes any scheduler DDIM; a `DDPMPipeline` does not scale noise and inputs, as
Euler's need, and gives `step` a generator, which UniPC's does not take.
"""

from __future__ import annotations

from typing import Any

from diffusers import DDPMPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor


class PixelPipeline(DDPMPipeline):
    """Draws as the stock pipeline of whatever scheduler it has."""

    def __call__(
        self, batch_size: int, generator: Any, num_inference_steps: int, output_type: str = "np"
    ) -> ImagePipelineOutput:
        """Images (N, H, W, C) in [0, 1]."""
        scheduler, config = self.scheduler, self.unet.config
        size = config.sample_size
        sides = (size, size) if isinstance(size, int) else size
        shape = (batch_size, config.in_channels, *sides)
        x = randn_tensor(shape, generator=generator, device=self.device, dtype=self.unet.dtype)
        scheduler.set_timesteps(num_inference_steps)
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(0)  # looked up by a timestep that is there twice, one is lost
        x = x * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            predicted = self.unet(scheduler.scale_model_input(x, t), t).sample
            x = scheduler.step(predicted, t, x).prev_sample
        images = (x / 2 + 0.5).clamp(0, 1)
        return ImagePipelineOutput(images.float().cpu().permute(0, 2, 3, 1).numpy())
