"""What stands in jobs/ and in the README's examples works."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from raybilevel import RewardTuning, config_file
from raybilevel.baselines.config import comparison_of
from raybilevel.cli.demo import prompts_demo, reward_demo, schedule_demo
from raybilevel.upper.variables import Variable

ROOT = Path(__file__).parent.parent
REWARDS = ("clip", "ocr", "hps", "aesthetic")
CONFIGS = sorted((ROOT / "jobs" / "configs").glob("*.yaml"))


def test_there_are_configurations():
    assert len(CONFIGS) >= 3


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_configuration_is_a_problem_of_a_named_run(path):
    if path.name.startswith("compare_"):
        config, compare = comparison_of(config_file.read_tree(path), str(path))
        assert compare.searches
    else:
        config = config_file.read(path)
    assert config.run.name
    if isinstance(config.problem, RewardTuning):  # a schedule's variables need its model
        assert config.problem.variables


@pytest.mark.parametrize(
    ("name", "demo"),
    [("reward", reward_demo), ("sampling_schedule", schedule_demo), ("prompts", prompts_demo)],
)
def test_the_demo_is_the_configuration_of_its_name(name, demo):
    assert config_file.read(ROOT / f"jobs/configs/{name}.yaml").problem == demo()


def test_the_readme_is_one_page():
    assert len((ROOT / "README.md").read_bytes()) <= 6000
    for block in blocks("python"):
        assert len(block.splitlines()) <= 12


def blocks(language, page="README.md"):
    text = (ROOT / page).read_text()
    return re.findall(rf"```{language}\n(.+?)```", text, re.S)


def test_the_readmes_yaml_is_a_configuration(run_in):
    (text,) = blocks("yaml")
    assert len(text.splitlines()) <= 10
    (run_in / "prompts.txt").write_text("a cat\n")
    config = config_file.build(yaml.safe_load(text), "README.md")
    assert isinstance(config.problem, RewardTuning)


def test_the_readmes_python_runs_up_to_the_fit():
    """Its names and arguments exist: the problem is made, with rewards of the reader's own."""
    text, *_ = blocks("python")
    names = {name: lambda images: images for name in ("my_proxy_reward", "what_i_want")}
    exec(text.split("result = ")[0], names)
    assert names["problem"].variables == (Variable("lambda", 1.0, 0.05, 20.0, "log"),)


def test_the_table_that_is_logged_as_the_page_says_is_a_problem(run_in):
    """With a trainer of its shape: prompts with metadata, rewards that return scores and info."""
    log, _, ask, *_ = blocks("python", "docs/tutorials/table.md")
    fn = {name: lambda images, prompts, metadata: ([len(images)] * 2, {}) for name in REWARDS}
    batches = [(["a cat", "a dog"], [{}, {}])] * 2
    exec(log.replace(", ...", ""), {"eval_loader": batches, "pipeline": list, "reward_fns": fn})
    names = {}
    exec(ask.split("result = ")[0], names)
    names["problem"].check()
    assert names["problem"].table.prompts.conditions == ("a cat", "a dog")


@pytest.mark.parametrize(("place", "steps"), [(1, 6), (2, 10)])
def test_the_readmes_schedules_are_problems(place, steps):
    text, names = blocks("python")[place], {}
    exec(text.split("result = ")[0], names)
    assert names["problem"].sampling_steps == steps


@pytest.mark.parametrize("job", [path.name for path in sorted((ROOT / "jobs").glob("*.py"))])
def test_jobs_say_how_they_are_used(job):
    done = subprocess.run(
        [sys.executable, ROOT / "jobs" / job, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert job in done.stdout
