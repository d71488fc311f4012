"""A schedule with a teacher, on mnist-sd: rounds, what they promise, what is left behind."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

pytest.importorskip(
    "transformers", reason="text models need the extra 'text', with which CI runs these tests apart"
)

from diffusers import DiffusionPipeline
from hypothesis import given, settings
from hypothesis import strategies as st
from lower.sampling.pipelines.tiny_pipelines import save
from schedule_toys import done
from text_rewards import DyingContrast, contrast

from raybilevel import BilevelTuner, RunConfig, SamplingSchedule, ScalingConfig, config_file
from raybilevel.config_file import Config
from raybilevel.errors import InputError, RunError
from raybilevel.lower.sampling.pipelines.loading import scheduler_like
from raybilevel.problems.base import Status
from raybilevel.problems.schedule.space import ScheduleSpace, make_schedule
from raybilevel.problems.schedule.teacher.objectives.natural_step import NaturalSlopes
from raybilevel.problems.schedule.teacher.objectives.update import Slopes, Trial
from raybilevel.problems.schedule.teacher.pasted import pasted
from raybilevel.problems.schedule.teacher.problem import TeacherSchedule
from raybilevel.problems.schedule.teacher.shards import Through
from raybilevel.problems.schedule.teacher.space import SigmaSpace
from raybilevel.report import finish
from raybilevel.runtime.checkpoints import Checkpoints
from raybilevel.runtime.rounds import run_locally
from raybilevel.upper.optimisers.gauss_newton import ResidualSums

EULER = {"class": "EulerDiscreteScheduler", "options": {"timestep_spacing": "trailing"}}
PROMPTS = ("a thin three", "a thick seven", "a thin zero")
SMALL = {
    "model": "mnist-sd", "objective": "teacher", "sampling_steps": 3, "prompts": PROMPTS,
    "solver": EULER, "teacher": {"steps": 12}, "call_options": {"guidance_scale": 3.0},
    "estimation": {"samples": 8, "first_samples": 4, "shard_size": 2},
    "optimizer": {"updates": 3}, "comparison": {"samples": 16},
}  # fmt: skip


REWARDED = {
    "optimizer": {"updates": 2},
    "estimation": {"samples": 16, "first_samples": 16, "shard_size": 8},
}


def tuning(**changes):
    return SamplingSchedule(**SMALL | changes)


@pytest.fixture(scope="module")
def ended():
    return run_locally(tuning(), RunConfig(seed=3))


@pytest.fixture(scope="module")
def several():
    """Of 2 and of 4 steps."""
    return run_locally(tuning(sampling_steps=(2, 4)), RunConfig(seed=3))


@pytest.fixture(scope="module")
def several_exported(several, tmp_path_factory):
    directory = tmp_path_factory.mktemp("several")
    tuning(sampling_steps=(2, 4)).export(several[0].state, directory)
    return directory


@pytest.fixture(scope="module")
def exported(ended, tmp_path_factory):
    directory = tmp_path_factory.mktemp("exported")
    tuning().export(ended[0].state, directory)
    return directory


def test_a_schedule_with_a_teacher_is_a_sampling_schedule_in_yaml(tmp_path):
    problem = tuning()
    assert isinstance(problem, TeacherSchedule)
    written = config_file.dump(Config(problem, ScalingConfig(), RunConfig()))
    (tmp_path / "config.yaml").write_text(written)
    read = config_file.read(tmp_path / "config.yaml")
    assert read.kind == "sampling_schedule"
    assert read.problem == problem == pickle.loads(pickle.dumps(problem))


def test_each_update_goes_down_on_the_noises_that_it_saw(ended):
    run, rows = ended
    assert rows[-1]["upper_loss"] < 0.7 * rows[0]["upper_loss"]
    assert [rows[i]["noises"] for i in (0, -1)] == [4, 8]
    assert run.stop.status in (Status.CONVERGED, Status.BUDGET, Status.AT_BOUND)


@pytest.mark.parametrize("steps", [3, (2, 4)], ids=["one list", "two lists"])
def test_slopes_are_those_of_the_objective(ended, several, steps):
    """J'r is the central difference of the mean itself, on the same noises."""
    problem, state = tuning(sampling_steps=steps), (ended if steps == 3 else several)[0].state
    rounds, worker = problem.rounds, problem.worker("cpu")

    objective = rounds.objectives[-1]
    slopes = done(objective.slopes(state), worker)
    assert isinstance(slopes, Slopes)
    pairs = problem.space.pairs(state["x"])
    points = [problem.space.inner.from_unit(u) for u in pairs.points]

    def squares(points):
        lists = [Through(sigmas=s, exact=True) for x in points for s in problem.space.lists(x)]
        return done(objective.scores(state, lists), worker).reshape(
            -1, len(points), len(problem.counts)
        )

    means = squares(points).mean(axis=0)
    changes = (means[0::2] - means[1::2]) / (2 * pairs.delta)
    between = slopes.lists.squares / slopes.lists.count
    found = np.prod(between) ** (1 / len(between)) * (changes / between).mean(axis=1)
    np.testing.assert_allclose(slopes.gradient, found, rtol=1e-4, atol=1e-6 * np.abs(found).max())
    at_x = squares([state["x"]]).mean(axis=0)[0]
    np.testing.assert_allclose(between, at_x, rtol=0.1)
    value = done(rounds.tried(state, [state["x"]], objective), worker).value(0)[0]
    assert value == pytest.approx(np.prod(at_x) ** (1 / len(at_x)), rel=1e-12)


def test_lists_of_several_numbers_of_steps_lie_on_one_curve(several, several_exported):
    run, rows = several
    problem = tuning(sampling_steps=[4, 2, 4])
    assert problem.counts == (2, 4)
    short, long = problem.space.lists(run.state["x"])
    assert short == (long[0], long[2])  # t = 1 and 1/2 of four knots
    assert rows[-1]["upper_loss"] < 0.8 * rows[0]["upper_loss"]

    said = json.loads((several_exported / "schedule.json").read_text())
    assert [one["sigmas_visited"] for one in said["lists"]] == [list(short), list(long)]
    call = json.loads((several_exported / "pipeline" / "call.json").read_text())["call"]
    assert call["sigmas"] == said["lists"][1]["sigmas"]
    assert pasted(said, "diffusers", "runs/x").count(".images") == 2
    assert pasted(said, "comfyui", "runs/x").count("ManualSigmas") == 2


def test_each_number_of_steps_is_compared_with_samplers_of_as_many_evaluations(
    several, several_exported
):
    table = pd.read_parquet(several_exported / "comparison.parquet")
    learned = table[table["subject"] == "learned"]
    assert learned["sampling_steps"].tolist() == [2, 4]
    value = several[1][-1]["upper_loss"]
    assert value == pytest.approx(np.sqrt(learned["distance"].prod()), rel=1e-9)
    for steps, part in table.groupby("sampling_steps"):
        assert (part["nfe"] <= 2 * steps).all()  # with guidance
        gaps = part["distance"].iloc[0] - part["distance"]
        np.testing.assert_allclose(part["gap"], gaps, atol=1e-12)
    assert sorted(p.stem for p in (several_exported / "samples").iterdir()) == [
        "best-stock-2", "best-stock-4", "learned-2", "learned-4", "teacher",
    ]  # fmt: skip


def test_each_list_of_flow_matching_begins_with_pure_noise_and_goes_on_along_the_curve():
    bounds = (-6.0, 6.0)
    inner = ScheduleSpace(make_schedule("knots", 7, bounds, {}), 7, bounds)
    short, long = SigmaSpace(inner, True, (4, 8)).lists(np.linspace(-5, 5, 7))
    assert long == (1, *SigmaSpace(inner, True, (8,)).sigmas(np.linspace(-5, 5, 7))[1:])
    assert short == pytest.approx(long[::2])  # t = 1, 3/4, 1/2, 1/4


def test_the_list_is_pasted_into_a_stock_call_that_draws_our_images(ended, exported):
    said = json.loads((exported / "schedule.json").read_text())
    assert said["call"] == f"pipe(prompt, guidance_scale=3.0, sigmas={said['sigmas']})"
    assert said["sigmas"][-1] == 0
    assert said["sigmas_visited"] == said["sigmas"][:-1]
    assert said["key"]["scheduler"] == "EulerDiscreteScheduler"
    assert said["key"]["dtype"] == "float32"

    call = json.loads((exported / "pipeline" / "call.json").read_text())["call"]
    assert call == {"guidance_scale": 3.0, "sigmas": said["sigmas"]}
    stock = DiffusionPipeline.from_pretrained(exported / "pipeline")
    stock.set_progress_bar_config(disable=True)
    ours = tuning().samples(ended[0].state, 2, 9, "cpu")
    seeds = worker_seeds(2, 9)
    for i, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed)
        image = stock(PROMPTS[i], generator=generator, output_type="np", **call).images[0]
        np.testing.assert_allclose(image.transpose(2, 0, 1), ours[i].numpy(), atol=1e-4)


def worker_seeds(count, seed):
    from raybilevel.problems.seeds import sample_seeds, seed_base

    return sample_seeds(seed_base(seed), 0, count)


def test_the_comparison_has_stock_samplers_on_the_same_noises(exported):
    table = pd.read_parquet(exported / "comparison.parquet")
    assert table["subject"].tolist()[:3] == ["learned", "start of the search", "own"]
    assert {"own", "dpm++ 2m trailing", "unipc 2 trailing", "euler trailing"} <= set(
        table["subject"]
    )
    assert np.isfinite(table.drop(columns="subject")).all(axis=None)
    assert (table["nfe"] <= table["nfe"][0]).all()
    gaps = table["distance"][0] - table["distance"]
    np.testing.assert_allclose(table["gap"], gaps, atol=1e-12)
    assert sorted(p.name for p in (exported / "samples").iterdir()) == [
        "best-stock.png", "learned.png", "teacher.png",
    ]  # fmt: skip


def test_the_objective_at_given_levels_is_that_of_the_stock_call(ended):
    """A teacher and a list by diffusers alone: the mean of squared differences of latents."""
    problem = tuning()
    end = {"x": ended[0].state["x"]}
    run, (row,) = run_locally(problem.evaluation([end, end], samples=4), RunConfig(seed=3))
    assert run.state["scores"][0] == run.state["scores"][1] == row["upper_loss"]
    stock = DiffusionPipeline.from_pretrained(problem.source.pipeline.files)
    stock.set_progress_bar_config(disable=True)
    sigmas = [*problem.space.sigmas(end["x"]), 0.0]
    found = []
    for draws in (shard.draws for shard in problem.plan.teach(run.state["seed_base"], 0, 4).shards):
        for seed, prompt in zip(draws.seeds, draws.prompts, strict=True):

            def latents(scheduler, seed=seed, prompt=prompt, **given):
                stock.scheduler = scheduler_like(stock.scheduler, scheduler)
                generator = torch.Generator().manual_seed(seed)
                return stock(
                    PROMPTS[prompt], guidance_scale=3.0, generator=generator,
                    output_type="latent", **given,
                ).images  # fmt: skip

            teacher = latents(
                {"class": "DPMSolverMultistepScheduler",
                 "options": {"timestep_spacing": "trailing"}}, num_inference_steps=12,
            )  # fmt: skip
            found.append(float((latents(EULER, sigmas=sigmas) - teacher).square().mean()))
    assert row["upper_loss"] == pytest.approx(np.mean(found), rel=1e-3)


@pytest.fixture(scope="module")
def rewarded():
    """For contrast, once it is near to the teacher's samples."""
    return run_locally(tuning(objective=contrast, **REWARDED), RunConfig(seed=3))


def test_bits_do_not_depend_on_workers_deaths_or_drivers(rewarded, tmp_path, cluster, capsys):
    """One worker, then another driver with two of which one is killed, against none; its report."""
    problem = tuning(objective=DyingContrast(tmp_path), **REWARDED)
    for workers, rounds in ((1, 2), (2, None)):
        run = RunConfig(name="run", storage_path=str(tmp_path), seed=3, max_rounds=rounds)
        scaling = ScalingConfig(num_workers=workers)
        result = BilevelTuner(problem, scaling, run, watch=lambda _: None).resuming().fit()
    assert (tmp_path / "died").exists()
    state = Checkpoints(result.directory).read().state
    assert {"x", "taught", "sigmas", "rival_steps"} <= state.keys()
    for name, value in rewarded[0].state.items():
        assert state[name].tobytes() == value.tobytes(), name

    finish(result)
    said = capsys.readouterr().out
    assert "paste           pipe(prompt, guidance_scale=3.0, sigmas=[" in said
    assert "3 steps         reward, and distance to the teacher, on noises not tuned on" in said
    assert result.directory.has("pictures/schedule.png")
    assert result.directory.has("pictures/samples.png")


def test_a_schedule_for_a_reward_comes_near_to_the_teacher_and_then_to_the_reward(rewarded):
    run, rows = rewarded
    of_teacher = [row for row in rows if "teacher_distance" in row]
    of_reward = [row for row in rows if "teacher_distance" not in row]
    assert len(of_teacher) == 1 + 2
    assert np.isnan([row["upper_loss"] for row in of_teacher]).all()
    assert of_teacher[-1]["teacher_distance"] < of_teacher[0]["teacher_distance"]
    assert of_reward[1]["upper_loss"] < of_reward[0]["upper_loss"]  # on the same noises
    assert run.state["updates"].tolist()[0] == 2
    problem = tuning(objective=contrast, **REWARDED)
    ends = [{"x": run.state[x]} for x in ("x_start", "x")]
    scored, _ = run_locally(problem.evaluation(ends, samples=32), RunConfig(seed=8))
    before, after = scored.state["scores"]
    assert after < before


def test_slopes_of_a_reward_are_those_of_its_mean(rewarded):
    problem = tuning(objective=contrast, sampling_steps=(2, 3), **REWARDED)
    objective, worker = problem.rounds.objectives[-1], problem.worker("cpu")
    state = rewarded[0].state
    slopes = done(objective.slopes(state), worker)
    pairs = problem.space.pairs(state["x"])
    lists = [
        Through(sigmas=sigmas, exact=True) for u in pairs.points for sigmas in problem.space.at(u)
    ]
    means = done(objective.scores(state, lists), worker).mean(axis=0).reshape(-1, 2).mean(axis=1)
    found = (means[0::2] - means[1::2]) / (2 * pairs.delta)
    np.testing.assert_allclose(slopes.gradient, found, rtol=1e-9)


def no_number(images):
    return images.flatten(1).sum(1) * np.nan


def test_a_reward_that_gives_no_number_ends_a_run_before_it_begins():
    problem = tuning(objective=no_number, **REWARDED)
    with pytest.raises(RunError, match=r"^reward 'objective' gave nan for the sample of seed"):
        run_locally(problem, RunConfig(max_rounds=1))


def test_a_curve_whose_one_level_is_held_has_nothing_to_gain():
    problem = tuning(schedule="cosine", sampling_steps=(1, 3), comparison={"samples": 0})
    _, rows = run_locally(problem, RunConfig(seed=3))
    assert np.isfinite([row["upper_loss"] for row in rows]).all()


def test_of_a_rewards_steps_the_best_that_is_sure_is_taken():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(64, 1))
    each = np.hstack([0 * noise, -0.02 + 0.1 * (noise - noise.mean()), -0.018 + 0.02 * noise])
    trial = Trial(each)
    assert trial.best != trial.surest == 2
    assert Trial(each[:, :2]).surest == 0


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.3, 0.6, 1.0]), min_size=3, max_size=3), st.integers(0, 99))
def test_the_way_of_a_reward_stays_in_the_box_and_goes_down(places, seed):
    rng, u = np.random.default_rng(seed), np.array(places)
    root = rng.normal(size=(3, 3))
    sums = ResidualSums(1.0, rng.normal(size=3), root @ root.T)
    way = NaturalSlopes(sums, sums.gradient, sums.gradient)._way(u)
    assert ((way >= 0) | (u > 0)).all()
    assert ((way <= 0) | (u < 1)).all()
    assert way @ sums.slopes <= 1e-12
    assert np.abs(way).max() == pytest.approx(1) or not way.any()


def test_what_is_said_of_a_reward_is_that_of_the_stock_calls_images(rewarded, tmp_path):
    run, rows = rewarded
    problem = tuning(objective=contrast, **REWARDED)
    problem.export(run.state, tmp_path)
    table = pd.read_parquet(tmp_path / "comparison.parquet")
    assert table["reward"][0] == pytest.approx(-rows[-1]["upper_loss"], rel=1e-9)
    gaps = table["reward"][0] - table["reward"]
    np.testing.assert_allclose(table["reward_gap"], gaps, atol=1e-9)
    stock = DiffusionPipeline.from_pretrained(tmp_path / "pipeline")
    stock.set_progress_bar_config(disable=True)
    call = json.loads((tmp_path / "pipeline" / "call.json").read_text())["call"]
    drawn = []
    for shard in problem.plan.compare(run.state["seed_base"], 16, []).shards:
        for seed, prompt in zip(shard.draws.seeds, shard.draws.prompts, strict=True):
            generator = torch.Generator().manual_seed(seed)
            image = stock(PROMPTS[prompt], generator=generator, output_type="pt", **call).images
            drawn.append(float(contrast(image)))
    assert table["reward"][0] == pytest.approx(np.mean(drawn), abs=1e-4)


def test_whole_timesteps_are_the_best_of_those_near(tmp_path):
    problem = tuning(solver="dpm++", optimizer={"updates": 1}, comparison={"samples": 0})
    run, rows = run_locally(problem, RunConfig(seed=3))
    problem.export(run.state, tmp_path)
    said = json.loads((tmp_path / "schedule.json").read_text())
    assert all(isinstance(t, int) for t in said["timesteps"])
    assert len(set(said["timesteps"])) == 3
    known = problem.source.lists(np.nan)
    np.testing.assert_array_equal(said["sigmas_visited"], known.sigmas_at(said["timesteps"]))
    exact = np.array(problem.space.sigmas(run.state["x"]))
    moved = np.abs(np.array(said["timesteps"]) - known.timesteps(exact))
    assert moved.max() <= 1
    assert rows[-1]["upper_loss"] > 0


def test_the_first_level_of_flow_matching_is_pure_noise(tmp_path):
    directory = save(tmp_path / "flux", "Flux")
    problem = SamplingSchedule(
        model=str(directory), objective="teacher", sampling_steps=3, prompts=["a red cat"],
        teacher={"steps": 6}, optimizer={"updates": 1}, comparison={"samples": 16},
        estimation={"samples": 4, "first_samples": 4, "shard_size": 2},
        call_options={"height": 16, "width": 16},
    )  # fmt: skip
    problem.check()
    assert [v.name for v in problem.variables] == ["logsnr_0", "logsnr_1"]
    run, _ = run_locally(problem, RunConfig(seed=1))
    ends = [{"x": run.state[x]} for x in ("x_start", "x")]
    before, after = run_locally(problem.evaluation(ends), RunConfig(seed=1))[0].state["scores"]
    assert after <= before
    problem.export(run.state, tmp_path)
    said = json.loads((tmp_path / "schedule.json").read_text())
    assert said["sigmas"][0] == said["sigmas_visited"][0] == 1
    assert len(said["sigmas"]) == 3
    assert said["sigmas"] != said["sigmas_visited"]  # the shift is undone
    rivals = set(pd.read_parquet(tmp_path / "comparison.parquet")["subject"])
    assert "flow euler karras" in rivals
    assert not any("heun" in name for name in rivals)  # which Flux's call cannot have


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"solver": None}, "^model 'mnist-sd' without solver: DDIMScheduler takes no list of noi"),
        ({"solver": "ddim"}, "^solver: DDIMScheduler takes no list of noise levels; take EulerDi"),
        ({"solver": {"class": "DDPMScheduler"}}, "^solver: DDPMScheduler as it is configured adds"),
        ({"solver": "euler"}, "^solver is 'euler', but with objective 'teacher' it is {class, op"),
        ({"solver": {"class": "Nowhere"}}, "^scheduler.class is 'Nowhere', but diffusers"),
        ({"teacher": {"steps": 3}}, "^teacher.steps is 3, but a teacher has more steps than samp"),
        ({"prompts": None}, "prompts"),
        ({"data": "digits"}, "^data is given, but with objective 'teacher' no data are looked at"),
        (
            {"penalty": {}},
            "^penalty is given, but with objective 'teacher' nothing is trained",
        ),
        (
            {
                "solver": {
                    "class": "DPMSolverMultistepScheduler",
                    "options": {"algorithm_type": "sde-dpmsolver++"},
                }
            },
            "^solver: DPMSolverMultistepScheduler as it is configured adds noise of its own at",
        ),
        (
            {"teacher": {"scheduler": {"class": "EulerAncestralDiscreteScheduler"}}},
            "^teacher.scheduler: EulerAncestralDiscreteScheduler as it is configured adds noise",
        ),
        ({"call_options": {"sigmas": [3.0]}}, "^call_options has sigmas, but the list is what is"),
        ({"comparison": {"steps": [0]}}, "^comparison.steps.0 is 0: input should be greater than"),
        ({"model": len}, "^model .* is a function, which workers alone call, but the noise"),
        ({"estimation": {"samples": 2}}, "^estimation.samples is 2, below first_samples 16; it"),
        ({"estimation": {"shard_size": 16}}, "^estimation.shard_size is 16, but errors come from"),
        ({"comparison": {"samples": 3}}, "^comparison.samples is 3; it must be at least 16, or 0"),
        ({"sampling_steps": [4, "x"]}, "^sampling_steps is .4, 'x'.; it must be a whole number, a"),
        ({"objective": None}, "^objective is None; it must be 'teacher', a reward, or with data"),
        ({"objective": "asked_digits"}, "^objective is 'asked_digits', but .*, or it is 'teacher'"),
        ({"sampling_steps": 0}, "^sampling_steps is 0; it must be a whole number, at least 1, or"),
        ({"sampling_steps": []}, r"^sampling_steps is \[\]; it must be a whole number, at least"),
        ({"sampling_steps": [4, 12]}, "^teacher.steps is 12, but a teacher has more steps than "),
        ({"call_options": {"height": 2, "no": 1}}, "^call_options has 'no', but what StableDiff"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_a_sentence_before_anything_starts(changes, said):
    with pytest.raises(InputError, match=said) as refused:
        tuning(**changes).check()
    assert "\n" not in str(refused.value)


def test_a_curve_goes_to_whole_timesteps_one_at_a_time(tmp_path):
    problem = tuning(
        solver="dpm++", schedule="sigmoid", optimizer={"updates": 1}, comparison={"samples": 0}
    )
    run, _ = run_locally(problem, RunConfig(seed=3))
    known = problem.source.lists(np.nan)
    exact = known.timesteps(np.array(problem.space.sigmas(run.state["x"])))
    assert np.sum(known.timesteps(run.state["sigmas"]) != exact) <= 1


def test_prompts_are_drawn_as_often_as_they_count():
    problem = tuning(prompts=["a zero", "a one", "a one", "a one"])
    stage = problem.plan.teach(np.array(7), 0, 40)
    drawn = [place for shard in stage.shards for place in shard.draws.prompts]
    assert abs(drawn.count(1) - 30) <= 2
    assert {0, 1} == set(drawn[:4])


def test_flow_matching_has_nothing_to_tune_in_one_step(tmp_path):
    directory = save(tmp_path / "sd3", "SD 3")
    problem = tuning(model=str(directory), solver=None, sampling_steps=1, call_options={})
    with pytest.raises(
        InputError, match=r"^sampling_steps is 1, but the first level of flow match"
    ):
        problem.check()


def test_noise_that_a_switch_adds_is_refused(tmp_path):
    directory = save(tmp_path / "sd3", "SD 3")
    solver = {"class": "FlowMatchEulerDiscreteScheduler", "options": {"stochastic_sampling": True}}
    problem = tuning(model=str(directory), solver=solver, call_options={})
    with pytest.raises(InputError, match=r"^solver: FlowMatchEulerDiscreteScheduler as it is conf"):
        problem.check()


def test_a_pipeline_whose_call_takes_no_list_is_refused_by_its_files(tmp_path):
    directory = save(tmp_path / "dit", "DiT")
    problem = tuning(model=str(directory), prompts=[1], solver="dpm++", call_options={})
    with pytest.raises(InputError, match="is a DiTPipeline, whose call takes no timesteps, so th"):
        problem.check()
