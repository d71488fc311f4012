"""Whether a loaded pipeline's samples can be drawn from given noise: tried on one of them."""

from __future__ import annotations

from raybilevel.lower.sampling.noise import why_not_given
from raybilevel.lower.sampling.pipelines.batches import BatchedSampler
from raybilevel.lower.sampling.pipelines.probe import PROBE_SEED, PipelineReport

_ROUNDING = 1e-5


def why_noise_not_given(sampler: BatchedSampler, report: PipelineReport, named: str) -> str | None:
    """The middle of a sentence; None where the noise of an image gives the image.

    Parameters
    ----------
    report : what the probe of the sampler drew: the image is drawn alone here, and beside another
        there, which may move it in 16 bits.
    named : what sentences call the pipeline.
    """
    draws = sampler.noise_draws
    assert draws is not None, "a pipeline that was probed has drawn"
    if (said := why_not_given(named, draws)) is not None:
        return said
    one = None if report.conditions is None else report.conditions[:1]
    image = sampler.draw(draws.noise([PROBE_SEED]), one).images[0]
    moved = float((image - report.images[0]).abs().max())
    allowed = _ROUNDING + report.beside_others
    return why_not_given(named, draws, moved) if moved > allowed else None
