"""Functions that return a pipeline are held to what directories are held to."""

import functools
import re

import pytest
import torch
from lower.sampling.pipelines.tiny_pipelines import load, save

from raybilevel.errors import InputError
from raybilevel.lower.sampling.pipelines.callables import returns_pipeline
from raybilevel.lower.sampling.pipelines.sampler import PipelineSampler
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings
from raybilevel.lower.sampling.pipelines.source import loaded

EULER = {"class": "EulerDiscreteScheduler", "options": {"timestep_spacing": "trailing"}}


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipelines")
    return {name: save(folder / name[:3], name) for name in ("Stable Diffusion", "DiT")}


@pytest.fixture
def make(directories):
    """A function without arguments that loads a family's pipeline."""
    return lambda name: functools.partial(load, directories[name])


def refusal(make, conditions=("a red cat",), **settings):
    with pytest.raises(InputError) as refused:
        loaded(make, PipelineSettings(**settings), conditions=conditions)
    (sentence,) = str(refused.value).splitlines()
    return sentence


class Sampler:
    noise_shape = (3, 8, 8)

    def __call__(self):
        return "what is called with noise"


def test_what_returns_a_pipeline_is_told_by_its_signature():
    assert returns_pipeline(lambda: None)
    assert returns_pipeline(lambda dtype="bf16", **others: None)
    assert not returns_pipeline(lambda *seeds, **others: None)  # a decorator's, around a sampler
    assert not returns_pipeline(lambda seeds: None)
    assert not returns_pipeline(lambda seeds, prompts: None)
    assert not returns_pipeline(lambda *, seeds: None)
    assert not returns_pipeline(Sampler())
    assert not returns_pipeline("my_models:lora")


def test_it_draws_what_its_directory_draws(make, directories):
    settings = PipelineSettings(scheduler=EULER, call_options={"guidance_scale": 4.0})
    images = []
    for source in (make("Stable Diffusion"), directories["Stable Diffusion"]):
        pipeline, remarks = loaded(source, settings, conditions=["dog"])
        sampler = PipelineSampler(pipeline, "cpu", 2, settings.call_options)
        images.append(sampler.draw([7], ["dog"]).images)
        assert remarks == []
    assert torch.equal(*images)


def test_it_is_named_by_its_import_path(directories, run_in):
    folder = directories["Stable Diffusion"]
    (run_in / "lora_models.py").write_text(
        "from diffusers import DiffusionPipeline\n"
        f"def tuned(): return DiffusionPipeline.from_pretrained({str(folder)!r})\n"
        "def number(): return 7\n"
        "def broken(): raise OSError('no adapter here')\n"
    )
    pipeline, _ = loaded("lora_models:tuned", PipelineSettings(), conditions=["dog"])
    assert type(pipeline).__name__ == "StableDiffusionPipeline"
    assert refusal("lora_models:number") == (
        "model 'lora_models:number' takes no arguments, so that it must return a diffusers "
        "pipeline, but it returned a int; a sampler takes a list of seeds"
    )
    said = refusal("lora_models:broken")
    assert re.match(r"model 'lora_models:broken' failed on being called .*: OSError: no ad", said)


@pytest.mark.parametrize(
    ("name", "conditions", "settings", "said"),
    [
        (
            "Stable Diffusion", None, {},
            "model, a StableDiffusionPipeline, draws from prompts, but prompts is missing; give "
            "some",
        ),
        (
            "Stable Diffusion", ["a dog in the sea by a cat"], {},
            "prompts has 'a dog in the sea by a cat', which is 18 tokens long, but the tokenizer "
            "of model, a StableDiffusionPipeline, reads 16; shorten it",
        ),
        (
            "DiT", [1000], {},
            "prompts has 1000, but model, a DiTPipeline, has classes from 0 to 999",
        ),
        (
            "DiT", [0], {"sampling_steps": 1001},
            "sampling_steps is 1001, but model, a DiTPipeline, takes from 1 to 1000 of them",
        ),
        (
            "DiT", [0], {"call_options": {"guidance": 3}},
            "call_options has 'guidance', but what DiTPipeline can be given is guidance_scale",
        ),
    ],
    ids=["no prompts", "too long", "a class", "steps", "an option"],
)  # fmt: skip
def test_what_is_refused_of_a_directory_is_refused_of_it(make, name, conditions, settings, said):
    assert refusal(make(name), conditions, **settings) == said


def test_a_loaded_pipeline_is_no_function(make):
    assert refusal(make("DiT")(), [0]) == (
        "model is a loaded DiTPipeline, which is not sent to workers; give a function without "
        "arguments that returns it"
    )


def test_names_of_classes_are_known(make):
    pipeline, _ = loaded(make("DiT"), PipelineSettings(), conditions=["tench", "retriever"])
    assert pipeline.labels["tench"] == 0


def test_a_safety_checker_that_it_has_is_turned_off_and_said(make):
    def checked():
        pipeline = make("Stable Diffusion")()
        pipeline.register_modules(safety_checker=torch.nn.Identity())
        return pipeline

    pipeline, remarks = loaded(checked, PipelineSettings(), conditions=["dog"])
    assert pipeline.safety_checker is None
    assert remarks == ["the safety checker of model is off"]
