"""Models of rewards on the hub: real huggingface_hub code against a hub on loopback."""

import pytest
from lower.hub_server import COMMIT, OLDER, point_to, serving

from raybilevel.errors import InputError
from raybilevel.rewards.clip.hub import folder_of, has_file

NAME, WHERE = "them/clip", "pickscore's model"
FILES = {"config.json": "{}", "model.safetensors": "weights", "pytorch_model.bin": "pickled"}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    published = tmp_path / "published"
    published.mkdir()
    for name, content in FILES.items():
        (published / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    with serving(monkeypatch, tmp_path / "cache") as server:
        server.publish(NAME, published)
        server.publish(NAME, published, OLDER, "v1")
        server.publish("them/gated", published)
        server.gated.add("them/gated")
        yield server


def folder(model, *patterns):
    return folder_of(model, patterns, ["config.json"], WHERE)


def refusal(model):
    with pytest.raises(InputError) as refused:
        folder(model, "*.json")
    return str(refused.value)


def test_what_is_asked_for_is_fetched_and_the_rest_is_not(hub):
    found = folder(NAME, "*.json")
    assert [path.name for path in found.iterdir()] == ["config.json"]
    assert found.name == COMMIT
    assert has_file(NAME, "model.safetensors", WHERE)
    assert not has_file(NAME, "model.safetensors.index.json", WHERE)
    assert folder(f"{NAME}@v1", "*.json").name == OLDER


def test_what_is_cached_of_a_commit_is_used_without_asking(hub):
    found = folder(f"{NAME}@{OLDER}", "*.json")
    hub.asked.clear()
    assert folder(f"{NAME}@{OLDER}", "*.json") == found
    assert not hub.asked
    more = folder(f"{NAME}@{OLDER}", "*.json", "*.safetensors")
    assert (more / "model.safetensors").read_text() == "weights"


def test_a_directory_is_itself(hub, tmp_path):
    (tmp_path / NAME).mkdir(parents=True)
    assert str(folder(NAME, "*.json")) == NAME
    assert not has_file(NAME, "config.json", WHERE)
    assert not hub.asked


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("them/gated", " 'them/gated' is gated: accept its terms on its page of the hub, and set "
         "HF_TOKEN on every node to a token of the account that did"),
        ("them/clap", " 'them/clap' is no directory here, and the Hugging Face hub has no model of "
         "that name, or shows it to nobody without a token; look for a misspelt name, or set "
         "HF_TOKEN on every node"),
        ("./them/clip", " is './them/clip', which is no directory in HERE, and no name of the hub "
         "such as 'owner/name'"),
    ],
)  # fmt: skip
def test_what_the_hub_does_not_give_is_said_of_the_argument(hub, tmp_path, model, said):
    assert refusal(model).replace(str(tmp_path), "HERE") == f"{WHERE}{said}"


def test_a_revision_that_does_not_exist(hub):
    assert refusal(f"{NAME}@v2") == (
        f"the revision of {WHERE} is 'v2', but {WHERE} 'them/clip' has no branch, tag or commit of "
        "that name on the hub"
    )


def test_a_hub_that_cannot_be_reached(hub, monkeypatch):
    cached = folder(NAME, "*.json")
    point_to("http://127.0.0.1:9", monkeypatch)  # where nobody listens
    assert folder(NAME, "*.json") == cached
    assert refusal("them/gated").startswith(
        f"{WHERE} 'them/gated' is no directory here, and as a model of the Hugging Face hub it is "
        "neither cached nor reachable (ConnectError: "
    )
