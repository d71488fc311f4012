"""The text-to-image model that comes along. Its figures: `jobs/train_models.py examine`."""

from pathlib import Path

import pytest
import torch
import yaml
from diffusers import StableDiffusionPipeline

from raybilevel.lower.pretrained import pretrained
from raybilevel.lower.sampling.pipelines.check import check_stock_pipeline
from raybilevel.lower.sampling.pipelines.description import describe
from raybilevel.lower.sampling.pipelines.sampler import PipelineSampler
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings
from raybilevel.lower.sampling.pipelines.source import loaded
from raybilevel.rewards.asked_digit import DIGITS, digit_asked, held_out_asked_digit
from raybilevel.rewards.thickness import stroke_width

pytest.importorskip(
    "transformers", reason="text models need the extra 'text', with which CI runs these tests apart"
)

JOBS = Path(__file__).parents[4] / "jobs"
SETTINGS = PipelineSettings(sampling_steps=20, call_options={"guidance_scale": 3.0})
PROMPTS = [f"a thin {word}" for word in DIGITS] + [f"a thick {word}" for word in DIGITS]
SEEDS = [*range(10), *range(10)]


@pytest.fixture(scope="module")
def pipeline():
    return loaded(pretrained("mnist-sd"), SETTINGS)[0]


@pytest.fixture(scope="module")
def drawn(pipeline):
    """Ten digits in thin strokes, and in thick ones of the same seeds."""
    sampler = PipelineSampler(pipeline, "cpu", SETTINGS.sampling_steps, SETTINGS.call_options)
    return sampler.draw(SEEDS, PROMPTS)


def test_its_files_pass_with_the_settings_that_are_recommended():
    remarks = check_stock_pipeline(describe(pretrained("mnist-sd")), SETTINGS, PROMPTS)
    assert remarks == []


def test_it_draws_the_digits_that_are_asked_for(drawn):
    assert drawn.images.shape == (20, 1, 32, 32)
    scores = held_out_asked_digit("cpu")(drawn.images, PROMPTS)
    assert (scores > torch.tensor(0.5).log()).double().mean() >= 0.9


def test_it_draws_thick_strokes_where_they_are_asked_for(drawn):
    thin, thick = stroke_width(drawn.images).chunk(2)
    assert (thick > thin).double().mean() >= 0.9


def test_guidance_is_two_evaluations_a_step(drawn):
    assert drawn.cost.nfe == 2 * 20 * len(PROMPTS)


def test_the_plain_stock_call_gives_grey_pil_images():
    stock = StableDiffusionPipeline.from_pretrained(pretrained("mnist-sd"))
    stock.set_progress_bar_config(disable=True)
    (image,) = stock("an eight", num_inference_steps=2).images
    assert (image.mode, image.size) == ("L", (32, 32))
    assert image.getextrema()[1] > 0


def test_every_word_of_its_prompts_is_one_token(pipeline, monkeypatch):
    """And the tokenizer is the one that the job makes."""
    monkeypatch.syspath_prepend(str(JOBS))
    from mnist_sd.prompts import every_prompt
    from mnist_sd.text import tokenizer

    prompts = every_prompt()
    assert len(set(prompts)) == len(prompts) >= 1000
    assert tokenizer(prompts).get_vocab() == pipeline.tokenizer.get_vocab()
    for prompt in prompts[::7]:
        assert len(pipeline.tokenizer.tokenize(prompt)) == len(prompt.replace(",", " ,").split())
        assert DIGITS[digit_asked(prompt)] in prompt


def test_the_list_of_prompts_that_comes_along_is_such_prompts(monkeypatch):
    monkeypatch.syspath_prepend(str(JOBS))
    from mnist_sd.prompts import every_prompt

    listed = yaml.safe_load((JOBS / "configs/prompts.yaml").read_text())["prompts"]
    assert set(listed) <= set(every_prompt())
