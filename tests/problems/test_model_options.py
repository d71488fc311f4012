"""`model_options`: what YAML can say of a model's files, and how a branch becomes a commit."""

import pytest
from lower.hub_server import COMMIT, OLDER, point_to, serving

from raybilevel import RewardTuning, RunConfig, ScalingConfig
from raybilevel.config_file import Config, to_tree
from raybilevel.errors import InputError
from raybilevel.problems.model_options import ModelOptions, pinned_options
from raybilevel.stored_config import check_same

NAME = "owner/name"
TUNING = {"lower_reward": "ink", "upper_reward": "ink"}


def refusal(**given):
    with pytest.raises(InputError) as refused:
        ModelOptions(**given)
    return str(refused.value)


def test_parts_that_are_null_are_left_out_and_given_on_by_their_names():
    options = ModelOptions(variant="fp16", text_encoder_3=None, tokenizer_3=None)
    assert options.without == ("text_encoder_3", "tokenizer_3")
    assert options == ModelOptions(variant="fp16", without=["text_encoder_3", "tokenizer_3"])
    assert options.given == {
        "variant": "fp16", "revision": None, "offload": None, "slicing": None,
        "text_encoder_3": None, "tokenizer_3": None,
    }  # fmt: skip


def test_what_is_not_known_is_refused_with_what_is():
    said = "but what is known is variant, revision, without, offload, slicing, and as null each"
    assert refusal(varient="fp16") == f"model_options has 'varient', {said} part of the model"
    assert refusal(offload="disk").startswith("model_options.offload is 'disk': ")
    assert refusal(slicing=["unet"]).startswith("model_options.slicing.0 is 'unet': ")


def test_parts_are_named_in_a_list():
    with pytest.raises(InputError, match=r"without is 'text_encoder_3', but it is a list of parts"):
        ModelOptions(without="text_encoder_3", tokenizer_3=None)


def test_what_a_network_alone_would_not_use_is_refused():
    ModelOptions(variant="fp16").check_variant_alone("SamplingSchedule")
    said = r"model_options\.offload is 'model', but SamplingSchedule takes a variant alone; leave"
    with pytest.raises(InputError, match=said):
        ModelOptions(offload="model").check_variant_alone("SamplingSchedule")


def test_a_branch_is_pinned_to_its_commit_and_a_run_that_goes_on_keeps_its_own(
    tmp_path, monkeypatch
):
    (tmp_path / "model").mkdir()
    with serving(monkeypatch, tmp_path / "cache") as hub:
        hub.publish(NAME, tmp_path / "model")
        hub.publish(NAME, tmp_path / "model", OLDER, "v1")
        options = ModelOptions(slicing=["vae"])
        pinned = pinned_options(NAME, options)
        assert pinned == options.but(commit=COMMIT)
        assert pinned.given["revision"] == COMMIT
        assert pinned_options(NAME, ModelOptions(revision="v1")).commit == OLDER
        assert pinned_options(NAME, ModelOptions(revision=OLDER)).commit == OLDER
        hub.publish(NAME, tmp_path / "model", "a" * 40)
        assert pinned_options(NAME, options).commit == "a" * 40
    point_to("http://127.0.0.1:1", monkeypatch)
    assert pinned_options(NAME, options, stored(pinned)) == pinned
    assert pinned_options(NAME, pinned, stored(pinned)) is pinned


def stored(options):
    """As `config.yaml` has them."""
    config = Config(
        RewardTuning(**TUNING, model=NAME, model_options=options), ScalingConfig(), RunConfig()
    )
    return to_tree(config)["model_options"]


def goes_on(before, **options):
    """The options of a run that goes on, unless that is refused."""
    again = RewardTuning(**TUNING, model=NAME, model_options=options)
    problem = again.pinned({**TUNING, "model_options": before})
    config = Config(problem, ScalingConfig(), RunConfig())
    check_same({**to_tree(config), "model_options": before}, config, "runs/mine")
    return problem.model_options


def test_another_revision_than_a_run_was_begun_with_is_refused(monkeypatch):
    point_to("http://127.0.0.1:1", monkeypatch)
    before = stored(ModelOptions(revision="v1", commit=COMMIT))
    assert goes_on(before, revision="v1").commit == COMMIT
    for other in (None, "main", "v2", COMMIT):
        with pytest.raises(InputError) as refused:
            goes_on(before, revision=other)
        assert str(refused.value) == (
            f"model_options.revision is {other!r}, but the run in runs/mine was begun with 'v1'; "
            "put it back or give another run.name"
        )


def test_a_run_that_has_stored_its_commit_as_the_revision_goes_on(monkeypatch):
    point_to("http://127.0.0.1:1", monkeypatch)
    before = stored(ModelOptions(revision=COMMIT))
    del before["commit"]
    for given in (None, "main", "v1", COMMIT):
        assert goes_on(before, revision=given).given["revision"] == COMMIT
    with pytest.raises(InputError, match=rf"^model_options.revision is '{OLDER}', but the run in"):
        goes_on(before, revision=OLDER)


def test_a_commit_is_what_a_run_stores():
    assert refusal(commit="v1") == (
        "model_options.commit is 'v1', but it is what a run stores, of 40 digits; give revision"
    )


@pytest.mark.parametrize("model", ["digits", "my_models:lora", len, "/tmp/model"])
def test_what_is_no_name_of_the_hub_is_left_as_it_is(model):
    options = ModelOptions()
    assert pinned_options(model, options) is options
