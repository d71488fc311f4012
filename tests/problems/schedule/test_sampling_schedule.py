"""A sampling schedule without Ray: rounds, what they promise, what is left behind."""

import json
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from schedule_toys import (
    UNCOMPARED,
    Pixels,
    at,
    chunks_looked_at,
    save_pipeline,
    stock_and_ours,
    tiny_unet,
    tuning,
)

from raybilevel import RunConfig, ScalingConfig, Variable, config_file
from raybilevel.config_file import Config
from raybilevel.errors import InputError
from raybilevel.metrics.extractors import features
from raybilevel.metrics.fid_kid import FrechetTo, Moments, jackknife
from raybilevel.problems.seeds import sample_seeds
from raybilevel.runtime.rounds import run_locally
from raybilevel.stored_config import check_same

SEED = RunConfig(seed=5)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_pipeline(tmp_path_factory.mktemp("model") / "pipeline")


@pytest.fixture(scope="module")
def played(model):
    problem = tuning(
        model, sampling_steps=4, optimizer={"directions": 3}, comparison={"steps": [2]}
    )
    return problem, *run_locally(problem, SEED)


def test_a_run_begins_somewhere_good_updates_and_compares(played):
    problem, run, rows = played
    assert len(rows) == problem.planned_rounds(run.state) == 4
    starts = problem.rounds.starts()
    assert len(starts.points) > starts.stock > 0
    assert any(np.array_equal(run.state["x_before"], x) for x in starts.points[: starts.stock])
    assert any(np.array_equal(run.state["x_start"], x) for x in starts.points)
    assert not np.array_equal(run.state["trace"][0], run.state["x_start"])
    assert run.stop is not None


def test_every_gradient_has_a_standard_error(played):
    problem, _, rows = played
    for v in problem.variables:
        for row in rows[1:-1]:
            assert np.isfinite(row[f"gradient/{v.name}"])
            assert row[f"gradient_se/{v.name}"] > 0


def test_nfe_is_what_the_shards_cost(played):
    problem, _, rows = played
    spent = np.diff([0, *(row["nfe_total"] for row in rows)])
    points = len(problem.rounds.starts().points)
    assert spent[0] == chunks_looked_at(points) * 16 * 4
    assert spent[1] == spent[2] == 2 * 3 * 32 * 4
    assert spent[3] == rows[3]["nfe_comparison"] + 2 * 8 * 16 * 4


def test_levels_rise_and_stay_where_the_network_was_trained(played):
    problem, run, _ = played
    levels = problem.space.levels(run.state["x"])
    low, high = problem.components.info.bounds
    assert np.all(np.diff(levels) > 0)
    assert low <= levels[0]
    assert levels[-1] <= high


def test_the_comparison_is_of_everything_on_the_same_fresh_noises(played, tmp_path):
    problem, run, _ = played
    problem.export(run.state, tmp_path)
    table = pd.read_parquet(tmp_path / "comparison.parquet").set_index(["subject", "steps"])
    assert {
        "learned",
        "nearest to stock",
        "learned, rounded",
        "ddim trailing",
        "dpm++ karras",
    } <= set(table.index.get_level_values(0))
    assert ("ddim leading", 2) in table.index
    assert table.loc[("learned", 4), "fid_gap"] == 0
    gaps = table["fid_gap"] + table["fid"]
    assert np.allclose(gaps, table.loc[("learned", 4), "fid"])
    assert np.all(table.drop(index=("learned", 4))["fid_gap_se"] > 0)
    assert np.isfinite(table.to_numpy(float)).all()


@pytest.mark.parametrize("solver", ["dpm++", "ddim"])
def test_a_stock_pipeline_draws_the_learned_samples(model, tmp_path, solver):
    problem = tuning(model, solver=solver, optimizer={"updates": 1}, **UNCOMPARED)
    run, _ = run_locally(problem, SEED)
    images, ours = stock_and_ours(problem, run.state, tmp_path)
    assert np.abs(images - ours).max() < 1e-4
    assert images.std() > 0.05


def test_what_is_exported_says_which_levels_and_which_timesteps(played, tmp_path):
    problem, run, _ = played
    problem.export(run.state, tmp_path)
    lists = json.loads((tmp_path / "schedule.json").read_text())
    assert lists["levels"] == problem.space.levels(run.state["x"]).tolist()
    assert len(set(lists["timesteps"])) == 4
    assert sorted(lists["timesteps"], reverse=True) == lists["timesteps"]
    assert (tmp_path / "samples" / "learned-4.png").exists()


@pytest.mark.parametrize("schedule", ["cosine", "sigmoid"])
def test_parametric_schedules_are_tuned_too(model, schedule):
    problem = tuning(model, schedule=schedule, **UNCOMPARED)
    run, _ = run_locally(problem, SEED)
    assert [v.name for v in problem.variables] == {
        "cosine": ["start", "end", "tau"], "sigmoid": ["start", "end"]
    }[schedule]  # fmt: skip
    assert np.all(run.state["trace"][0] != run.state["x_start"])
    assert np.all(np.diff(problem.space.levels(run.state["x"])) > 0)


def test_kid_can_be_the_objective(model):
    problem = tuning(model, objective="kid", optimizer={"updates": 1}, **UNCOMPARED)
    _, rows = run_locally(problem, SEED)
    assert rows[1]["upper_loss_se"] > 0
    assert np.isfinite(rows[-1]["upper_loss"])


def test_an_evaluation_is_the_objective_at_fixed_levels(played):
    problem, _, _ = played
    end = at(problem)
    run, (row,) = run_locally(problem.evaluation([end]), SEED)
    assert run.stop.status == "converged"
    assert [row[f"config/{v.name}"] for v in problem.variables] == end["x"].tolist()
    levels = problem.space.levels(end["x"]).tolist()
    sampler, extractor = (
        problem.components.sampler_on("cpu"),
        problem.components.real.extractor("cpu"),
    )
    images = [
        sampler.sample(sampler.noise(seed, 16), levels)
        for seed in sample_seeds(run.state["seed_base"], 0, 2)
    ]
    found = [Moments.of(features(extractor, i)) for i in images]
    to = FrechetTo(Moments.of(features(extractor, problem.components.real.folds[0].images)))
    value, se = jackknife(to, found, corrected=True)
    assert row["upper_loss"] == pytest.approx(float(value), rel=1e-3)
    assert row["upper_loss_se"] == pytest.approx(float(se), rel=1e-3)


def test_what_is_found_is_the_mean_of_the_last_updates_or_where_they_began(played):
    problem, run, rows = played
    assert run.state["trace"].shape == (2, 4)
    found = np.array([rows[-1][f"config/{v.name}"] for v in problem.variables])
    assert np.array_equal(found, run.state["x"])
    mean = problem.rounds.optimizer.average(run.state["trace"])  # the second half of two is one
    assert np.allclose(mean, run.state["trace"][1])
    assert any(np.array_equal(found, x) for x in (mean, run.state["x_start"]))


def test_a_problem_travels_without_its_data(played):
    problem, _, _ = played
    assert len(pickle.dumps(problem)) < 20_000


def test_few_samples_for_the_features_are_remarked_upon(model):
    (said,) = tuning(model).remarks()
    assert said.startswith("estimation.samples: FID on 32 samples of 64 features is rank-def")
    enough = tuning(model, estimation={"samples": 65, "shard_size": None})
    assert enough.remarks() == []


def options(**changes):
    return {"schedule": "cosine", "schedule_options": changes}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sampling_steps": 41}, "sampling_steps is 41, but model '.*' takes from 1 to 40 of them"),
        (
            {"comparison": {"steps": [0]}},
            "comparison.steps is 0, but model '.*' takes from 1 to 40 of them",
        ),
        (
            {"sampling_steps": 6, "solver": "ddim"},
            "6, which does not divide the model's 40 training steps.*nearest that do are 5 and 8",
        ),
        (
            options(start=Variable("start", 0.5, 0.0, 0.8), end=Variable("end", 0.9, 0.7, 1.0)),
            "start up to 0.8 and end down to 0.7; start must stay at least 0.01 below end",
        ),
        ({"schedule_options": {"low": 5.0, "high": -5.0}}, "low 5 >= high -5"),
        (options(bogus=1), "schedule_options do not fit schedule 'cosine'.*bogus"),
        ({"estimation": {"samples": 1}}, "estimation.samples is 1, but .* at least 4"),
        (
            {"estimation": {"shard_size": 32}},
            "estimation.shard_size is 32; it must be at least 2 and cut the 32",
        ),
        ({"comparison": {"samples": 5}}, "comparison.samples is 5; it must be at least 128"),
        ({"optimizer": {"updates": 0}}, "optimizer.updates is 0: input should be greater"),
        ({"estimation": {"sample": 9}}, "estimation.sample is not known"),
        ({"solver": "euler"}, "solver is 'euler'; the known are 'dpm\\+\\+' .* and 'ddim'"),
        (
            {"solver": {"class": "DDIMScheduler", "options": {"eta": 1.0}}},
            "solver is .*'eta': 1.0.*; the known are",
        ),
        ({"penalty": {"gamma": 3.0}}, "penalty is given, but model .* is pretrained, and nothing"),
        ({"data": "mnist5k"}, "images of 1 x 28 x 28, but model '.*' draws 1 x 8 x 8"),
        ({"data_options": {"resolution": 9}}, r"resolution is 9 x 9 .* but model '.*' draws 8 x 8"),
        ({"data_options": {"crop": "random"}}, "data_options.crop is 'random': input should be"),
        ({"data_options": {"image_column": "x"}}, "image_column is 'x', but data 'digits' has no"),
        ({"data": "nowhere"}, "nowhere"),
        (options(tau={"init": 1.0}), "schedule_options.tau is .* but a variable has name, init"),
        (options(eps="small"), "schedule_options.eps is 'small'; it must be a number"),
        ({"extractor": "no.such:thing"}, "extractor is 'no.such:thing'"),
        (options(zero_terminal_snr=True), "needs prediction_type 'v_prediction' or 'sample'"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(map(str, value)),
)
def test_bad_input_is_one_sentence(model, changes, said):
    with pytest.raises(InputError, match=said) as error:
        tuning(model, **changes).check()
    assert "\n" not in str(error.value)


def test_no_sampling_steps_are_refused(model):
    with pytest.raises(InputError, match="sampling_steps is 0: input should be greater"):
        tuning(model, sampling_steps=0)


def test_a_solver_may_be_named_by_its_class(model):
    given = {"class": "DPMSolverMultistepScheduler", "options": {}}
    assert tuning(model, solver=given) == tuning(model, solver="dpm++")


@pytest.mark.parametrize("kind", ["fourier", "learned"])
def test_a_network_that_knows_no_steps_between_is_refused(kind, tmp_path):
    unet = tiny_unet(time_embedding_type=kind, num_train_timesteps=40)
    model = save_pipeline(tmp_path / "pipeline", unet)
    with pytest.raises(InputError, match=f"{kind} time embedding, which cannot be asked"):
        tuning(model).check()


def test_larger_images_are_brought_to_the_networks_size_and_a_remark_says_so(model, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 12), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", images=images)
    problem = tuning(model, data=str(tmp_path / "d.npz"), extractor=Pixels)
    problem.check()
    train, held_out = problem.components.real.folds
    assert (train.images.shape, held_out.images.shape) == ((32, 1, 8, 8), (8, 1, 8, 8))
    assert problem.remarks()[0].startswith("data: 40 of 40 images are not 8 x 8 (height x width)")


def test_images_smaller_than_the_network_draws_are_refused(model, tmp_path):
    np.savez(tmp_path / "d.npz", images=np.zeros((40, 8, 7), dtype=np.uint8))
    with pytest.raises(InputError, match="40 of 40 images smaller than the 8 x 8 pixels"):
        tuning(model, data=str(tmp_path / "d.npz"), extractor=Pixels).check()


def test_images_with_colours_are_refused_by_a_network_without(model, tmp_path):
    for i in range(40):
        image = Image.new("RGB" if i == 30 else "L", (9, 9))
        image.save(tmp_path / f"{i}.png")
    with pytest.raises(InputError, match=r"images of 3 x 8 x 8, but model '.*' draws 1 x 8 x 8"):
        tuning(model, data=str(tmp_path), extractor=Pixels).check()


def test_data_of_few_images_are_refused(model, tmp_path):
    np.savez(tmp_path / "d.npz", images=np.zeros((10, 8, 8), dtype=np.uint8))
    with pytest.raises(InputError, match="has 10 images, of which a fifth is held out; give at le"):
        tuning(model, data=str(tmp_path / "d.npz"), extractor=Pixels).check()


@pytest.mark.parametrize("samples", [4, 9, 25, 57])
def test_every_chunk_has_samples_enough_for_a_variance(model, samples):
    plan = tuning(model, estimation={"samples": samples, "shard_size": None}).plan
    stage = plan.evaluate(np.array(3), 1, [np.zeros(2)], {})
    counts = [shard.noise.count for shard in stage.shards]
    assert sum(counts) == samples
    assert min(counts) >= 2
    assert len(counts) >= 2


def test_stock_schedulers_that_cannot_walk_so_many_steps_are_left_out(model):
    problem = tuning(model, sampling_steps=40)
    state = {"x": problem.space.schedule.init, "x_before": problem.space.schedule.init}
    names = {subject.name for subject in problem.rounds.subjects(state)}
    assert "dpm++ leading" not in names
    assert "ddim trailing" in names


@pytest.fixture
def unlabelled(tmp_path):
    """A folder of forty pictures."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    return str(tmp_path)


def test_data_without_labels_do_with_all_settings_at_their_defaults(model, unlabelled):
    problem = tuning(model, data=unlabelled, optimizer={"updates": 1}, **UNCOMPARED)
    problem.check()
    said = "the data have no labels of two classes or more, so extractor is '(clusters|inception)'"
    assert re.match(rf"{said} and second_extractor is 'masked'", problem.remarks()[-1])
    _, rows = run_locally(problem, SEED)
    assert rows[1]["upper_loss_se"] > 0
    assert rows[-1]["fid_floor"] != rows[-1]["fid_second_floor"] > 0


def test_data_without_labels_have_a_second_extractor_beside_ones_own(model, unlabelled):
    problem = tuning(model, data=unlabelled, extractor=Pixels)
    assert problem.remarks()[-1].endswith("or more, so second_extractor is 'masked'")
    assert tuning(model, data=unlabelled, extractor=Pixels, second_extractor=None) == problem


def test_ends_are_scored_on_the_same_fresh_noises(played):
    problem, run, _ = played
    end = at(problem)
    ends = [run.state, end, run.state]
    scored, rows = run_locally(problem.evaluation(ends, 64), RunConfig(seed=77))
    first, other, again = scored.state["scores"]
    assert first == again != other
    assert rows[-1]["nfe_total"] == 3 * 64 * 4
    alone, (line,) = run_locally(
        problem.but(estimation={"samples": 64}).evaluation([end]), RunConfig(seed=77)
    )
    assert line["upper_loss"] == other
    assert alone.ledger.nfe_total == 64 * 4 == 2 * problem.evaluation_cost().whole


def test_without_samples_to_compare_on_there_is_no_comparison(model, tmp_path):
    problem = tuning(model, **UNCOMPARED)
    run, rows = run_locally(problem, SEED)
    assert "comparison" not in run.state
    assert rows[-1]["nfe_comparison"] == 0
    problem.export(run.state, tmp_path)
    assert not (tmp_path / "comparison.parquet").exists()


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.floats(-10, 10), min_size=3, max_size=3))
def test_any_point_of_the_box_stands_for_admissible_levels(model, values):
    problem = tuning(model, sampling_steps=3)
    names = [v.name for v in problem.variables]
    x = np.clip(values, [v.low for v in problem.variables], [v.high for v in problem.variables])
    found = problem.admissible(dict(zip(names, x, strict=True)))
    levels = np.array([found[name] for name in names])
    assert np.array_equal(levels, problem.tuned_schedule.project(np.sort(x)))
    assert np.all(np.diff(levels) > 0)


def test_groups_come_back_from_yaml_and_the_comparison_alone_may_change(model):
    problem = tuning(model, comparison={"steps": [3]})
    config = Config(problem, ScalingConfig(), RunConfig(name="run"))
    text = config_file.dump(config)
    assert config_file.build(config_file.parse(text, "here"), "here") == config
    old = config_file.to_tree(config)
    assert old["estimation"] == {"samples": 32, "shard_size": 16}
    longer = tuning(model, comparison={"samples": 256, "steps": [3, 4]})
    check_same(old, Config(longer, config.scaling, config.run), "runs/run")
    larger = tuning(model, estimation={"samples": 64})
    with pytest.raises(InputError, match=r"estimation.samples is 64, but the run in runs/run was"):
        check_same(old, Config(larger, config.scaling, config.run), "runs/run")
