"""What `run` and `compare` are given: a file, or the directory of what goes on."""

import pytest
import yaml

from raybilevel import RewardTuning, RunConfig, ScalingConfig, config_file
from raybilevel.cli.given import named, read_given
from raybilevel.config_file import Config
from raybilevel.errors import InputError

PROBLEM = RewardTuning(model="toys:gaussian", lower_reward="ink", upper_reward="ink", pool_size=64)


@pytest.fixture
def moved(run_in):
    """A run that was begun as runs/mine, and lies in other/place now."""
    run = RunConfig(name="mine", storage_path=str(run_in / "runs"), seed=5)
    place = run_in / "other" / "place"
    place.mkdir(parents=True)
    (place / "config.yaml").write_text(config_file.dump(Config(PROBLEM, ScalingConfig(), run)))
    (place / "driver.json").write_text("{}")
    return place


@pytest.mark.parametrize("given", ["other/place", "other/place/", "other/place/config.yaml"])
def test_a_directory_goes_on_where_it_lies_now(moved, run_in, given):
    tree = read_given(given, ["run.max_rounds=3"], resume=True)
    run = config_file.build(tree, given).run
    assert (run.name, run.storage_path) == ("place", str(run_in / "other"))
    assert (run.seed, run.max_rounds) == (5, 3)


def test_a_run_is_meant_by_its_path_or_by_its_name_in_runs(moved, run_in):
    (run_in / "runs" / "there").mkdir(parents=True)
    (run_in / "runs" / "there" / "config.yaml").write_text("problem: reward\n")
    for given, path in {"there": "runs/there", "other/place": "other/place", "no": "no"}.items():
        assert named(given).path == f"{run_in}/{path}"


def test_a_comparison_goes_on_by_its_stored_file_too(moved):
    (moved / "driver.json").unlink()
    (moved / "runs" / "tune-random-0").mkdir(parents=True)
    assert read_given("other/place/config.yaml", [], resume=True)["run"]["name"] == "place"


def test_a_stored_configuration_that_nothing_lies_beside_is_a_file_as_others_are(moved):
    (moved / "driver.json").unlink()
    for resume in (False, True):
        assert read_given("other/place/config.yaml", [], resume=resume)["run"]["name"] == "mine"


def test_a_stored_configuration_can_be_begun_anew(moved):
    assert read_given("other/place/config.yaml", [], resume=False)["run"]["name"] == "mine"


def test_a_directory_that_nobody_goes_on_with_is_refused(moved):
    with pytest.raises(InputError) as caught:
        read_given("other/place", [], resume=False)
    assert str(caught.value) == (
        f"{moved} is the directory of a run; go on with it (--resume), or give a configuration file"
    )


def test_a_folder_that_is_no_run_is_refused(run_in):
    (run_in / "folder").mkdir()
    with pytest.raises(InputError, match=r"^folder cannot be read \(Is a directory\); give a YAML"):
        read_given("folder", [], resume=True)


def test_a_run_of_the_first_edition_is_refused(moved):
    tree = yaml.safe_load((moved / "config.yaml").read_text())
    del tree["format"]
    (moved / "config.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(InputError, match=r"format 1, which raybilevel 0\.1 wrote"):
        read_given("other/place", [], resume=True)
