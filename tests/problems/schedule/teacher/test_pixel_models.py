"""A schedule with a teacher of a model in pixel space: levels are baked in; FID and KID to data."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from schedule_toys import Pixels, done, save_pipeline, tiny_unet

from raybilevel import Result, RunConfig, SamplingSchedule, ScalingConfig, config_file
from raybilevel.config_file import Config
from raybilevel.errors import InputError
from raybilevel.metrics.fid_kid import FrechetTo, Moments, jackknife
from raybilevel.problems.schedule.real_images.extraction import FeatureExtraction
from raybilevel.problems.schedule.teacher.pasted import pasted
from raybilevel.problems.schedule.teacher.plan import Noises
from raybilevel.problems.schedule.teacher.problem import TeacherSchedule
from raybilevel.problems.schedule.teacher.shards import Features, Through
from raybilevel.problems.seeds import sample_seeds, seed_base
from raybilevel.report.table import Table
from raybilevel.report.teacher import draw, lines, next_steps
from raybilevel.runtime.environment import Environment
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.storage import RunDirectory
from raybilevel.runtime.summary import summarise


class Quarters(torch.nn.Module):
    """Means of 2 x 2 pixels as features, 16 of them."""

    def forward(self, images):
        return torch.nn.functional.avg_pool2d(images, 2).flatten(1)


SMALL = {
    "objective": "fid", "data": "digits", "extractor": Quarters(), "second_extractor": Pixels(),
    "sampling_steps": 2, "teacher": {"steps": 8}, "optimizer": {"updates": 1},
    "estimation": {"samples": 16, "first_samples": 16, "shard_size": 8,
                   "images": 32, "first_images": 32},
    "comparison": {"samples": 128},
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_pipeline(tmp_path_factory.mktemp("model") / "pipeline")


def tuning(model, **changes):
    return SamplingSchedule(**SMALL | {"model": model} | changes)


@pytest.fixture(scope="module")
def ended(model):
    return run_locally(tuning(model), RunConfig(seed=3))


@pytest.fixture(scope="module")
def exported(model, ended, tmp_path_factory):
    directory = tmp_path_factory.mktemp("exported")
    tuning(model).export(ended[0].state, directory)
    return directory


def test_with_a_teacher_it_is_another_problem_also_in_yaml(model, tmp_path):
    problem = tuning(model, extractor="auto", second_extractor="auto")
    assert isinstance(problem, TeacherSchedule)
    written = config_file.dump(Config(problem, ScalingConfig(), RunConfig()))
    (tmp_path / "config.yaml").write_text(written)
    assert config_file.read(tmp_path / "config.yaml").problem == problem


def test_it_comes_near_to_the_teacher_and_then_to_the_data(ended):
    run, rows = ended
    near = [row["teacher_distance"] for row in rows if "teacher_distance" in row]
    fid = [row["upper_loss"] for row in rows if "teacher_distance" not in row]
    assert len(near) == 1 + run.state["updates"][0]
    assert len(fid) == run.state["updates"][1] + 1
    assert all(row["upper_loss_se"] > 0 for row in rows[len(near) :])


@pytest.mark.parametrize("metric", ["fid", "kid"])
def test_slopes_are_those_of_the_metric_without_its_bias(model, ended, metric):
    problem = tuning(model, objective=metric)
    objective, worker = problem.rounds.objectives[-1], problem.worker("cpu")
    state = ended[0].state
    if metric == "kid":
        real = Quarters()(problem.real.folds[0].images)
        state = state | {"real_train": real.numpy()}
    slopes = done(objective.slopes(state), worker)
    pairs = problem.space.pairs(state["x"])
    lists = [
        Through(sigmas=sigmas, exact=True) for u in pairs.points for sigmas in problem.space.at(u)
    ]
    values = done(objective.scores(state, lists), worker).mean(axis=0)
    found = (values[0::2] - values[1::2]) / (2 * pairs.delta)
    np.testing.assert_allclose(slopes.gradient, found, rtol=1e-6, atol=1e-6 * np.abs(found).max())
    assert (slopes.se > 0).all()
    kept = objective.slopes_of(slopes.arrays)
    np.testing.assert_array_equal(kept.sums.slopes, slopes.sums.slopes)


@pytest.mark.parametrize("metric", ["fid", "kid"])
def test_ends_are_evaluated_on_the_same_noises(model, ended, metric):
    state = ended[0].state
    ends = [{"x": state["x"]}, {"x": state["spacings"][0]}, {"x": state["x"]}]
    problem = tuning(model, objective=metric)
    run, (row,) = run_locally(problem.evaluation(ends, samples=20), RunConfig(seed=3))
    scores = run.state["scores"]
    assert row["noises"] == 32  # two a chunk
    assert scores[0] == scores[2] == row["upper_loss"] != scores[1]
    assert (run.state["scores_se"] > 0).all()


def test_an_end_asks_for_no_slopes_that_the_last_update_knows(model, ended):
    rounds, state = tuning(model).rounds, ended[0].state
    stayed = state | {"x": state["slopes_x"]}
    with pytest.raises(StopIteration) as end:
        next(rounds.slopes(stayed, rounds.objectives[-1]))
    np.testing.assert_array_equal(end.value.value.gradient, state["slopes_gradient"])
    for changed in ({"x": state["slopes_x"] + 0.1}, {"judged_noises": np.array(64)}):
        assert next(rounds.slopes(stayed | changed, rounds.objectives[-1])).shards


def test_the_objective_is_the_jackknifes_fid_of_the_samples(model, ended):
    problem, state = tuning(model), ended[0].state
    objective, worker = problem.rounds.objectives[-1], problem.worker("cpu")
    through = Through(sigmas=problem.space.sigmas(state["x"]), exact=True)
    trial = objective.trial(done(objective.scores(state, [through]), worker)[:, None])
    noises = objective.noises(state)
    known = Noises(state["seed_base"], noises)
    (shard,) = problem.plan.values(Features, known, [through], 1).shards
    features = worker.run(shard, {}, 0).rows["features"][:, 0]
    to = FrechetTo(Moments.of(Quarters()(problem.real.folds[0].images).numpy()))
    chunks = [Moments.of(chunk) for chunk in np.split(features, 16)]
    value, se = jackknife(to, chunks, corrected=True)
    assert trial.value(0) == pytest.approx((float(value), float(se)), rel=1e-4)


def test_the_comparison_has_both_metrics_by_both_extractors(ended, exported):
    table = pd.read_parquet(exported / "comparison.parquet")
    assert table["subject"][:2].tolist() == ["learned", "start of the search"]
    assert {"unipc 2 trailing", "euler trailing", "dpm++ 2m karras"} <= set(table["subject"])
    assert (table["nfe"] <= 2).all()
    assert table["fid"][0] == pytest.approx(ended[1][-1]["upper_loss"], rel=1e-12)
    np.testing.assert_allclose(table["fid_gap"], table["fid"][0] - table["fid"], atol=1e-6)
    second = table[["fid_second", "kid_second", "fid_gap_second", "fid_gap_se_second"]]
    assert np.isfinite(second).all(axis=None)
    assert sorted(p.stem for p in (exported / "samples").iterdir()) == [
        "best-stock", "learned", "teacher",
    ]  # fmt: skip


def test_the_pipeline_that_is_left_draws_our_images_by_its_number_of_steps_alone(
    model, ended, exported
):
    from diffusers import DiffusionPipeline

    said = json.loads((exported / "schedule.json").read_text())
    assert said["call"] == "pipe(num_inference_steps=2)"
    assert pasted(said, "diffusers", "runs/x").splitlines() == [
        "from diffusers import DiffusionPipeline",
        "",
        "pipe = DiffusionPipeline.from_pretrained('runs/x/pipeline')",
        "images = pipe(num_inference_steps=2).images",
    ]
    with pytest.raises(InputError, match=r"^ComfyUI loads no models in pixel space; take --to"):
        pasted(said, "comfyui", "runs/x")
    np.testing.assert_allclose(said["sigmas_visited"], ended[0].state["sigmas"])
    stock = DiffusionPipeline.from_pretrained(exported / "pipeline")
    stock.set_progress_bar_config(disable=True)
    seeds = sample_seeds(seed_base(9), 0, 4)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    images = stock(4, generator=generators, num_inference_steps=2, output_type="np").images
    ours = tuning(model).samples(ended[0].state, 4, 9, "cpu")
    np.testing.assert_allclose(images.transpose(0, 3, 1, 2), ours.numpy(), atol=1e-4)


def test_whatever_the_models_own_scheduler_is_the_pipeline_draws_our_images(tmp_path):
    from diffusers import DDPMPipeline, DiffusionPipeline, DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler(
        40, 0.003, 0.3, solver_order=3, solver_type="heun", use_karras_sigmas=True,
        euler_at_final=True,
    )  # fmt: skip
    DDPMPipeline(tiny_unet(), scheduler).save_pretrained(tmp_path / "model")
    problem = tuning(str(tmp_path / "model"))
    problem.check()
    state = problem.init(0)
    problem.export(state, tmp_path)
    stock = DiffusionPipeline.from_pretrained(tmp_path / "pipeline")
    generators = [torch.Generator().manual_seed(s) for s in sample_seeds(seed_base(9), 0, 2)]
    images = stock(2, generator=generators, num_inference_steps=2, output_type="np").images
    ours = problem.samples(state, 2, 9, "cpu")
    np.testing.assert_allclose(images.transpose(0, 3, 1, 2), ours.numpy(), atol=1e-4)


def test_its_report_has_the_metric_and_what_the_second_extractor_sees(model, ended, exported):
    written = config_file.dump(
        Config(
            tuning(model, extractor="auto", second_extractor="auto"), ScalingConfig(), RunConfig()
        )
    )
    directory = RunDirectory(str(exported.parent), exported.name)
    directory.write("config.yaml", written.encode())
    directory.write("summary.json", summarise(ended[0], Environment()))
    result = Result(directory, tuning(model))
    (compared,) = [item for item in lines(result) if isinstance(item, Table)]
    assert compared.about == "FID, and distance to the teacher, on noises not tuned on"
    heads, *rows = compared.rows
    assert heads[2:4] == ("fid", "second extractor")
    fids = [float(row[2]) for row in rows]
    assert fids == sorted(fids)
    draw(result)
    assert (exported / "pictures" / "schedule.png").read_bytes()[:4] == b"\x89PNG"
    assert next_steps(result)[0] == ("paste", "pipe(num_inference_steps=2)")


def test_a_teacher_alone_needs_no_data(model):
    alone = tuning(
        model, objective="teacher", data=None, extractor="auto", second_extractor="auto",
        comparison={"samples": 0}, optimizer={"updates": 2},
    )  # fmt: skip
    _, rows = run_locally(alone, RunConfig(seed=3))
    assert rows[-1]["upper_loss"] < rows[0]["upper_loss"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": None}, "^objective is 'fid', which is taken to real images; give data, or obj"),
        ({"objective": "teacher"}, "^data is given, but with objective 'teacher' no data are look"),
        ({"objective": "teacher", "data": None}, "^extractor is given, but with objective 'teach"),
        ({"comparison": {"samples": 64}}, "^comparison.samples is 64, but fid is judged of at le"),
        ({"estimation": {"images": 64}}, "^estimation.images is 64, below first_images 256; it m"),
        ({"sampling_steps": [2, 3]}, "^sampling_steps is .2, 3., but levels of model .*, which i"),
        ({"solver": "ddim"}, "^solver: levels of model .*, which is in pixel space, are baked in"),
        (
            {"call_options": {"eta": 0.5}},
            "^call_options has eta, but model .* is in pixel space a",
        ),
        ({"mixed_precision": "bf16"}, "^mixed_precision is given, but model .* is drawn from in"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_a_sentence(model, changes, said):
    with pytest.raises(InputError, match=said) as refused:
        tuning(model, **changes).check()
    assert "\n" not in str(refused.value)


def test_fid_of_fewer_samples_than_features_is_remarked_upon_and_kid_is_not(model):
    few = "estimation.first_images: FID on 32 samples of 64 features is rank-deficient"
    said = {metric: tuning(model, objective=metric, extractor=Pixels(), second_extractor=Quarters())
            .remarks() for metric in ("fid", "kid")}  # fmt: skip
    assert [remark.startswith(few) for remark in said["fid"]] == [True]
    assert said["kid"] == []


def test_samples_of_another_size_than_the_data_are_refused(model):
    extraction = FeatureExtraction(tuning(model).real, "cpu")
    extraction.check_like(torch.zeros(2, 1, 8, 8), "model 'x'")
    with pytest.raises(InputError, match="has images of 1 x 8 x 8, but model 'x' draws 3 x 16 x 1"):
        extraction.check_like(torch.zeros(2, 3, 16, 16), "model 'x'")
