"""Pipelines of the hub: real huggingface_hub code against a hub on loopback."""

import os
import shutil
import subprocess
import sys
import time

import huggingface_hub.constants
import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler
from lower.hub_server import COMMIT, point_to, serving
from lower.sampling.small_networks import small_network

from raybilevel.errors import InputError
from raybilevel.lower.hub import commit_of
from raybilevel.lower.sampling.pipelines.hub import describe_hub, fetch, fetch_description
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings
from raybilevel.lower.sampling.pipelines.source import loaded

NAME = "owner/pixels"
OTHERS = (
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_flax_model.msgpack",
    "unet/model.onnx",
    "model.ckpt",
    "model.safetensors",
    "README.md",
    "samples/grid.png",
)
SETTINGS = PipelineSettings()


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A pipeline as people publish them: twins, other frameworks, single files."""
    folder = tmp_path_factory.mktemp("published")
    pipeline = DDIMPipeline(small_network(), DDIMScheduler(num_train_timesteps=50))
    pipeline.save_pretrained(folder)
    pipeline.save_pretrained(folder, variant="fp16")
    (folder / "samples").mkdir()
    for name in OTHERS:
        (folder / name).write_bytes(b"what nobody asked for")
    return folder


@pytest.fixture
def hub(published, tmp_path, monkeypatch):
    """A hub that has the pipeline, and a cache of our own."""
    with serving(monkeypatch, tmp_path / "cache") as server:
        server.publish(NAME, published)
        yield server


def refused(call, *given):
    with pytest.raises(InputError) as caught:
        call(*given)
    (sentence,) = str(caught.value).splitlines()
    return sentence


def test_a_description_has_no_weights_and_says_what_there_is(hub):
    described = describe_hub(NAME, COMMIT)
    assert described.named == "model 'owner/pixels'"
    assert described.made is DDIMPipeline
    assert hub.downloads().keys() == {
        "model_index.json", "unet/config.json", "scheduler/scheduler_config.json"
    }  # fmt: skip
    assert set(OTHERS) < described.names


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_what_is_loaded_alone_is_fetched_and_loads(hub, variant):
    settings = PipelineSettings(model_options={"variant": variant})
    pipeline, remarks = loaded(NAME, settings)
    weights = f"diffusion_pytorch_model{'.fp16' if variant else ''}.safetensors"
    assert {file for file in hub.downloads() if "diffusion" in file} == {f"unet/{weights}"}
    assert not hub.downloads().keys() & set(OTHERS)
    expected = small_network().state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in pipeline.unet.state_dict().items())
    assert remarks == []


def test_what_is_cached_is_not_asked_for_again(hub, monkeypatch):
    folder = fetch(NAME, COMMIT, SETTINGS)
    hub.asked.clear()
    assert fetch(NAME, COMMIT, SETTINGS) == folder
    assert not hub.asked
    point_to("http://127.0.0.1:1", monkeypatch)
    assert fetch(NAME, COMMIT, SETTINGS) == folder


def test_a_cache_that_another_program_has_filled_serves_without_the_hub(hub, monkeypatch):
    folder = fetch(NAME, COMMIT, SETTINGS)
    shutil.rmtree(folder.parent.parent / "trees")  # which not every version writes
    huggingface_hub._tree_cache._IN_MEMORY_TREE_CACHE.clear()
    point_to("http://127.0.0.1:1", monkeypatch)
    assert fetch(NAME, COMMIT, SETTINGS) == folder


UNREACHABLE = (
    "model 'owner/pixels' is no directory here, and as a model of the Hugging Face hub it is "
    "neither cached nor reachable ("
)


def test_what_is_neither_cached_nor_reachable_is_said_at_once(hub, monkeypatch, capfd):
    fetch_description(NAME, COMMIT)
    point_to("http://127.0.0.1:1", monkeypatch)
    begun = time.monotonic()
    assert refused(fetch, NAME, COMMIT, SETTINGS).startswith(f"{UNREACHABLE}ConnectError: ")
    assert refused(commit_of, NAME, "v1").startswith(UNREACHABLE)
    assert time.monotonic() - begun < 10  # huggingface_hub would retry for 23 seconds
    assert capfd.readouterr() == ("", "")


def test_a_hub_that_is_down_is_not_waited_for(hub):
    commit = commit_of(NAME)
    hub.is_down = True
    assert commit_of(NAME) == commit
    assert refused(fetch, NAME, commit, SETTINGS).startswith(f"{UNREACHABLE}HTTPStatusError: ")


def test_a_cache_that_cannot_be_written(hub, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "file"))
    said = refused(fetch, NAME, COMMIT, SETTINGS)
    assert said.startswith(
        "model 'owner/pixels' cannot be kept in the cache of the Hugging Face hub ([Errno 20] Not "
    )
    assert said.endswith("; set HF_HOME to a folder with room")


@pytest.mark.parametrize("call", [commit_of, fetch_description])
def test_a_revision_that_does_not_exist(hub, call):
    revision = "v9" if call is commit_of else "a" * 40
    assert refused(call, NAME, revision) == (
        f"model_options.revision is '{revision}', but model 'owner/pixels' has no branch, tag or "
        "commit of that name on the hub"
    )


def test_a_gated_model_needs_a_token_which_is_that_of_the_node(hub, monkeypatch):
    hub.gated.add(NAME)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert refused(fetch_description, NAME, COMMIT) == (
        "model 'owner/pixels' is gated: accept its terms on its page of the hub, and set HF_TOKEN "
        "on every node to a token of the account that did"
    )
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch(NAME, COMMIT, SETTINGS)
    assert hub.tokens == {"Bearer hf_secret"}


def test_a_repository_without_a_pipeline(hub, tmp_path):
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "lora.safetensors").touch()
    hub.publish("owner/lora", tmp_path / "lora")
    said = refused(fetch_description, "owner/lora", COMMIT)
    assert said.startswith(
        "model 'owner/lora' is no diffusers pipeline: on the hub it has no model"
    )


def test_of_two_processes_that_ask_at_once_one_downloads(hub, tmp_path):
    """By the environment that a node has; the hub sends nothing before both have asked."""
    hub.waits_for = 2
    code = (
        "from raybilevel.lower.sampling.pipelines.hub import fetch_description\n"
        f"print(fetch_description({NAME!r}, {COMMIT!r}))"
    )
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE"):
        env.pop(name, None)
    both = [
        subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    folders = [process.communicate()[0].strip() for process in both]
    assert folders[0] == folders[1] != ""
    assert set(hub.downloads().values()) == {1}
