import json
import shutil

import pytest
from lower.sampling.pipelines.tiny_pipelines import save

from raybilevel.errors import InputError
from raybilevel.lower.sampling.pipelines.check import check_stock_pipeline
from raybilevel.lower.sampling.pipelines.description import describe
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings

LONG = "a dog in the sea by a cat"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The directory of a family, written once."""
    folder = tmp_path_factory.mktemp("pipelines")

    def directory(name):
        target = folder / name.replace(" ", "_")
        return target if target.exists() else save(target, name)

    return directory


def check(directory, prompts=("a red cat", "dog"), **settings):
    return check_stock_pipeline(describe(directory), PipelineSettings(**settings), prompts)


def refusal(directory, *prompts, **settings):
    with pytest.raises(InputError) as refused:
        check(directory, *prompts, **settings)
    (sentence,) = str(refused.value).splitlines()
    return sentence.replace(str(directory), "HERE")


def test_what_is_right_passes(saved):
    assert check(saved("Stable Diffusion"), call_options={"guidance_scale": 3.0}) == []
    assert check(saved("DiT"), [207, "tench", "retriever"], sampling_steps=4) == []


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        (
            None,
            "model 'HERE', a StableDiffusionPipeline, draws from prompts, but prompts is missing; "
            "give some",
        ),
        ([], "prompts is empty; give at least one"),
        (["dog", " "], "the prompt at place 2 is empty; give words, or drop it"),
        ([7], "prompts has 7, but model 'HERE', a StableDiffusionPipeline, draws from text"),
        (
            ["dog", LONG],
            f"prompts has '{LONG}', which is 18 tokens long, but the tokenizer of model 'HERE', a "
            "StableDiffusionPipeline, reads 16; shorten it",
        ),
    ],
    ids=["missing", "none", "empty", "a number", "too long"],
)
def test_prompts_that_cannot_be_read(saved, prompts, said):
    assert refusal(saved("Stable Diffusion"), prompts) == said


def test_a_prompt_that_one_tokenizer_reads_whole_is_only_remarked_on(saved):
    (remark,) = check(saved("SD 3"), ["dog", LONG])
    said = "tokenizer, tokenizer_2 cut 1 of the prompts, which another part reads whole"
    assert remark == said


def test_a_shorter_max_sequence_length_counts(saved):
    said = refusal(saved("SD 3"), [LONG], call_options={"max_sequence_length": 4})
    assert said.endswith("reads 4; shorten it")


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (1000, "prompts has 1000, but model 'HERE', a DiTPipeline, has classes from 0 to 999"),
        (
            "cat",
            "prompts has 'cat', but model 'HERE', a DiTPipeline, takes numbers, or names such as "
            "'tench'",
        ),
    ],
)
def test_classes_that_a_model_does_not_know(saved, label, said):
    assert refusal(saved("DiT"), [0, label]) == said


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"call_options": {"num_inference_steps": 3}},
            "call_options has num_inference_steps; give it as sampling_steps",
        ),
        (
            {"call_options": {"guidance": 3}},
            "call_options has 'guidance', but what DiTPipeline can be given is guidance_scale",
        ),
        (
            {"call_options": {"generator": None}},
            "call_options has 'generator', but what DiTPipeline can be given is guidance_scale",
        ),
        (
            {"sampling_steps": 1001},
            "sampling_steps is 1001, but model 'HERE', a DiTPipeline, takes from 1 to 1000 of them",
        ),
        (
            {"dtype": "fp16"},
            "dtype is 'fp16', but it is one of auto, float32, bfloat16, float16",
        ),
    ],
    ids=["steps", "an option", "an option that is ours", "too many steps", "dtype"],
)
def test_settings_that_a_pipeline_does_not_take(saved, settings, said):
    assert refusal(saved("DiT"), [0], **settings) == said


@pytest.mark.parametrize(
    ("scheduler", "said"),
    [
        ({"class": "DPM"}, r"scheduler\.class is 'DPM', but diffusers .* no scheduler of that"),
        ({"class": "DiTPipeline"}, r"scheduler\.class is 'DiTPipeline', but diffusers"),
        ({}, r"scheduler\.class is None, but diffusers"),
        (
            {"class": "DDIMScheduler", "options": {"spacing": 1}},
            r"scheduler\.options has 'spacing', but DDIMScheduler takes .*timestep_spacing",
        ),
    ],
    ids=["unknown", "no scheduler", "missing", "an option"],
)
def test_schedulers_that_are_none(saved, scheduler, said):
    with pytest.raises(InputError, match=said):
        check(saved("DiT"), [0], scheduler=scheduler)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("StableDiffusionImg2ImgPipeline", "needs more than a prompt, a class label or noise (im"),
        ("StableDiffusionInpaintPipeline", "mask_image"),
        ("StableDiffusionControlNetPipeline", "controlnet"),
        ("KandinskyV22Pipeline", "image_embeds, negative_image_embeds); give a model that draws"),
        ("WanPipeline", "a WanPipeline, draws video; give a model that draws images"),
        ("StableAudioPipeline", "draws sound"),
        ("MyPipeline", "which diffusers"),
        ("OnnxStableDiffusionPipeline", "needs torch, transformers, onnx, and one of them is not"),
        (["pipeline", "MyPipeline"], "code that comes with a model is not run"),
    ],
    ids=str,
)
def test_pipelines_that_draw_no_images_from_text(tmp_path, name, said):
    index = {"_class_name": name, "controlnet": ["diffusers", "ControlNetModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    assert said in refusal(tmp_path)


def test_prompts_for_a_pipeline_that_takes_none(tmp_path):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "DDPMPipeline"}))
    said = "prompts are given, but model 'HERE', a DDPMPipeline, takes none; leave them out"
    assert refusal(tmp_path) == said
    assert check(tmp_path, None) == []


def test_a_directory_that_is_not_there(tmp_path):
    assert refusal(tmp_path / "nowhere").startswith("model 'HERE' is not a directory; give one")


def test_weights_that_would_have_to_be_unpickled(saved, tmp_path):
    copy = shutil.copytree(saved("Stable Diffusion"), tmp_path / "copy")
    (copy / "text_encoder" / "model.safetensors").rename(copy / "text_encoder" / "model.bin")
    assert refusal(copy) == (
        "model 'HERE' has no safetensors in text_encoder/, and model.bin would have to be "
        "unpickled; save it with safe_serialization=True"
    )


def test_that_the_safety_checker_is_off_is_said(saved, tmp_path):
    copy = shutil.copytree(saved("Stable Diffusion"), tmp_path / "copy")
    index = json.loads((copy / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    (copy / "model_index.json").write_text(json.dumps(index))
    assert check(copy) == [f"the safety checker of model '{copy}' is off"]
