"""Settings are checked where they are made, in one sentence each."""

import pytest

from raybilevel import RunConfig, ScalingConfig
from raybilevel.config.settings import Settings
from raybilevel.errors import InputError


def test_one_number_of_workers_is_fewest_and_most():
    assert ScalingConfig(num_workers=3).num_workers == (3, 3)
    assert ScalingConfig(num_workers=(1, 4)).num_workers == (1, 4)


@pytest.mark.parametrize("wrong", [(4, 2), (0, 2), 0, -1])
def test_numbers_of_workers_are_ordered_and_positive(wrong):
    with pytest.raises(InputError, match=r"num_workers is .*1 <= min <= max"):
        ScalingConfig(num_workers=wrong)


@pytest.mark.parametrize("wrong", ["many", (1, 2, 3), None, 1.5])
def test_numbers_of_workers_are_numbers(wrong):
    with pytest.raises(InputError, match=r"ScalingConfig\.num_workers"):
        ScalingConfig(num_workers=wrong)


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", ".."])
def test_a_runs_name_is_a_folders(name):
    with pytest.raises(InputError, match=r"run\.name is .*no '/' and no leading"):
        RunConfig(name=name)


@pytest.mark.parametrize(
    "setting", [{"max_rounds": 0}, {"max_nfe": 0}, {"seed": -1}], ids=lambda s: next(iter(s))
)
def test_budgets_and_seeds_are_not_negative(setting):
    with pytest.raises(InputError, match=rf"RunConfig\.{next(iter(setting))} is .*greater than"):
        RunConfig(**setting)


def test_a_misspelt_setting_is_not_swallowed():
    with pytest.raises(InputError, match=r"RunConfig\.max_round is not known"):
        RunConfig(max_round=3)


def test_settings_cannot_be_changed_behind_a_runs_back():
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().seed = 3


def test_a_default_name_does_not_replace_one_that_is_given():
    assert RunConfig(name="mine").with_name("other").name == "mine"
    assert RunConfig().with_name("other").name == "other"


class Part(Settings):
    size: int = 1
    name: str = "a"


class Whole(Settings):
    part: Part = Part()
    other: Part | None = None


def test_a_group_is_changed_in_part_by_a_mapping_and_in_whole_by_a_group():
    whole = Whole(part={"size": 3, "name": "b"})
    assert whole.but(part={"size": 4}).part == Part(size=4, name="b")
    assert whole.but(part=Part(size=4)).part == Part(size=4, name="a")
    assert whole.but(other={"size": 2}).other == Part(size=2)
    assert whole.but(other={"size": 2}).but(other=None).other is None


def test_what_is_wrong_in_a_group_is_one_sentence_too():
    with pytest.raises(InputError, match=r"Part\.size is 'x': input should be a valid integer"):
        Whole(part={"size": "x"})
    with pytest.raises(InputError, match=r"Part\.sizes is not known"):
        Whole().but(part={"sizes": 2})


@pytest.mark.parametrize("wrong", [0, -1, 2, 1.5])
def test_a_worker_has_one_gpu_or_a_part_of_one(wrong):
    with pytest.raises(InputError, match=r"ScalingConfig\.gpus_per_worker is "):
        ScalingConfig(gpus_per_worker=wrong)


def test_a_worker_that_uses_no_gpu_asks_for_none():
    assert ScalingConfig(gpus_per_worker=0.5).gpus == 0
