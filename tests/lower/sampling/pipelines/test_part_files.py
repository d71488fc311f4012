"""Text pipelines as they are published: in variants, in several files, in the hub's cache."""

import json
import shutil

import pytest
import torch
from lower.sampling.pipelines.tiny_pipelines import load, save
from safetensors.torch import load_file, save_file

from raybilevel.errors import InputError
from raybilevel.lower.sampling.pipelines.check import check_stock_pipeline
from raybilevel.lower.sampling.pipelines.description import describe
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings
from raybilevel.lower.sampling.pipelines.source import dtype_of

PARTS = ("unet", "vae", "text_encoder")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return save(tmp_path_factory.mktemp("plain") / "pipeline", "Stable Diffusion")


@pytest.fixture(scope="module")
def half(plain, tmp_path_factory):
    """The variant fp16 alone, each part in several files, as newer diffusers writes them."""
    folder = tmp_path_factory.mktemp("half") / "pipeline"
    pipeline = load(plain, PipelineSettings(dtype="float16"))
    pipeline.save_pretrained(folder, variant="fp16", max_shard_size="5KB")
    assert list(folder.glob("text_encoder/model.fp16-00001-of-*.safetensors"))
    return folder


@pytest.fixture
def copy(plain, tmp_path):
    return shutil.copytree(plain, tmp_path / "copy")


def options(**given):
    return PipelineSettings(model_options=given)


def check(folder, **given):
    return check_stock_pipeline(describe(folder), options(**given), ["dog"])


def refusal(folder, **given):
    with pytest.raises(InputError) as refused:
        check(folder, **given)
    (sentence,) = str(refused.value).splitlines()
    return sentence.replace(str(folder), "HERE")


def same(pipeline, other, parts=PARTS):
    for part in parts:
        expected = getattr(other, part).state_dict()
        for name, value in getattr(pipeline, part).state_dict().items():
            assert torch.equal(value, expected[name].to(value.dtype)), (part, name)
    return True


def in_half(pipeline):
    return pipeline.to(torch.float16)


def test_the_only_variant_is_used_and_said(half, plain):
    said = f"model '{half}' has its weights in the variant 'fp16' alone, which is used"
    assert check(half) == [said]
    assert check(half, variant="fp16") == []
    pipeline = load(half)
    assert pipeline.unet.dtype == torch.float32
    assert same(pipeline, in_half(load(plain)))


def test_a_part_without_the_variant_has_its_plain_weights(half, plain, tmp_path):
    mixed = shutil.copytree(half, tmp_path / "mixed")
    shutil.rmtree(mixed / "vae")
    shutil.copytree(plain / "vae", mixed / "vae")
    said = f"model '{mixed}' has its vae without the variant 'fp16'; the plain ones are used"
    assert check(mixed, variant="fp16") == [said]
    pipeline = load(mixed, options(variant="fp16"))
    assert same(pipeline, load(plain), ["vae"])
    assert same(pipeline, in_half(load(plain)), ["unet", "text_encoder"])


def test_of_plain_weights_and_a_variant_the_plain_ones_are_used(half, copy):
    for part in PARTS:
        for path in (half / part).glob("*fp16*"):
            shutil.copyfile(path, copy / part / path.name)
    assert check(copy) == []
    assert same(load(copy), load(copy, options()))
    chosen = load(copy, options(variant="fp16"))
    assert same(chosen, load(half))


def test_a_folder_of_the_hubs_cache_is_taken_for_its_snapshot(half, tmp_path):
    cache = tmp_path / "models--owner--name"
    shutil.copytree(half, cache / "snapshots" / COMMIT)
    (cache / "snapshots" / "f00").mkdir()
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(COMMIT)
    assert check(cache, variant="fp16") == []
    assert same(load(cache), load(half))


def test_of_two_variants_of_a_part_one_is_asked_for(copy):
    folder = copy / "text_encoder"
    (folder / "model.fp16.safetensors").touch()
    (folder / "model.safetensors").rename(folder / "model.bf16.safetensors")
    assert refusal(copy) == (
        "model 'HERE' has its text_encoder in the variants 'bf16' and 'fp16' alone; choose one, "
        "such as model_options: {variant: bf16}"
    )
    assert refusal(copy, variant="fp8") == (
        "model_options.variant is 'fp8', but model 'HERE' has its weights in the variants 'bf16' "
        "and 'fp16', and without one"
    )


def test_a_file_that_an_index_names_and_is_not_there(half, tmp_path):
    copy = shutil.copytree(half, tmp_path / "copy")
    gone = min((copy / "text_encoder").glob("model.fp16-*"))
    gone.unlink()
    assert refusal(copy) == (
        "model 'HERE' is not whole: model.safetensors.index.fp16.json names "
        f"{gone.name}, which is not beside it; download or copy it again"
    )


def test_a_part_without_weights(copy):
    (copy / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    assert refusal(copy) == (
        "model 'HERE' has no safetensors in vae/; save it with safe_serialization=True"
    )


def test_parts_that_are_left_out_are_neither_read_nor_missed(tmp_path):
    folder = save(tmp_path / "sd3", "SD 3")
    without = {"text_encoder_3": None, "tokenizer_3": None}
    for part in without:
        shutil.rmtree(folder / part)
    assert check(folder, **without) == []
    pipeline = load(folder, options(**without))
    assert pipeline.text_encoder_3 is None
    assert pipeline.tokenizer_2 is not None
    assert refusal(folder, text_encoder_4=None) == (
        "model_options has 'text_encoder_4', but what is known is variant, revision, offload, "
        "slicing, and as null the parts of model 'HERE': scheduler, text_encoder, "
        "text_encoder_2, text_encoder_3, tokenizer, tokenizer_2, tokenizer_3, transformer, vae"
    )


def test_what_saves_memory(plain, tmp_path):
    switches = options(slicing=["attention", "vae", "vae_tiling"])
    pipeline = load(plain, switches)
    assert pipeline.vae.use_slicing
    assert pipeline.vae.use_tiling
    processors = pipeline.unet.attn_processors.values()
    assert all(type(p).__name__ == "SlicedAttnProcessor" for p in processors)
    assert refusal(plain, slicing=["unet"]) == (
        "model_options.slicing has 'unet', but it is some of attention, vae, vae_tiling"
    )
    with pytest.raises(InputError, match=r"slicing has 'vae', but model .* has no vae that can be"):
        load(save(tmp_path / "k", "Kandinsky 2.2"), options(slicing=["vae"]))


@pytest.mark.parametrize("how", ["model", "sequential"])
def test_nothing_is_offloaded_where_there_is_no_gpu(plain, how):
    said = rf"model_options\.offload is '{how}', but model '{plain}' is run on the CPU, where .*"
    with pytest.raises(InputError, match=said):
        load(plain, options(offload=how))
    assert refusal(plain, offload="disk") == (
        "model_options.offload is 'disk', but it is one of model, sequential"
    )


def test_what_a_pipeline_computes_in_is_told_by_what_its_weights_are_stored_in(half, plain):
    for folder, expected in ((half, torch.float16), (plain, torch.bfloat16)):
        pipeline = load(folder, device="cuda")  # which nothing is moved to yet
        assert {getattr(pipeline, part).dtype for part in PARTS} == {expected}
        assert f"torch.{dtype_of(folder, PipelineSettings(), 'cuda')}" == str(expected)
    assert load(half).unet.dtype == torch.float32
    assert load(half, PipelineSettings(dtype="bfloat16")).vae.dtype == torch.bfloat16


def test_networks_that_are_stored_in_eight_bits_stay_so(copy):
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    stored = load_file(weights)
    save_file({name: value.to(torch.float8_e4m3fn) for name, value in stored.items()}, weights)
    unet = load(copy, device="cuda").unet
    assert unet.dtype == torch.bfloat16  # computes in it
    assert unet.down_blocks[0].resnets[0].conv1.weight.dtype == torch.float8_e4m3fn


def test_what_transformers_cannot_load_is_said_with_the_models_name(copy):
    (copy / "text_encoder" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match=rf"^model '{copy}' failed on being loaded: "):
        load(copy, PipelineSettings(dtype="float32"))
    assert json.loads((copy / "model_index.json").read_text())  # what was there stays
