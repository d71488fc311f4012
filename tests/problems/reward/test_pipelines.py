"""The reward problem on stock pipelines: pools of real classes with tiny random weights."""

import inspect
import json
import pickle

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from lower.hub_server import COMMIT, serving
from lower.sampling.pipelines.tiny_pipelines import FAMILIES, LABELS, PROMPTS, save
from text_rewards import DyingContrast, asked, brightness, contrast

from raybilevel import RewardTuning, RunConfig, ScalingConfig, Variable
from raybilevel.errors import InputError
from raybilevel.lower.sampling.pipelines.description import PipelineDescription
from raybilevel.problems.base import Output, Status
from raybilevel.runtime.checkpoints import Checkpoints
from raybilevel.runtime.client import drive
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.run_spec import RunSpec
from raybilevel.runtime.storage import RunDirectory

STEPS = 2


def tuning(directory, name="Stable Diffusion", **changes):
    given = {
        "model": str(directory), "prompts": LABELS if name == "DiT" else PROMPTS,
        "lower_reward": brightness, "upper_reward": contrast,
        "lambda_": Variable("lambda", 5.0, 0.5, 50.0, "log"), "sampling_steps": STEPS,
        "samples_per_prompt": 8, "max_pool_size": 24, "shard_size": 10,
        "call_options": FAMILIES[name][1],
    }  # fmt: skip
    if "without T5" in name:
        given["model_options"] = {"text_encoder_3": None, "tokenizer_3": None}
    return RewardTuning(**given | changes)


@pytest.fixture(scope="module")
def sd(tmp_path_factory):
    return save(tmp_path_factory.mktemp("sd") / "pipeline", "Stable Diffusion")


def stock(problem):
    """The stock pipeline, by diffusers' own loading."""
    without = dict.fromkeys(problem.model_options.without or ())
    pipeline = DiffusionPipeline.from_pretrained(problem.model, **without)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def alone(pipeline, problem, seed, condition):
    """What the stock call draws alone."""
    given = {"prompt": condition}
    if problem.prompts[0] == LABELS[0]:
        given = {"class_labels": [0 if condition == "tench" else condition]}
    images = pipeline(
        **given, **problem.call_options, generator=torch.Generator().manual_seed(seed),
        num_inference_steps=STEPS, output_type="np",
    ).images  # fmt: skip
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@pytest.mark.parametrize("name", FAMILIES)
def test_each_row_of_a_pool_is_what_the_stock_call_draws_alone(name, tmp_path):
    problem = tuning(save(tmp_path / "pipeline", name), name)
    run, rows = run_locally(problem, RunConfig(max_rounds=2))
    state, conditions = run.state, problem.prompt_list.conditions
    pipeline, seen = stock(problem), []
    part = getattr(pipeline, "unet", None) or pipeline.transformer
    priors = [p for p in [getattr(pipeline, "prior_prior", None)] if p is not None]
    for module in [part, *priors]:
        module.register_forward_hook(lambda m, given, out: seen.append(len(out[0])))
    for i in (0, 3, len(state["pool/seed"]) - 1):
        seed, prompt = int(state["pool/seed"][i]), conditions[state["pool/prompt"][i]]
        image = alone(pipeline, problem, seed, prompt)
        assert abs(brightness(image)[0] - state["pool/lower.lower"][i]) < 1e-4
        assert abs(contrast(image)[0] - state["pool/upper"][i]) < 1e-4
    assert rows[-1]["nfe_total"] == len(state["pool/seed"]) * sum(seen) / 3
    assert {f"seconds/{p}" for p in ("encoder", "denoiser", "decoder", "rewards")} <= rows[
        -1
    ].keys()


def test_rewards_vary_within_a_prompt_and_are_read_with_it(sd):
    problem = tuning(sd, lower_reward=asked)
    state = run_locally(problem, RunConfig(max_rounds=4))[0].state
    for place in range(3):
        assert state["pool/lower.lower"][state["pool/prompt"] == place].std() > 0.005


def assert_same_bits(directory, local):
    run, rows = local
    state = Checkpoints(directory).read().state
    for name, value in run.state.items():
        assert state[name].tobytes() == value.tobytes(), name
    history = directory.read_table("history")
    assert history["nfe_total"].tolist() == [row["nfe_total"] for row in rows]


def test_bits_of_a_text_model_do_not_depend_on_workers_deaths_or_drivers(sd, tmp_path, cluster):
    """One worker, then another driver with two of which one is killed, against none."""
    dying = DyingContrast(tmp_path)
    problem = tuning(sd, upper_reward=dying, lower_reward=asked)
    for workers, rounds in ((1, 2), (2, None)):
        run = RunConfig(name="run", storage_path=str(tmp_path), seed=5, max_rounds=rounds)
        scaling = ScalingConfig(num_workers=workers)
        notes = []
        drive(RunSpec(problem, scaling, run, "run"), lambda p, n=notes: n.extend(p.notes))
    assert (tmp_path / "died").exists()
    assert any("draws 3 x 16 x 16 images for 4 NFE" in note for note in notes)
    quiet = run_locally(tuning(sd, lower_reward=asked), RunConfig(seed=5))
    assert_same_bits(RunDirectory(str(tmp_path), "run"), quiet)


def test_bits_of_a_text_models_ladder_do_not_depend_on_workers_deaths_or_drivers(
    sd, tmp_path, cluster
):
    """One worker, which is killed, to the first rung; another driver goes on with two."""
    ladder = {"estimator": "annealed", "samples_per_prompt": 80, "max_pool_size": 240}
    problem = tuning(sd, upper_reward=DyingContrast(tmp_path), lower_reward=asked, **ladder)
    for workers, rounds in ((1, 3), (2, 6)):
        run = RunConfig(name="run", storage_path=str(tmp_path), seed=5, max_rounds=rounds)
        drive(RunSpec(problem, ScalingConfig(num_workers=workers), run, "run"), lambda _: None)
    assert (tmp_path / "died").exists()
    quiet = run_locally(tuning(sd, lower_reward=asked, **ladder), RunConfig(seed=5, max_rounds=6))
    assert len(quiet[0].state["rungs_scale"]) > 1
    assert_same_bits(RunDirectory(str(tmp_path), "run"), quiet)


def test_batches_within_a_shard_leave_samples_as_they_are(sd):
    whole = run_locally(tuning(sd), RunConfig(max_rounds=1))[0].state
    parts = run_locally(tuning(sd, batch_size=3), RunConfig(max_rounds=1))[0].state
    np.testing.assert_allclose(parts["pool/upper"], whole["pool/upper"], atol=1e-4)


def test_samples_of_p_x_are_drawn_with_their_prompts(sd):
    problem = tuning(sd)
    run, _ = run_locally(problem)
    assert problem.samples(run.state, 5, seed=0, device="cpu").shape == (5, 3, 16, 16)
    assert run.state["samples_after"].shape == (24, 3, 16, 16)


def test_what_a_run_exports_draws_the_same_images_by_the_stock_call(sd, tmp_path):
    problem = tuning(sd)
    run, _ = run_locally(problem)
    problem.export(run.state, tmp_path)
    told = json.loads((tmp_path / "pipeline" / "call.json").read_text())
    dtype = getattr(torch, told["dtype"])
    pipeline = DiffusionPipeline.from_pretrained(tmp_path / "pipeline", dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    seed, place = int(run.state["pool/seed"][0]), run.state["pool/prompt"][0]
    image = alone(pipeline, problem, seed, problem.prompt_list.conditions[place])
    assert abs(contrast(image)[0] - run.state["pool/upper"][0]) < 1e-4


def test_a_run_exports_the_dtype_that_most_of_its_samples_were_drawn_in(sd, tmp_path):
    problem = tuning(sd)
    state = run_locally(problem, RunConfig(max_rounds=1))[0].state
    assert state["drawn_in_float32"] == len(state["pool/seed"])
    problem.export(state | {"drawn_in_bfloat16": np.array(10**6)}, tmp_path)
    assert json.loads((tmp_path / "pipeline" / "call.json").read_text())["dtype"] == "bfloat16"


def test_a_function_that_returns_a_pipeline_draws_what_its_directory_does(sd):
    def whole():
        return DiffusionPipeline.from_pretrained(sd)

    run = RunConfig(max_rounds=1)
    theirs = run_locally(tuning(sd, model=whole), run)[0].state
    ours = run_locally(tuning(sd), run)[0].state
    np.testing.assert_array_equal(theirs["pool/upper"], ours["pool/upper"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": lambda: 3}, "takes no arguments, so that it must return a diffusers pipeline"),
        ({"prompts": (" ",)}, "the prompt at place 1 is empty; give words, or drop it"),
        ({"dtype": "float32"}, "the model is a callable, which loads its own weights"),
    ],
    ids=["no pipeline", "a prompt", "dtype"],
)
def test_what_a_function_returns_is_refused_before_the_first_shard(sd, changes, said):
    given = {"model": lambda: DiffusionPipeline.from_pretrained(sd)} | changes
    with pytest.raises(InputError) as refused:
        tuning(sd, **given).worker("cpu")
    assert said in str(refused.value)


def test_a_model_of_the_hub_is_named_by_its_commit_and_exported_by_name(sd, tmp_path, monkeypatch):
    with serving(monkeypatch, tmp_path / "cache") as hub:
        hub.publish("owner/painter", sd)
        problem = tuning(sd, model="owner/painter").pinned()
        assert problem.model_options.commit == COMMIT
        problem.check()
        assert not any(name.endswith("safetensors") for name in hub.downloads())
        state = run_locally(problem, RunConfig(max_rounds=1))[0].state
        problem.export(state, tmp_path)
        problem.but(export_weights=True).source.export(tmp_path / "whole")
    told = json.loads((tmp_path / "pipeline" / "call.json").read_text())
    assert (told["model"], told["from_pretrained"]["revision"]) == ("owner/painter", COMMIT)
    assert told["call"] == {"num_inference_steps": STEPS, "guidance_scale": 4.0}
    assert {p.name for p in (tmp_path / "pipeline").iterdir()} == {"call.json", "scheduler"}
    DiffusionPipeline.from_pretrained(tmp_path / "whole" / "pipeline")
    own = run_locally(tuning(sd), RunConfig(max_rounds=1))[0].state
    np.testing.assert_array_equal(state["pool/upper"], own["pool/upper"])


def test_a_run_goes_on_with_the_commit_that_it_began_with(sd):
    stored = {"model_options": {"revision": "main", "commit": COMMIT}}
    problem = tuning(sd, model="owner/painter", model_options={"revision": "main"})
    assert problem.pinned(stored).model_options.commit == COMMIT


def test_a_loaded_pipeline_is_no_model(sd):
    with pytest.raises(InputError, match="is a loaded StableDiffusionPipeline, which is not sent"):
        tuning(sd, model=DiffusionPipeline.from_pretrained(sd)).check()


def test_a_batch_size_of_one_is_one_from_the_probe_on(sd):
    problem = tuning(sd, batch_size=1)
    seen = []
    sampler = problem.source.sampler("cpu")
    sampler.pipeline.unet.register_forward_hook(lambda m, given, out: seen.append(len(out[0])))
    sampler.probe()
    sampler.draw([1, 2, 3], ["cat", "dog", "cat"])
    assert set(seen) == {2}  # with guidance


def test_nfe_of_a_sample_is_known_for_comparisons(sd):
    assert tuning(sd).evaluation_cost().whole == 24 * 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"prompts": None, "samples_per_prompt": None, "max_pool_size": None},
            "draws from prompts, but prompts is missing; give some",
        ),
        ({"prompts": ("cat", " ")}, "the prompt at place 2 is empty; give words, or drop it"),
        ({"prompts": ("cat " * 40,)}, "but the tokenizer of model"),
        ({"prompts": (3,)}, "prompts has 3, but model"),
        ({"call_options": {"guidance": 3}}, "call_options has 'guidance', but what Stable"),
        ({"call_options": {"num_inference_steps": 3}}, "give it as sampling_steps"),
        ({"scheduler": {"class": "DDIMScheduler", "option": {}}}, "but it is written {class: NAME"),
        ({"scheduler": {"class": "FastScheduler"}}, "scheduler.class is 'FastScheduler', but"),
        ({"sampling_steps": 2000}, "sampling_steps is 2000, but model"),
        ({"upper_reward": lambda images, *, size: 0}, "is used as (images, *, size), but a"),
        ({"upper_reward": "inkk"}, "there is no built-in 'inkk'"),
    ],
    ids=[
        "missing", "empty", "long", "a number", "option", "steps as option", "options", "scheduler",
        "steps",
        "arguments", "reward",
    ],
)  # fmt: skip
def test_what_json_and_tokenizers_tell_is_refused_before_anything_starts(sd, changes, said):
    with pytest.raises(InputError) as refused:
        tuning(sd, **changes).check()
    assert said in str(refused.value)


def test_files_are_read_once_for_the_check_and_the_remarks_of_all_processes(sd, monkeypatch):
    read, own = [], PipelineDescription.tokenizer
    monkeypatch.setattr(
        PipelineDescription, "tokenizer", lambda self, part: read.append(part) or own(self, part)
    )
    problem = RewardTuning(
        model=str(sd), prompts=PROMPTS, lower_reward="ink", upper_reward="ink", pool_size=6
    )
    problem.check()
    assert pickle.loads(pickle.dumps(problem)).remarks() == problem.remarks()
    assert read == ["tokenizer"]


def test_a_reward_that_fails_on_what_the_model_draws_is_refused_before_the_first_shard(sd):
    def eight(images):
        return images.reshape(-1, 64).mean(1)

    with pytest.raises(InputError, match=r"reward 'upper' returned numbers of shape \(24,\)"):
        tuning(sd, upper_reward=eight).worker("cpu")


def test_samples_that_a_safety_checker_blackens_end_the_run(sd, monkeypatch):
    from diffusers import StableDiffusionPipeline

    call = StableDiffusionPipeline.__call__

    def checked(self, *args, **kwargs):
        output = call(self, *args, **kwargs)
        output.nsfw_content_detected = [i == 0 for i in range(len(output.images))]
        return output

    checked.__signature__ = inspect.signature(call)
    monkeypatch.setattr(StableDiffusionPipeline, "__call__", checked)
    problem = tuning(sd, shard_size=3)
    run, rows = run_locally(problem)
    assert run.stop.status is Status.STOPPED
    assert "blackened 2 of 6 samples" in run.stop.reason
    assert rows[-1]["pool_size"] == 6
    again = problem.run_round(1, run.state)  # a stop that is taken back for a larger budget
    next(again)
    with pytest.raises(StopIteration) as end:
        again.send(Output(rows={"pool/seed": np.empty(0, np.int64)}))
    assert "blackened 2 of 6 samples" in end.value.value.stop.reason


def test_a_pipeline_whose_noise_can_be_given_is_not_fixed_and_its_noise_is_its_images(sd):
    problem = tuning(sd)
    sampler = problem.source.sampler("cpu")
    assert problem.source.why_fixed() is None
    noise = sampler.noise([3, 4])  # without a probe, as where a result shows samples
    given = sampler.draw_noise(noise, PROMPTS[:2]).samples
    torch.testing.assert_close(given, sampler.draw([3, 4], PROMPTS[:2]).samples, rtol=0, atol=1e-5)
    sampler.probe()
    assert sampler.why_fixed is None


def test_a_pipeline_that_takes_other_numbers_from_its_generators_is_fixed(sd):
    def shifted():
        pipeline = DiffusionPipeline.from_pretrained(sd)
        prepare = pipeline.prepare_latents

        def with_uniforms(*args):
            generators = args[-2]
            shifts = [torch.rand(1, generator=g) for g in generators]
            return prepare(*args) + torch.stack(shifts)[:, :, None, None]

        pipeline.prepare_latents = with_uniforms
        return pipeline

    sampler = tuning(sd, model=shifted).source.sampler("cpu")
    sampler.probe()
    assert sampler.why_fixed.startswith("model draws noise by rand, where it cannot be given")
