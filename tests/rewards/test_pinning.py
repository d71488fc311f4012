"""Rewards name models of the hub by their commits, once they are a run's."""

import pytest
import toys
from lower.hub_server import COMMIT, OLDER, point_to, serving

from raybilevel import RewardTuning, RunConfig, ScalingConfig
from raybilevel.config_file import Config, to_tree
from raybilevel.errors import InputError
from raybilevel.rewards import pinned
from raybilevel.stored_config import check_same

CLIP, PICKSCORE, PROCESSOR, HEAD = (
    "openai/clip-vit-large-patch14", "yuvalkirstain/PickScore_v1",
    "laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "trl-lib/ddpo-aesthetic-predictor",
)  # fmt: skip
NEWER = "a" * 40


@pytest.fixture
def hub(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    with serving(monkeypatch, tmp_path / "cache") as server:
        for name in (CLIP, PICKSCORE, PROCESSOR, HEAD, "owner/clip"):
            server.publish(name, tmp_path / "model")
        server.publish("owner/clip", tmp_path / "model", OLDER, "v1")
        yield server


@pytest.mark.parametrize(
    ("reward", "stored"),
    [
        (
            "0.5 * pickscore - 2 * ink",
            f"0.5 * pickscore(model='{PICKSCORE}@{COMMIT}', processor='{PROCESSOR}@{COMMIT}') + "
            "-2.0 * ink",
        ),
        (
            "aesthetic(batch_size=4)",
            f"aesthetic(batch_size=4, model='{CLIP}@{COMMIT}', "
            f"head='{HEAD}@{COMMIT}/aesthetic-model.pth')",
        ),
        ("clip_similarity('owner/clip')", f"clip_similarity(model='owner/clip@{COMMIT}')"),
        (
            "clip_similarity(model='owner/clip@v1')",
            f"clip_similarity(model='owner/clip@v1@{OLDER}')",
        ),
    ],
    ids=["pickscore", "aesthetic", "a name", "a branch"],
)
def test_models_of_the_hub_are_stored_by_their_commits_and_a_run_goes_on_with_them(
    hub, monkeypatch, tmp_path, reward, stored
):
    assert pinned(reward) == stored
    for name in hub.models:
        hub.publish(name, tmp_path / "model", NEWER)
        hub.publish(name, tmp_path / "model", NEWER, "v1")
    assert NEWER in pinned(reward)
    point_to("http://127.0.0.1:1", monkeypatch)
    assert pinned({"a": reward}, {"a": stored}) == {"a": stored}
    assert pinned(stored) == stored


def test_what_is_not_of_the_hub_is_left_as_it_is(run_in):
    (run_in / "heads").mkdir()
    (run_in / "heads" / "linear.pth").touch()
    for reward in (
        "ink - jpeg_size(80)", "mine:reward", "no_such_reward", len, None,
        f"aesthetic(head='heads/linear.pth', model='{run_in}')", "aesthetic('a/b', '/nowhere')",
        "clip_similarity(model='./them/clip')", f"clip_similarity(model='owner/clip@{COMMIT}')",
    ):  # fmt: skip
        assert pinned(reward, "<callable mine.other>") is reward


def test_a_run_that_stored_no_commits_goes_on_without_them():
    assert pinned("pickscore", "pickscore") == "pickscore"


def test_another_branch_than_the_stored_one_is_refused_and_the_same_one_is_not(hub):
    def config(model, before=None):
        reward = {"a": f"clip_similarity(model='{model}')"}
        given = RewardTuning(model=toys.gaussian, lower_reward=reward, upper_reward="ink")
        return Config(given.pinned(before), ScalingConfig(), RunConfig())

    before = to_tree(config("owner/clip@v1"))
    assert before["lower_reward"] == {"a": f"clip_similarity(model='owner/clip@v1@{OLDER}')"}
    check_same(before, config("owner/clip@v1", before), "runs/mine")
    for other in ("owner/clip", "owner/clip@main"):
        with pytest.raises(InputError) as refused:
            check_same(before, config(other, before), "runs/mine")
        assert str(refused.value).startswith(
            f"lower_reward.a is \"clip_similarity(model='{other}@{COMMIT}')\", but the run in "
            "runs/mine was begun with "
        )


def test_a_model_that_is_not_there_is_said_of_its_argument(hub):
    with pytest.raises(InputError, match=r"^pickscore's processor 'owner/none' is no directory h"):
        pinned("pickscore(processor='owner/none')")
