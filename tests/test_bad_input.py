"""Bad input gets one sentence that says what, where and what would be right, before any actor."""

import json
import sys
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from commands import each
from packages import register, write_module
from PIL import Image
from schedule_toys import save_pipeline

from raybilevel import RewardTuning
from raybilevel.callbacks import named
from raybilevel.cli import main as cli
from raybilevel.errors import InputError

GOOD = {
    "model": "toys:gaussian",
    "lower_reward": "toys:first",
    "upper_reward": "toys:near_one",
    "pool_size": "64",
}


def write(here, text):
    (here / "c.yaml").write_text(text)


def yaml_of(**changes):
    lines = {"problem": "reward", **GOOD} | changes
    return "".join(f"{key}: {value}\n" for key, value in lines.items() if value is not None)


def left_in(folder):
    """All that lies there, but for what Python itself writes where a user's module is imported."""
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture
def refused(run_in, monkeypatch, capsys):
    """Runs the command; gives its one sentence. Nothing is left behind, no Ray is started."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["raybilevel", *(arguments or ("run", "c.yaml"))])
        before, joined = left_in(run_in), ray.is_initialized()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert ended.value.code == 2
        assert said.out == ""
        (sentence,) = said.err.splitlines()
        assert sentence.startswith("raybilevel: ")
        assert left_in(run_in) == before
        assert ray.is_initialized() == joined
        return sentence.removeprefix("raybilevel: ")

    return run


def test_an_empty_file(refused, run_in):
    write(run_in, "")
    assert refused() == "c.yaml is empty; it must name a problem, such as 'problem: reward'"


def test_no_mapping(refused, run_in):
    write(run_in, "- problem\n- reward\n")
    said = "c.yaml holds a list, but it must be a mapping of 'key: value' lines"
    assert refused() == said


def test_no_yaml(refused, run_in):
    write(run_in, "problem: [reward\n")
    assert refused().startswith("c.yaml is no YAML: ")


def test_no_text(refused, run_in):
    (run_in / "c.yaml").write_bytes(b"\xff\xfe\x00problem")
    assert refused() == "c.yaml is no text; give a YAML file in UTF-8"


def test_keys_that_are_no_names(refused, run_in):
    write(run_in, yaml_of() + "3: 4\n")
    assert refused() == "c.yaml has the key 3, but keys are names"


def test_a_missing_file(refused):
    said = "c.yaml cannot be read (No such file or directory); give a YAML file"
    assert refused() == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bogus": 3}, "RewardTuning.bogus is not known; look for a misspelt name"),
        ({"estimators": "pool"}, "RewardTuning.estimators is not known; did you mean estimator?"),
        ({"promts": "[]"}, "RewardTuning.promts is not known; did you mean prompts?"),
        ({"at": "{lambda: 2.0}"}, "RewardTuning.at is not known; look for a misspelt name"),
        ({"run": "{bogus: 3}"}, "RunConfig.bogus is not known; look for a misspelt name"),
        ({"upper_reward": None}, "RewardTuning.upper_reward is missing; give it, or a target"),
    ],
    ids=["in the problem", "estimators", "promts", "at", "in a block", "missing"],
)
def test_an_unknown_key(refused, run_in, changes, said):
    write(run_in, yaml_of(**changes))
    assert refused() == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pool_size": "many"}, "RewardTuning.pool_size is 'many': input should be a valid int"),
        ({"gamma": "[1]"}, "RewardTuning.gamma is [1]: input should be a valid number"),
        ({"scaling": 3}, "c.yaml: scaling is 3, but it must be a mapping"),
        ({"lambda_": "{init: 3}"}, "RewardTuning.lambda_.Variable.name is missing"),
        ({"lower_reward": 3}, "RewardTuning.lower_reward"),
        ({"lower_reward": "{}"}, "lower_reward is empty"),
        ({"model": "[a]"}, "RewardTuning.model"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_type(refused, run_in, changes, said):
    write(run_in, yaml_of(**changes))
    assert refused().startswith(said)


@pytest.mark.parametrize("problem", ["sweep", "[reward]", "3", None])
def test_an_unknown_problem(refused, run_in, problem):
    write(run_in, yaml_of(problem=problem))
    sentence = refused()
    assert sentence.startswith("c.yaml: problem is ")
    assert sentence.endswith("it must be one of reward, sampling_schedule, training_schedule")


@pytest.fixture
def site(run_in, monkeypatch):
    """A folder of other people's packages."""
    folder = run_in / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_two_packages_that_register_one_problem(refused, run_in, site):
    register(site, "one-package", "problems", "theirs", "one:Theirs")
    register(site, "another-package", "problems", "theirs", "another:Theirs")
    write(run_in, yaml_of(problem="theirs"))
    sentence = refused()
    assert sentence.startswith("the problem 'theirs' is registered by two packages, ")
    assert "one-package (one:Theirs)" in sentence
    assert "another-package (another:Theirs)" in sentence
    assert sentence.endswith("; uninstall one of them")


def test_a_package_that_registers_a_name_of_ours(refused, run_in, site):
    register(site, "one-package", "rewards", "ink", "one:make")
    write(run_in, yaml_of(upper_reward="ink + 1.0 * novelty"))
    assert "'ink' is registered by two packages, raybilevel (" in refused()


@pytest.mark.parametrize("thing", ["Settings", "GOOD", "Theirs(Problem)"])
def test_a_registered_object_that_is_no_problem(refused, run_in, site, thing):
    name = f"no_problem_{len(thing)}"
    register(site, "one-package", "problems", "theirs", f"{name}:Theirs")
    text = f"""
        from raybilevel.config.settings import Settings
        from raybilevel.problems.base import Problem
        GOOD = 3
        {"class Theirs(Problem): pass" if "(" in thing else f"Theirs = {thing}"}
    """
    write_module(site, name, text)
    write(run_in, yaml_of(problem="theirs"))
    assert refused() == (
        f"c.yaml: problem is 'theirs', the problem 'theirs' of package one-package at "
        f"'{name}:Theirs', but that is no Problem; it must be a class derived from Settings and "
        "Problem"
    )


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("toys:KILL", "problem is 'toys:KILL', but that is no Problem; it must be a class derived"),
        ("toys:Nobody", "problem is 'toys:Nobody', but module 'toys' has no 'Nobody'"),
        ("__main__:Nobody", "is '__main__:Nobody', a class that no module has; put it into a mod"),
    ],
)
def test_an_import_path_that_leads_to_no_problem(refused, run_in, path, said):
    write(run_in, yaml_of(problem=path))
    assert said in refused()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nomodule_at_all", "fails: No module named 'nomodule_at_all'"),
        ("def f(:", "is no Python"),
        ("1 / 0", "failed on its import: ZeroDivisionError: division by zero ("),
        ("Ours = 1", "has no 'Theirs'"),
    ],
    ids=["missing module", "no Python", "raises", "missing name"],
)
def test_a_registered_name_that_cannot_be_imported(refused, run_in, site, text, said):
    name = f"broken_entry_{len(text)}"
    register(site, "one-package", "problems", "theirs", f"{name}:Theirs")
    write_module(site, name, text)
    write(run_in, yaml_of(problem="theirs"))
    sentence = refused()
    assert sentence.startswith("the problem 'theirs' of package one-package ")
    assert said in sentence


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("theirs = 3", "the reward 'theirs' of package one-package is 3, but it must be make("),
        ("def theirs(device): return 3", "'theirs' was made as 3, but it must be a function of"),
        ("def theirs(device, q): return len", "but it is used as theirs(q)"),
    ],
    ids=["no function", "makes none", "other arguments"],
)
def test_a_registered_reward_that_is_none(refused, run_in, site, text, said):
    name = f"broken_reward_{len(text)}"
    register(site, "one-package", "rewards", "theirs", f"{name}:theirs")
    write_module(site, name, text)
    write(run_in, yaml_of(upper_reward="theirs"))
    assert said in refused()


def test_a_model_directory_that_is_not_there(refused, run_in):
    write(run_in, yaml_of(model="nowhere"))
    said = "model 'nowhere' is not a directory; give one that holds a diffusers pipeline"
    assert refused() == said


def test_a_directory_that_is_no_pipeline(refused, run_in):
    (run_in / "empty").mkdir()
    write(run_in, yaml_of(model="empty"))
    sentence = refused()
    assert sentence.startswith("model 'empty' is no diffusers pipeline")
    assert sentence.endswith("give a directory written by save_pretrained")


def test_a_text_to_image_pipeline_without_what_reads_text(refused, run_in):
    parts = {
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    index = {"_class_name": "StableDiffusionPipeline", **parts}
    (run_in / "sd").mkdir()
    (run_in / "sd" / "model_index.json").write_text(json.dumps(index))
    write(run_in, yaml_of(model="sd"))
    sentence = refused()
    assert sentence.startswith("model 'sd' is a StableDiffusionPipeline")
    assert "pip install 'raybilevel[text]'" in sentence


def published(folder, *variants, size=8, halvings=1):
    """A pipeline directory as far as it is read before a run: its JSON, and names of weights."""
    blocks = ["DownBlock2D"] * (halvings + 1)
    unet = {"sample_size": size, "down_block_types": blocks, "in_channels": 1, "out_channels": 1}
    unet |= {"up_block_types": ["UpBlock2D"] * len(blocks), "norm_num_groups": 4}
    unet |= {"block_out_channels": [8] * len(blocks), "_class_name": "UNet2DModel"}
    parts = {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"]}
    for name, content in {
        "model_index.json": {"_class_name": "DDPMPipeline", **parts},
        "unet/config.json": unet,
        "scheduler/scheduler_config.json": {"num_train_timesteps": 1000},
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    for variant in variants:
        (folder / "unet" / f"diffusion_pytorch_model{variant}.safetensors").touch()


TWO = "model 'pipe' has its weights in the variants 'fp16' and 'non_ema' alone"


@pytest.mark.parametrize("problem", ["reward", "sampling_schedule"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{}", f"{TWO}; choose one, such as model_options: {{variant: fp16}}"),
        ("{variant: bf16}", f"model_options.variant is 'bf16', but {TWO}"),
        (
            "{varient: fp16}",
            "model_options has 'varient', but what is known is variant, revision, without, "
            "offload, slicing, and as null each part of the model",
        ),
    ],
    ids=["not asked for", "not there", "misspelt"],
)
def test_a_variant_of_the_weights(refused, run_in, problem, options, said):
    published(run_in / "pipe", ".fp16", ".non_ema")
    lines = yaml_of(model="pipe") if problem == "reward" else "model: pipe\ndata: digits\n"
    write(run_in, f"{lines}problem: {problem}\nmodel_options: {options}\n")
    assert refused() == said


def test_a_variant_of_a_callable(refused, run_in):
    write(run_in, yaml_of(model_options="{variant: fp16}"))
    assert refused().endswith("the model is a callable, which loads its own weights; leave it out")


@pytest.mark.parametrize(
    ("size", "halvings", "said"),
    [([9, 7], 1, "9 x 7, as its 2 blocks halve them 1 time"), (15, 3, "15 x 15, as its 4 blocks")],
)
def test_a_network_that_cannot_take_its_own_size(refused, run_in, size, halvings, said):
    published(run_in / "pipe", "", size=size, halvings=halvings)
    write(run_in, yaml_of(model="pipe"))
    sentence = refused()
    assert sentence.startswith(f"model 'pipe' cannot take images of its own sample_size, {said}")
    assert sentence.endswith("give a model of another size")


@pytest.mark.parametrize("value", ["0", "-1", "{name: l, init: 1, low: 0, high: 2}"])
def test_lambda_that_is_not_above_zero(refused, run_in, value):
    write(run_in, yaml_of(lambda_=value, lower_reward="{a: toys:first, b: toys:second}"))
    assert refused().endswith("but a KL strength is above 0")


MUST_BE = "but it must be {kl: nats} or {reward: name, at_least: number}"
NATS = "but nats are a finite number above 0"
TUNED = "{a: 1, b: {name: w, init: 1, low: 0.5, high: 2}}"


@pytest.mark.parametrize(
    ("target", "changes", "said"),
    [
        (
            "{kl: 1}",
            {"upper_reward": "ink"},
            "upper_reward and target are both given, but a target is in place of an upper reward; "
            "leave one out",
        ),
        ("{kl: 1, at_least: 2}", {}, f"target has at_least, kl, {MUST_BE}"),
        ("{reward: lower}", {}, f"target has reward, {MUST_BE}"),
        ("{}", {}, f"target has no keys, {MUST_BE}"),
        ("{kl:0.5}", {}, f"target has kl:0.5, {MUST_BE}"),
        ("0.5", {}, f"target is 0.5, {MUST_BE}"),
        ("{kl: 0}", {}, f"target.kl is 0, {NATS}"),
        ("{kl: .inf}", {}, f"target.kl is inf, {NATS}"),
        ("{reward: lower, at_least: .nan}", {}, "target.at_least is nan, but it must be finite"),
        (
            "{reward: held_out, at_least: 1}",
            {},
            "target.reward is 'held_out', but the rewards are lower",
        ),
        (
            "{reward: b, at_least: 1}",
            {"held_out_reward": "ink"},
            "target.reward is 'b', but the rewards are lower, held_out",
        ),
        (
            "{kl: 1}",
            {"gamma": 3},
            "gamma is 3, but it belongs to an upper reward; leave it out with a target",
        ),
        (
            "{kl: 1}",
            {"lambda_": 2},
            "a target says which lambda_ to look for, but lambda_ is 2; give a Variable",
        ),
        (
            "{kl: 1}",
            {"lower_reward": "{a: ink, b: ink}", "weights": TUNED},
            "a target decides lambda_ alone, but weights would be tuned too (w); give them as "
            "numbers",
        ),
    ],
    ids=[
        "and an upper reward", "both", "half", "nothing", "no space", "a number", "zero", "inf",
        "nan", "no held-out", "unknown", "gamma", "fixed", "weights",
    ],
)  # fmt: skip
def test_a_target_that_cannot_be(refused, run_in, target, changes, said):
    write(run_in, yaml_of(**{"upper_reward": None, "target": target} | changes))
    assert refused() == said


def test_low_above_high(refused, run_in):
    write(run_in, yaml_of(lambda_="{name: lambda, init: 1, low: 2, high: 1}"))
    assert refused() == "variable 'lambda' has low 2 >= high 1; low must be less"


def test_init_outside_its_bounds(refused, run_in):
    write(run_in, yaml_of(lambda_="{name: lambda, init: 3, low: 1, high: 2}"))
    assert refused() == "variable 'lambda' has init 3 outside its bounds [1, 2]"


def test_lambda_and_all_weights_free_together(refused, run_in):
    write(run_in, yaml_of(weights="{lower: {name: w, init: 1, low: 0.5, high: 2}}"))
    sentence = refused()
    assert sentence.startswith("lambda_ and all weights are free together")
    assert sentence.endswith("give lambda_ or one weight as a number")


def test_nothing_free(refused, run_in):
    write(run_in, yaml_of(lambda_="2.0"))
    assert refused().endswith("give one as a Variable")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nomodule_at_all:f", "importing 'nomodule_at_all' from "),
        ("toys:no_such_name", "module 'toys' has no 'no_such_name'"),
        ("toys:", "an import path looks like 'package.module:name'"),
        ("toys:KILL", "which is no function"),
        ("no_such_reward", "there is no built-in 'no_such_reward'"),
        ("unwritable(3", "a reward is written"),
    ],
)
def test_a_reward_that_does_not_resolve(refused, run_in, path, said):
    write(run_in, yaml_of(upper_reward=f"'{path}'"))
    sentence = refused()
    assert "upper" in sentence
    assert said in sentence


@pytest.mark.parametrize(
    ("text", "said"),
    [("def f(:\n", "broken.py:1 is no Python"), ("1 / 0\n", "ZeroDivisionError: division by zero")],
    ids=["no Python", "raises"],
)
def test_a_reward_whose_module_is_broken(refused, run_in, text, said):
    name = f"broken_{len(text)}"
    (run_in / f"{name}.py").write_text(text)
    write(run_in, yaml_of(upper_reward=f"{name}:f"))
    sentence = refused()
    assert "upper" in sentence
    assert said.replace("broken", name) in sentence


def test_a_reward_of_the_wrong_shape(refused, run_in):
    write(run_in, yaml_of(upper_reward="toys:wrong_shape"))
    sentence = refused()
    assert sentence.startswith("reward 'upper' returned numbers of shape (2, 2)")
    assert sentence.endswith("it must return 2 numbers, of shape (2,)")


def test_a_reward_that_is_nan(refused, run_in):
    write(run_in, yaml_of(held_out_reward="toys:nan_reward"))
    sentence = refused()
    assert sentence.startswith("reward 'held_out' gave nan on a probe batch")
    assert sentence.endswith("it must be a finite number for every sample")


USERS = """
import torch
def raises(samples): return samples[:, 7]
def numpy_model(seeds): return torch.zeros(len(seeds), 2).numpy()
def one_too_many(seeds): return torch.zeros(len(seeds) + 1, 2)
def failing(seeds): raise RuntimeError("no\\nweights")
def listed(noise): return noise
listed.noise_shape = [2]
def misshapen(noise): return noise @ torch.ones(5, 2)
misshapen.noise_shape = (3,)
def flat(noise): return noise.flatten()
flat.noise_shape = (3,)
"""


@pytest.mark.parametrize(
    ("argument", "name", "said"),
    [
        ("upper_reward", "raises", "reward 'upper' failed on a batch of (2, 2): IndexError: "),
        ("model", "numpy_model", "model returned a ndarray for a list of seeds; it must be a"),
        ("model", "one_too_many", "model returned samples of shape (3, 2) for 2 seeds; it must"),
        ("model", "failing", "model failed on 2 seeds: RuntimeError: no weights ("),
        ("model", "listed", "model 'users_code:listed' has noise_shape = [2], but it must be a tu"),
        ("model", "misshapen", "model failed on 2 noises of shape (3,): RuntimeError: "),
        ("model", "flat", "model returned samples of shape (6,) for 2 noises of shape (3,); it "),
    ],
)
def test_users_code_that_fails_on_a_probe(refused, run_in, argument, name, said):
    (run_in / "users_code.py").write_text(USERS)
    write(run_in, yaml_of(**{argument: f"users_code:{name}"}))
    assert refused().startswith(said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"islands": 8}, "islands is 8, but an estimate from moved samples knows its error by 16"),
        ({}, "estimator is 'annealed', but model 'toys:gaussian' is a function of seeds, whose sa"),
        (
            {"model": "moved_code:noisy", "pool_size": 512, "run": "{max_nfe: 900}"},
            "run.max_nfe is 900, but a run says nothing before 1,024 NFE; give more, or a smaller ",
        ),
    ],
    ids=["islands", "seeds", "budget"],
)
def test_samples_that_cannot_be_moved_as_asked(refused, run_in, changes, said):
    (run_in / "moved_code.py").write_text("def noisy(z): return z\nnoisy.noise_shape = (2,)\n")
    write(run_in, yaml_of(estimator="annealed", **changes))
    assert refused().startswith(said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            "samples are to be guided, but the model is no pipeline, whose steps could be guided; ",
        ),
        (
            {"model": "digits"},
            "samples are to be guided, but model 'digits' draws no noise at its st",
        ),
        (
            {"model": "digits", "scheduler": "{class: DEISMultistepScheduler}"},
            "samples are to be guided, but model 'digits' has a DEISMultistepScheduler, and ",
        ),
        (
            {"model": "digits", "scheduler": "{options: {}}"},
            "scheduler.class is None, but diffusers",
        ),
        (
            {"model": "digits", "call_options": "{eta: 1.0}", "run": "{max_nfe: 100}"},
            "run.max_nfe is 100, but a run says nothing before 192 NFE; give more, or a smaller ",
        ),
        (
            {"estimator": "guided_unweighted"},
            "estimator is 'guided_unweighted', but gamma is inf, and its gradient is gamma ti",
        ),
        (
            {"estimator": "annealed", "guided_resampling": "true"},
            "guided_resampling is true, but estimator is 'annealed', whose paths are not resa",
        ),
        (
            {"guided_resampling": "true", "pool_size": 4096, "batch_size": 64},
            "batch_size is 64, but an island of guided paths is drawn at once, of 85; give ",
        ),
    ],
    ids=[
        "seeds",
        "deterministic",
        "scheduler",
        "nameless",
        "budget",
        "gamma",
        "resampling",
        "batch",
    ],
)
def test_samples_that_cannot_be_guided_as_asked(refused, run_in, changes, said):
    rewards = {"lower_reward": "legibility", "upper_reward": "novelty"}
    write(run_in, yaml_of(**{"estimator": "guided"} | (rewards if changes else {}) | changes))
    assert refused().startswith(said)


TABLE = {
    "model": None, "pool_size": None, "pool": "rewards.csv", "lower_reward": "column:low",
    "upper_reward": "column:up",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "digits"}, "RewardTuning needs either model, what samples are drawn from, or p"),
        ({"pool": None}, "RewardTuning needs either model, what samples are drawn from, or pool, "),
        (
            {"pool_size": 64},
            "pool_size is given, but pool 'rewards.csv' is there already; leave it",
        ),
        ({"prompts": "[a, b]"}, "prompts is given, but pool 'rewards.csv' is there already; leave"),
        ({"max_prompts": 3}, "max_prompts is given, but pool 'rewards.csv' is there already; leav"),
        ({"call_options": "{a: 1}"}, "call_options is given, but pool 'rewards.csv' is there alre"),
        ({"model_options": "{variant: fp16}"}, "model_options is given, but pool 'rewards.csv' is"),
        ({"pool": None, "model": "toys:gaussian"}, "reward 'upper' is 'column:up', but there is n"),
        (
            {**dict.fromkeys(TABLE), **GOOD, "pool_half": "first"},
            "pool_half is given, but there is no pool; leave it out",
        ),
        (
            {"pool_half": "third"},
            "RewardTuning.pool_half is 'third': input should be 'first' or 's",
        ),
        ({"upper_reward": "toys:first"}, "reward 'upper' is 'toys:first', but pool 'rewards.csv' "),
        ({"upper_reward": "ink"}, "reward 'upper' is 'ink', but pool 'rewards.csv' has numbers al"),
        ({"upper_reward": "'column:'"}, "reward 'upper' is 'column:', but pool 'rewards.csv' has "),
        ({"upper_reward": "column:ups"}, "pool 'rewards.csv' has no column 'ups', which reward 'u"),
        ({"held_out_reward": "column:low"}, "pool 'rewards.csv' has nan in row 3 of the column 'l"),
        ({"pool": "nowhere.csv"}, "pool 'nowhere.csv' cannot be read ("),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_a_pool_that_says_nothing(refused, run_in, changes, said):
    (run_in / "rewards.csv").write_text("low,up\n1,2\n2,3\nnan,2\n")
    write(run_in, yaml_of(**(TABLE | changes)))
    assert refused().startswith(said)


def test_a_pool_whose_rewards_are_functions():
    with pytest.raises(InputError, match=r"reward 'upper' is a function, but pool 't\.csv' has "):
        RewardTuning(pool="t.csv", lower_reward="column:low", upper_reward=len)


@pytest.mark.parametrize("key", ["pool_size", "max_pool_size", "shard_size"])
def test_a_negative_size(refused, run_in, key):
    write(run_in, yaml_of(**{key: -4}))
    said = f"RewardTuning.{key} is -4: input should be greater than or equal to 1"
    assert refused() == said


def test_fewer_workers_at_most_than_at_least(refused, run_in):
    write(run_in, yaml_of(scaling="{num_workers: [4, 2]}"))
    said = "num_workers is (4, 2), but it must be (min, max) with 1 <= min <= max"
    assert refused() == said


def begin(here, **changes):
    """A run directory that somebody began."""
    from raybilevel import config_file

    folder = here / "runs" / "mine"
    folder.mkdir(parents=True)
    write(here, yaml_of(run="{name: mine}", **changes))
    (folder / "config.yaml").write_text(config_file.dump(config_file.read(here / "c.yaml")))


def test_a_run_directory_that_exists(refused, run_in):
    begin(run_in)
    sentence = refused()
    assert sentence.startswith(f"the run directory {run_in}/runs/mine exists")
    assert "--resume" in sentence
    assert sentence.endswith("or give another run.name")


def test_going_on_with_another_configuration(refused, run_in):
    begin(run_in)
    said = f"pool_size is 128, but the run in {run_in}/runs/mine was begun with 64; put it back or"
    assert refused("run", "c.yaml", "pool_size=128", "--resume").startswith(said)


@pytest.fixture
def first_edition(run_in):
    """A run of raybilevel 0.1 that has ended, as it left it."""
    begin(run_in)
    folder = run_in / "runs" / "mine"
    stored = (folder / "config.yaml").read_text().removeprefix("format: 3\n")
    (folder / "config.yaml").write_text(stored)
    summary = {"reason": "it was", "rounds": 2, "versions": {"raybilevel": "0.1.0"}}
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "driver.json").write_text("{}")
    return folder


OLD = (
    "has format 1, which raybilevel 0.1 wrote, but this version reads format 3 alone; use the "
    "version that wrote it, or run it again"
)


@pytest.mark.parametrize(
    "arguments", [("run", "c.yaml", "--resume"), ("report", "runs/mine"), ("status", "mine")]
)
def test_a_run_of_the_first_edition(refused, first_edition, arguments):
    assert refused(*arguments) == f"{first_edition} {OLD}"


def test_a_result_of_the_first_edition(first_edition):
    from raybilevel import BilevelTuner, Result
    from raybilevel.runtime.storage import RunDirectory

    result = Result(RunDirectory.at("runs/mine"))
    for read in (
        lambda: BilevelTuner.restore("runs/mine"),
        lambda: result.status,
        lambda: result.state,
        lambda: result.problem,
        lambda: result.samples(1),
        result.get_dataframe,
        result.pipeline,
    ):
        with pytest.raises(InputError, match=r"has format 1, which raybilevel 0\.1 wrote"):
            read()


def test_a_comparison_of_the_first_edition(refused, run_in, first_edition):
    write(run_in, compared() + "run: {name: mine}\n")
    assert refused("compare", "c.yaml", "--resume") == f"{first_edition} {OLD}"


def test_a_file_of_another_format(refused, run_in):
    write(run_in, yaml_of(format=2))
    assert refused().startswith("c.yaml has format 2, which another raybilevel wrote, but this")


def test_a_report_of_nothing(refused, run_in):
    assert refused("report", "nowhere") == (
        f"{run_in}/nowhere is no run directory: it has no config.yaml"
    )


def test_a_report_of_a_run_that_has_not_ended(refused, run_in):
    begin(run_in)
    said = f"the run in {run_in}/runs/mine has not ended: it has no summary.json"
    assert refused("report", "runs/mine") == said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run",), "Missing argument 'config'"),
        (("run", "c.yaml", "--bogus"), "No such option: --bogus"),
        (("bogus",), "No such command 'bogus'"),
    ],
)
def test_a_command_that_is_no_command(refused, arguments, said):
    assert refused(*arguments).startswith(said)


def test_gpus_where_there_are_none(refused, run_in, cluster):
    if ray.cluster_resources().get("GPU"):
        pytest.skip("this machine has GPUs")
    write(run_in, yaml_of(scaling="{use_gpu: true}", run="{name: gpus}"))
    sentence = refused()
    assert sentence.startswith(
        "scaling.use_gpu is set, but the cluster has no GPU (8 CPUs and 0 GPUs on 1 node)"
    )
    assert sentence.endswith("add GPU nodes or set use_gpu=False")


def test_a_cluster_smaller_than_min_that_does_not_grow(refused, run_in, cluster):
    write(run_in, yaml_of(scaling="{num_workers: [9, 16]}", run="{name: many}"))
    sentence = refused()
    assert sentence.startswith(
        "scaling.num_workers asks for at least 9 workers of 1 CPUs, but there is room for 8 "
    )
    assert sentence.endswith("ask for fewer, or join a larger cluster with --address")


def test_no_ray_that_could_be_joined_or_started(run_in, tmp_path_factory):
    # processes of their own: this one may have joined a cluster already
    write(run_in, yaml_of())
    addresses = ("nonsense", "127.0.0.1:1")
    commands = [(("run", "c.yaml", "--address", address), {}) for address in addresses]
    own = (("run", "c.yaml"), {"RAY_ADDRESS": "", "RAY_TMPDIR": "/dev/null"})
    *said, not_started = each(tmp_path_factory.mktemp("said") / "each", *commands, own)
    assert not_started.returncode == 2
    (sentence,) = not_started.stderr.splitlines()
    assert sentence.startswith("raybilevel: Ray cannot start on this machine: ")
    assert "Not a directory: '/dev/null" in sentence
    for address, done in zip(addresses, said, strict=True):
        assert done.returncode == 2
        (sentence,) = done.stderr.splitlines()
        assert sentence.startswith(f"raybilevel: no Ray cluster answers at '{address}' (")
        assert "leave both out to start a local Ray" in sentence
    assert not (run_in / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "model 'nowhere' is not a directory; give one that holds a diffusers pipeline"),
        ({"sampling_steps": 0}, "SamplingSchedule.sampling_steps is 0: input should be greater"),
        ({"estimation": "{samples: 1}"}, "estimation.samples is 1, but an objective with a standa"),
        ({"estimation": "{samples: few}"}, "estimation.samples is 'few': input should be a valid"),
        ({"optimizer": "{update: 3}"}, "optimizer.update is not known; did you mean updates?"),
        ({"optimizer": 3}, "SamplingSchedule.optimizer is 3: input should be a valid dictionary"),
        (
            {"solver": "euler"},
            "solver is 'euler'; the known are 'dpm++' (DPMSolverMultistepSchedul",
        ),
        ({"schedule": "linear"}, "SamplingSchedule.schedule is 'linear': input should be 'knots'"),
        (
            {"training": "{rounds: 3}"},
            "training is given, but model 'nowhere' is pretrained, and nothing is trained; leave",
        ),
        (
            {"model": None, "penalty": "{z_step: truncated}"},
            "penalty.z_step is 'truncated' without gamma; give",
        ),
        (
            {"model": None, "network": "{block_out_channels: [8, 8, 8, 8, 8]}"},
            "network has 5 block_out_channels, which halve images 4 times, but images of 8 x 8",
        ),
        (
            {"model": None, "training": "{batch_size: 9999}"},
            "training.batch_size is 9999, but data 'digits' has 1437 im",
        ),
        (
            {
                "model": None,
                "prediction_type": "epsilon",
                "schedule_options": "{zero_terminal_snr: true}",
            },
            "zero_terminal_snr needs prediction_type 'v_prediction' or 'sample'",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(map(str, value)) or "no model",
)
def test_a_schedule_that_cannot_be_tuned(refused, run_in, changes, said):
    lines = {"problem": "sampling_schedule", "model": "nowhere", "data": "digits"} | changes
    if lines["model"] is None:
        lines["problem"] = "training_schedule"
    write(run_in, "".join(f"{k}: {v}\n" for k, v in lines.items() if v is not None))
    assert refused().startswith(said)


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        ("pixels.npz", "{resolution: 16}", "data 'pixels.npz' has 20 of 20 images smaller than"),
        ("pixels.npz", "{resolution: 7}", "network has 2 block_out_channels, which halve"),
        ("pixels.npz", "{resolution: [8, 0]}", "data_options.resolution."),
        ("pixels.npz", "{image_column: y}", "data_options.image_column is 'y', but data"),
        ("table.parquet", "{}", "data 'table.parquet' must have a column 'image', but it has x, y"),
        ("table.parquet", "{image_column: z}", "data_options.image_column is 'z', but"),
        ("text.tar", "{}", "data 'text.tar' must have a column 'image', but it has"),
        ("mixed", "{}", "data 'mixed/0.png' is 8 x 8 and data 'mixed/1.png' is 8 x 9"),
    ],
)  # fmt: skip
def test_data_that_no_network_can_be_trained_on(refused, run_in, data, options, said):
    write_data(run_in)
    write(run_in, f"problem: training_schedule\ndata: {data}\ndata_options: {options}\n")
    assert refused().startswith(said)


def write_data(folder):
    """Data of each kind with something wrong, or that is made wrong by options."""
    np.savez(folder / "pixels.npz", images=np.zeros((20, 8, 8), np.uint8))
    pq.write_table(pa.table({"x": [b"0"], "y": [0]}), folder / "table.parquet")
    (folder / "hello.txt").write_text("hello")
    with tarfile.open(folder / "text.tar", "w") as archive:
        archive.add(folder / "hello.txt", "0000.txt")
    (folder / "mixed").mkdir()
    for i in (0, 1):
        Image.new("L", (8 + i, 8)).save(folder / "mixed" / f"{i}.png")


COMPARED = {"trials": "2", "searches": "[random]"}


def compared(**changes):
    lines = COMPARED | changes
    block = ", ".join(f"{key}: {value}" for key, value in lines.items() if value is not None)
    return yaml_of(compare=f"{{{block}}}", pool_size="64")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (yaml_of(), "c.yaml has no compare block; add one"),
        (compared(searches="[sweep]"), "compare.searches has 'sweep'; the known are default, grid"),
        (compared(seeds="0"), "CompareConfig.seeds is 0"),
        (compared(trials=None, budget="63"), "one trial of 'random' needs 64; give at least that"),
        (compared(searches="[grid]", grid_points="5"), "has 5 points, but compare's budget"),
        (compared(searches="[asha]"), "'asha', which lives on results before a trial's end"),
        (compared(searches="[pbt]"), "'pbt', which lives on results before a trial's end"),
        (compared(trial="1"), "CompareConfig.trial is not known"),
        (compared(rivals="[best_of]"), "CompareConfig.rivals.0 is 'best_of'"),
        (compared(rivals="[fk_steering]"), "samples are to be guided, but the model is no pip"),
        (
            compared().replace("upper_reward: toys:near_one", "target: {kl: 1}"),
            "compare has searches that minimise an upper reward's loss, but the problem has a tar",
        ),
    ],
)  # fmt: skip
def test_a_comparison_that_cannot_be(refused, run_in, text, said):
    write(run_in, text)
    assert said in refused("compare", "c.yaml")


def test_a_comparison_that_is_to_be_run(refused, run_in):
    write(run_in, compared())
    said = "c.yaml has a compare block, which is for 'raybilevel compare'; use that, or leave the"
    assert refused("run", "c.yaml").startswith(said)


def test_a_registered_search_that_cannot_be_imported(refused, run_in, site):
    register(site, "one-package", "searches", "theirs", "no_module_of_theirs:search")
    write(run_in, compared(searches="[theirs]"))
    sentence = refused("compare", "c.yaml")
    assert sentence.startswith("the search 'theirs' of package one-package is 'no_module_of_th")
    assert sentence.endswith("fails: No module named 'no_module_of_theirs'")


def test_a_search_without_its_package(refused, run_in, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    write(run_in, compared(searches="[gp]"))
    assert refused("compare", "c.yaml") == (
        "compare.searches has 'gp', which needs optuna: pip install 'raybilevel[baselines]'"
    )


def test_a_callback_that_nobody_knows(refused, run_in):
    write(run_in, yaml_of(run="{callbacks: [wandb]}"))
    assert refused() == (
        "run.callbacks names 'wandb', but what is known is tensorboard, mlflow, and import paths "
        "'package.module:name'"
    )


def test_a_callback_whose_package_is_missing(refused, run_in, monkeypatch):
    monkeypatch.setattr(named, "find_spec", lambda name: None)
    write(run_in, yaml_of(run="{callbacks: mlflow}"))
    assert refused() == (
        "run.callbacks names mlflow, but mlflow is not installed; pip install 'raybilevel[mlflow]'"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            "data 's.npz' are reference statistics of 5 features, but extractor "
            "'schedule_toys:Pixels' gives 64; give those of this extractor, or the one that they "
            "are of",
        ),
        (
            {"extractor": None},
            "data 's.npz' are reference statistics, but extractor 'auto' is made",
        ),
        (
            {"objective": "kid"},
            "objective is 'kid', which is taken to images, but data 's.npz' are",
        ),
        (
            {"problem": "training_schedule", "model": None},
            "data 's.npz' are reference statistics (mu, sigma), but a network is trained on images",
        ),
    ],
    ids=["another size", "no extractor", "kid", "training"],
)
def test_reference_statistics_that_cannot_be_used(refused, run_in, changes, said):
    save_pipeline(run_in / "pipeline")
    np.savez(run_in / "s.npz", mu=np.zeros(5), sigma=np.eye(5))
    lines = {"problem": "sampling_schedule", "model": "pipeline", "data": "s.npz"}
    lines |= {"extractor": "schedule_toys:Pixels"} | changes
    write(run_in, "".join(f"{k}: {v}\n" for k, v in lines.items() if v is not None))
    assert refused().startswith(said)
