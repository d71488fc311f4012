"""What names of the hub stand for: real huggingface_hub code against a hub on loopback."""

import huggingface_hub.constants
import pytest
from lower.hub_server import COMMIT, OLDER, point_to, serving

from raybilevel.errors import InputError
from raybilevel.lower.hub import commit_of, download, is_hub_name, names_of

NAME = "owner/pixels"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that has a model of two files, and a cache of our own."""
    (tmp_path / "published" / "unet").mkdir(parents=True)
    for file in ("model_index.json", "unet/config.json"):
        (tmp_path / "published" / file).write_text("{}")
    with serving(monkeypatch, tmp_path / "cache") as server:
        server.publish(NAME, tmp_path / "published")
        yield server


def refused(call, *given):
    with pytest.raises(InputError) as caught:
        call(*given)
    (sentence,) = str(caught.value).splitlines()
    return sentence


UNREACHABLE = (
    "model 'owner/pixels' is no directory here, and as a model of the Hugging Face hub it is "
    "neither cached nor reachable ("
)


def test_a_directory_goes_before_a_name_of_the_hub(run_in):
    assert is_hub_name(NAME)
    (run_in / NAME).mkdir(parents=True)
    assert not is_hub_name(NAME)
    assert not any(map(is_hub_name, ("digits", "a/b/c", "/tmp/model", "./model", "~/model", "a/")))


def test_a_branch_is_a_commit_also_when_the_hub_is_not_there_any_more(hub, monkeypatch):
    hub.publish(NAME, hub.models[NAME][COMMIT], OLDER, "v1")
    assert commit_of(NAME) == COMMIT
    assert commit_of(NAME, "v1") == OLDER
    point_to("http://127.0.0.1:1", monkeypatch)
    assert commit_of(NAME) == COMMIT
    assert commit_of(NAME, "v1") == OLDER
    assert commit_of(NAME, "a" * 40) == "a" * 40  # nothing to ask for


def test_offline_mode_asks_nobody(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    said = refused(commit_of, NAME)
    assert said.startswith(f"{UNREACHABLE}OfflineModeIsEnabled: Cannot reach http://127.0.0.1:")
    assert not hub.asked


def test_a_model_that_does_not_exist(hub):
    assert refused(commit_of, "nobody/nothing") == (
        "model 'nobody/nothing' is no directory here, and the Hugging Face hub has no model of "
        "that name, or shows it to nobody without a token; look for a misspelt name, or set "
        "HF_TOKEN on every node"
    )


def test_names_of_what_is_cached_do_for_all_only_if_what_is_needed_is_there(hub, monkeypatch):
    root = download(NAME, COMMIT, ["unet/config.json"])
    assert (root / "unet" / "config.json").is_file() and root.name == COMMIT
    assert names_of(NAME, COMMIT, []) == {"model_index.json", "unet/config.json"}  # kept
    (root.parent.parent / "trees" / f"{COMMIT}.json").unlink()
    huggingface_hub._tree_cache._IN_MEMORY_TREE_CACHE.clear()
    point_to("http://127.0.0.1:1", monkeypatch)
    assert names_of(NAME, COMMIT, ["unet/config.json"]) == {"unet/config.json"}
    assert refused(names_of, NAME, COMMIT, ["model_index.json"]).startswith(UNREACHABLE)
