"""What is exported is stock: it draws the same where nobody has heard of raybilevel."""

import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, EulerDiscreteScheduler
from lower.hub_server import COMMIT, serving
from lower.sampling.pipelines.tiny_pipelines import SMALL, save

from raybilevel.lower.sampling.pipelines.export import export_pipeline
from raybilevel.lower.sampling.pipelines.sampler import PipelineSampler
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings
from raybilevel.lower.sampling.pipelines.source import loaded

SEED, PROMPT = 7, "a red cat"
EULER = {"class": "EulerDiscreteScheduler", "options": {"timestep_spacing": "trailing"}}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """As people publish: with a safety checker, twins, single files and a README."""
    folder = save(tmp_path_factory.mktemp("published") / "sd", "Stable Diffusion")
    pipeline = DiffusionPipeline.from_pretrained(folder)
    pipeline.save_pretrained(folder, variant="fp16")
    index = json.loads((folder / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["requires_safety_checker"] = True
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "README.md").write_text("a model")
    (folder / "model.ckpt").write_text("pickled")
    return folder


def drawn(source, settings):
    """An image as the run draws it."""
    pipeline, _ = loaded(source, settings, conditions=[PROMPT])
    sampler = PipelineSampler(pipeline, "cpu", settings.sampling_steps, settings.call_options)
    return sampler.draw([SEED], [PROMPT]).images.permute(0, 2, 3, 1).numpy()


def drawn_by_stock(told, directory, **given):
    """An image as one draws it who has the exported folder, `call.json` and diffusers."""
    dtype = getattr(torch, told["dtype"])
    given = told["from_pretrained"] | given
    pipeline = DiffusionPipeline.from_pretrained(directory, dtype=dtype, **given)
    generator = torch.Generator().manual_seed(SEED)
    return pipeline(PROMPT, generator=generator, output_type="np", **told["call"]).images


def told_in(folder):
    return json.loads((folder / "call.json").read_text())


def test_a_directory_is_exported_whole_and_draws_the_same(published, tmp_path):
    settings = PipelineSettings(
        sampling_steps=3,
        call_options={"guidance_scale": 4.0},
        scheduler=EULER,
        dtype="float32",
        model_options={"variant": "fp16", "slicing": ("vae",)},
    )
    export_pipeline(published, settings, tmp_path / "pipeline")
    told = told_in(tmp_path / "pipeline")
    assert told == {
        "dtype": "float32",
        "from_pretrained": {},
        "call": {"num_inference_steps": 3, "guidance_scale": 4.0},
        "slicing": ["vae"],
    }
    images = drawn_by_stock(told, tmp_path / "pipeline")
    np.testing.assert_allclose(images, drawn(published, settings), rtol=0, atol=1e-6)
    files = {p.relative_to(tmp_path / "pipeline").as_posix() for p in tmp_path.rglob("*.*")}
    assert {"README.md", "unet/diffusion_pytorch_model.safetensors"} < files
    assert not any("fp16" in file or file.endswith(".ckpt") for file in files)


def test_parts_that_were_left_out_are_not_exported(tmp_path):
    folder = save(tmp_path / "sd3", "SD 3")
    without = {"text_encoder_3": None, "tokenizer_3": None}
    settings = PipelineSettings(2, SMALL, dtype="float32", model_options=without)
    export_pipeline(folder, settings, tmp_path / "pipeline")
    assert not (tmp_path / "pipeline" / "text_encoder_3").exists()
    images = drawn_by_stock(told_in(tmp_path / "pipeline"), tmp_path / "pipeline")
    np.testing.assert_allclose(images, drawn(folder, settings), rtol=0, atol=1e-6)


def test_of_a_model_of_the_hub_scheduler_name_and_commit_are_exported(
    published, tmp_path, monkeypatch
):
    settings = PipelineSettings(3, {"guidance_scale": 4.0}, EULER, "float32")
    with serving(monkeypatch, tmp_path / "cache") as hub:
        hub.publish("owner/sd", published)
        export_pipeline("owner/sd", settings, tmp_path / "pipeline")
        assert not any(file.endswith(".safetensors") for file in hub.downloads())
        expected = drawn("owner/sd", settings)
        export_pipeline("owner/sd", settings, tmp_path / "whole", export_weights=True)
    told = told_in(tmp_path / "pipeline")
    assert told["model"] == "owner/sd"
    assert told["from_pretrained"] == {
        "revision": COMMIT, "safety_checker": None, "requires_safety_checker": False,
        "feature_extractor": None,
    }  # fmt: skip
    assert {p.name for p in (tmp_path / "pipeline").iterdir()} == {"scheduler", "call.json"}
    scheduler = EulerDiscreteScheduler.from_pretrained(tmp_path / "pipeline" / "scheduler")
    images = drawn_by_stock(told, published, scheduler=scheduler)
    np.testing.assert_allclose(images, expected, rtol=0, atol=1e-6)
    images = drawn_by_stock(told_in(tmp_path / "whole"), tmp_path / "whole")
    np.testing.assert_allclose(images, expected, rtol=0, atol=1e-6)
    shutil.rmtree(tmp_path / "cache")
