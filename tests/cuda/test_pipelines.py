"""A pipeline that offloads its parts draws what one draws that is on the GPU throughout."""

import pytest
import torch
from lower.sampling.pipelines.tiny_pipelines import load, save

from raybilevel.lower.sampling.pipelines.sampler import PipelineSampler
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save(tmp_path_factory.mktemp("model") / "pipeline", "Stable Diffusion")


def drawn(model, **options):
    settings = PipelineSettings(dtype="float32", model_options=options)
    pipeline = load(model, settings, "cuda")
    sampler = PipelineSampler(pipeline, "cuda", 3, {"guidance_scale": 4.0})
    sampler.draw([0], ["dog"])  # whose encoding is kept
    return sampler.draw([1, 2], ["dog", "a red cat"]).images


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offloading_leaves_images_as_they_are(model, offload):
    torch.testing.assert_close(drawn(model, offload=offload), drawn(model), atol=1e-5, rtol=0)
