"""Checkpoints as they are published are found, loaded and written anew."""

import json
import shutil

import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DiffusionPipeline, UNet2DModel
from diffusers.training_utils import EMAModel
from lower.sampling.small_networks import small_network

from raybilevel.errors import InputError
from raybilevel.lower.sampling.pipeline_files import find_files
from raybilevel.lower.sampling.pipeline_loading import copy_pipeline, load_pipeline

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def save(folder, unet, **options):
    DDIMPipeline(unet, DDIMScheduler(num_train_timesteps=50)).save_pretrained(folder, **options)
    return folder


@pytest.fixture(scope="module")
def half():
    """Weights that float16 holds to the bit."""
    return small_network().half().float()


@pytest.fixture(scope="module")
def other():
    return small_network(seed=1)


def holds(pipeline, unet):
    """Whether a pipeline has a network's weights, in float32."""
    found = pipeline.unet.state_dict()
    same = (torch.equal(found[name], value) for name, value in unet.state_dict().items())
    return pipeline.unet.dtype == torch.float32 and all(same)


def older_names(folder):
    """Rename a sharded variant to what diffusers wrote before 2025; it still reads it."""
    index = folder / "diffusion_pytorch_model.safetensors.index.fp16.json"
    content = index.read_text()
    for path in list(folder.glob("*.fp16-*")):
        start, _, place = path.name.removesuffix(".safetensors").partition(".fp16")
        path.rename(folder / f"{start}{place}.fp16.safetensors")
        content = content.replace(path.name, f"{start}{place}.fp16.safetensors")
    index.unlink()
    (folder / "diffusion_pytorch_model.safetensors.fp16.index.json").write_text(content)


def in_several_files(folder, unet):
    return save(folder, unet, max_shard_size="5KB")


def in_half(folder, unet, **options):
    """In float16 alone, beside a file whose name has no dot."""
    save(folder, small_network().half(), variant="fp16", **options)
    (folder / "unet" / "LICENSE").write_text("a name without a dot")
    return folder


def in_half_by_older_names(folder, unet):
    in_half(folder, unet, max_shard_size="5KB")
    older_names(folder / "unet")
    return folder


def beside_a_variant(folder, unet):
    save(folder, small_network(seed=1), variant="fp16")
    return save(folder, unet)


def without_folders(folder, unet):
    """As the hub's oldest pipelines are."""
    saved = save(folder / "saved", unet)
    flat = shutil.copytree(saved / "unet", folder / "flat")
    for file in ("model_index.json", "scheduler/scheduler_config.json"):
        shutil.copy(saved / file, flat)
    return flat


def in_the_hubs_cache(folder, unet):
    return cached(folder / "models--owner--name", save(folder / "saved", unet))


FORMS = {  # and the variant that is said to be used
    "in several files": (in_several_files, None),
    "fp16": (in_half, "fp16"),
    "non_ema": (lambda folder, unet: save(folder, unet, variant="non_ema"), "non_ema"),
    "fp16 in several files": (
        lambda folder, unet: in_half(folder, unet, max_shard_size="5KB"),
        "fp16",
    ),
    "fp16 by older names": (in_half_by_older_names, "fp16"),
    "plain beside a variant": (beside_a_variant, None),
    "without folders": (without_folders, None),
    "the hub's cache": (in_the_hubs_cache, None),
    "a snapshot in it": (lambda *given: in_the_hubs_cache(*given) / "snapshots" / COMMIT, None),
}


def cached(cache, saved):
    """The hub's cache: a folder a commit, of links to blobs."""
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(COMMIT)
    (cache / "snapshots" / "f00").mkdir(parents=True)
    blobs = shutil.copytree(saved, cache / "blobs")
    for path in (path for path in blobs.rglob("*") if path.is_file()):
        link = cache / "snapshots" / COMMIT / path.relative_to(blobs)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    return cache


@pytest.mark.parametrize("form", FORMS)
def test_a_published_pipeline_is_loaded_and_written_for_the_stock_call(form, half, tmp_path):
    publish, variant = FORMS[form]
    directory = publish(tmp_path / "v1.5 of it", half)
    said = f"model '{directory}' has its weights in the variant '{variant}' alone, which is used"
    assert find_files(directory).remarks == ((said,) if variant else ())
    assert holds(load_pipeline(directory), half)
    copy_pipeline(directory, tmp_path / "copy")
    copy = DiffusionPipeline.from_pretrained(tmp_path / "copy", use_safetensors=True)
    assert type(copy) is DDIMPipeline
    assert copy.scheduler.config.num_train_timesteps == 50
    assert holds(copy, half)


def test_of_two_variants_one_is_asked_for(half, other, tmp_path):
    save(tmp_path, half, variant="fp16")
    save(tmp_path, other, variant="non_ema")
    both = rf"model '{tmp_path}' has its weights in the variants 'fp16' and 'non_ema' alone"
    with pytest.raises(InputError, match=rf"^{both}; choose one, .* {{variant: fp16}}$"):
        find_files(tmp_path)
    assert find_files(tmp_path, variant="non_ema").remarks == ()
    assert holds(load_pipeline(tmp_path, "non_ema"), other)
    with pytest.raises(InputError, match=rf"^model_options.variant is 'bf16', but {both}$"):
        find_files(tmp_path, variant="bf16")
    copy_pipeline(tmp_path, tmp_path / "copy", "fp16")
    assert holds(DiffusionPipeline.from_pretrained(tmp_path / "copy"), half)


def test_a_variant_of_a_pipeline_that_has_none_is_refused(half, tmp_path):
    save(tmp_path, half)
    with pytest.raises(InputError, match=r"'fp16', but .* has its weights without a variant alone"):
        find_files(tmp_path, variant="fp16")


def test_weights_that_are_not_all_there_are_refused(half, tmp_path):
    save(tmp_path, half, max_shard_size="5KB")
    gone = min((tmp_path / "unet").glob("*-of-*"))
    gone.unlink()
    with pytest.raises(InputError, match=rf"is not whole: .*json names {gone.name}, which is not"):
        find_files(tmp_path)
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors.index.json").unlink()
    with pytest.raises(InputError, match=r"is not whole: unet/ has neither .* nor an index"):
        find_files(tmp_path)


def test_an_index_may_not_lead_out_of_its_folder(half, tmp_path):
    save(tmp_path / "pipe", half, max_shard_size="5KB")
    index = tmp_path / "pipe" / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"a": "../model_index.json"}}))
    with pytest.raises(InputError, match="is not whole"):
        load_pipeline(tmp_path / "pipe")


@pytest.fixture
def training(half, other, tmp_path):
    """What diffusers' train_unconditional.py leaves: a pipeline, and checkpoints beside it."""
    out = save(tmp_path / "out", small_network(seed=2))
    for step in (500, 1500, 1000):
        folder = out / f"checkpoint-{step}"
        half.save_pretrained(folder / "unet")
        average = EMAModel(other.parameters(), model_cls=UNet2DModel, model_config=other.config)
        average.save_pretrained(folder / "unet_ema")
        for name in ("optimizer.bin", "scheduler.bin", "random_states_0.pkl"):
            (folder / name).write_bytes(b"no pickle: whoever loads it fails")
    return out


def test_of_a_training_that_has_ended_the_pipeline_is_used_and_nothing_else_copied(training):
    said = f"model '{training}': the pipeline that its training saved is used, and not "
    assert find_files(training).remarks == (f"{said}checkpoint-1500",)
    assert holds(load_pipeline(training), small_network(seed=2))
    copy_pipeline(training, training / "copy")
    assert {p.name for p in (training / "copy").iterdir()} == {
        "model_index.json", "unet", "scheduler"
    }  # fmt: skip


@pytest.mark.parametrize("given", ["checkpoint-500", "checkpoint-500/unet", ""])
def test_of_a_trainings_checkpoint_the_average_is_used_and_said(training, given, half, other):
    if not given:  # a training that goes on: its last checkpoint
        (training / "model_index.json").unlink()
        shutil.rmtree(training / "unet")
    (said,) = find_files(training / given).remarks
    asked = training / given
    used, expected = {
        "checkpoint-500": (": the network in checkpoint-500/unet_ema, the moving average,", other),
        "checkpoint-500/unet": ("", half),
        "": (": the network in checkpoint-1500/unet_ema, the moving average,", other),
    }[given]
    where = f"with the noise scheduler in {training}/scheduler"
    assert said == f"model '{asked}'{used} is used, {where}"
    assert holds(load_pipeline(asked), expected)
    copy_pipeline(asked, training / "copy")
    copy = DiffusionPipeline.from_pretrained(training / "copy")
    assert holds(copy, expected)
    assert copy.scheduler.config.num_train_timesteps == 50
    assert "decay" not in copy.unet.config


def test_a_checkpoint_whose_noise_scheduler_is_nowhere_is_refused(training):
    shutil.rmtree(training / "scheduler")
    folder = training / "checkpoint-500"
    with pytest.raises(InputError, match=r"has no scheduler/scheduler_config\.json, nor has the f"):
        find_files(folder)


def test_a_cache_of_several_snapshots_without_a_branch_is_refused(half, tmp_path):
    cache = cached(tmp_path / "cache", save(tmp_path / "saved", half))
    (cache / "refs" / "main").unlink()
    with pytest.raises(InputError, match="with 2 snapshots, none of which refs/main names"):
        find_files(cache)


def test_what_diffusers_cannot_load_is_said_with_the_models_name(half, tmp_path):
    save(tmp_path, half)
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match=rf"^model '{tmp_path}' failed on being loaded: "):
        load_pipeline(tmp_path)


@pytest.mark.parametrize(
    ("size", "blocks", "times"), [((9, 7), 2, "1 time"), ((15, 13), 4, "3 times")]
)
def test_a_network_that_cannot_take_its_own_size_is_refused(size, blocks, times, tmp_path):
    config = {
        "sample_size": size,
        "block_out_channels": (8,) * blocks,
        "down_block_types": ("DownBlock2D",) * blocks,
        "up_block_types": ("UpBlock2D",) * blocks,
    }
    save(tmp_path, small_network(**config))
    said = rf"own sample_size, {size[0]} x {size[1]}, as its {blocks} blocks halve them {times}; gi"
    with pytest.raises(InputError, match=rf"^model '{tmp_path}' cannot take images of its {said}"):
        load_pipeline(tmp_path)
