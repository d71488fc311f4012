"""Learning the schedule while the network trains, without Ray."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from schedule_toys import Pixels, chunks_looked_at, learning, stock_and_ours

from raybilevel import RunConfig, ScheduleTuning
from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_info import read_levels
from raybilevel.problems.base import Stage
from raybilevel.runtime.reduce import Reduction
from raybilevel.runtime.rounds import run_locally

SEED = RunConfig(seed=5)


@pytest.fixture(scope="module")
def played():
    problem = learning()
    return problem, *run_locally(problem, SEED)


def test_rounds_train_then_look_then_move_the_schedule_then_compare(played):
    problem, run, rows = played
    assert len(rows) == problem.planned_rounds(run.state) == 10
    assert math.isnan(rows[0]["upper_loss"])  # sees the real images
    trained = [row for row in rows if "lower_loss" in row]
    assert trained == rows[1:9]
    looked, moved = rows[4], rows[5:9]
    x = [[row[f"config/{v.name}"] for v in problem.variables] for row in rows]
    assert x[1] == x[2] == x[3]
    assert np.isfinite(looked["upper_loss"])
    assert [np.isfinite(row["gradient/logsnr_0"]) for row in moved] == [False, True, False, True]
    assert x[5] == x[6] != x[8]
    assert len(run.state["trace"]) == 2
    assert run.stop is not None


def test_the_loss_falls(played):
    _, _, rows = played
    losses = [row["lower_loss"] for row in rows if "lower_loss" in row]
    assert np.mean(losses[2:4]) < 0.9 * losses[0]


def test_nfe_is_three_a_training_sample_and_one_a_level(played):
    problem, _, rows = played
    spent = np.diff([0, *(row["nfe_total"] for row in rows)])
    train = 2 * 3 * 16 * 3
    points = len(problem.rounds.starts()[0])
    looks = chunks_looked_at(points) * 16 * 2
    pairs = 2 * 2 * 32 * 2
    evaluation = 32 * 2
    assert spent[:4].tolist() == [0, train, train, train + evaluation]  # every third round
    assert spent[4] == train + looks
    assert spent[5:9].tolist() == [train, train + pairs, train, train + pairs]


def test_the_average_of_weights_is_what_is_sampled_from(played):
    problem, run, _ = played
    weights, average = run.state["weights"], run.state["average"]
    assert weights.dtype == average.dtype == np.float32
    assert not np.array_equal(weights, average)
    stage = problem.stage(problem.training_rounds + 1, run.state, [])
    assert np.array_equal(stage.broadcast["sampled"], average)


def test_a_stock_pipeline_draws_the_learned_samples(played, tmp_path):
    problem, run, _ = played
    images, ours = stock_and_ours(problem, run.state, tmp_path)
    assert np.abs(images - ours).max() < 1e-4
    assert images.std() > 0.05


def test_the_network_can_be_tuned_for_other_numbers_of_steps_later(played, tmp_path):
    problem, run, _ = played
    problem.export(run.state, tmp_path)
    info = read_levels(tmp_path / "network")
    assert np.allclose(info.logsnr, problem.source.info.logsnr, atol=0.02)
    again = ScheduleTuning(
        model=str(tmp_path / "network"), data="digits", sampling_steps=2, at={
            v.name: float(x) for v, x in zip(problem.variables, run.state["x"], strict=True)
        },
    )  # fmt: skip
    state = {"x": run.state["x"]}
    ours, theirs = problem.samples(run.state, 4, 9, "cpu"), again.samples(state, 4, 9, "cpu")
    assert (ours - theirs).abs().max() < 1e-3


def test_what_is_compared_are_the_learned_and_the_initial_levels_and_stock(played, tmp_path):
    problem, run, _ = played
    problem.export(run.state, tmp_path)
    table = pd.read_parquet(tmp_path / "comparison.parquet").set_index("subject")
    assert {"learned", "initial schedule", "ddim trailing", "dpm++ leading"} <= set(table.index)
    assert np.isfinite(table.to_numpy(float)).all()
    lists = json.loads((tmp_path / "schedule.json").read_text())
    assert lists["levels"] == problem.search.levels(run.state["x"]).tolist()


@pytest.mark.parametrize("conditioning", ["noise_level", "step"])
def test_a_trial_trains_at_a_fixed_schedule_and_says_how_it_goes(conditioning, tmp_path):
    problem = learning(conditioning=conditioning, schedule="cosine")
    at = {"start": 0.1, "end": 0.95, "tau": 1.2}
    run, rows = run_locally(problem.trial(at), SEED)
    assert all(row[f"config/{name}"] == x for row in rows for name, x in at.items())
    assert [np.isfinite(row["upper_loss"]) for row in rows[1:9]] == 2 * [False, False, True] + 2 * [
        False
    ]
    assert run.stop.status == "converged"
    assert not len(run.state["trace"])
    images, ours = stock_and_ours(problem.trial(at), run.state, tmp_path)
    assert np.abs(images - ours).max() < 1e-4
    lists = json.loads((tmp_path / "schedule.json").read_text())
    assert lists["before"] == lists["levels"]
    table = pd.read_parquet(tmp_path / "comparison.parquet")
    assert "initial schedule" not in set(table["subject"])


@pytest.mark.parametrize("conditioning", ["noise_level", "step"])
def test_stock_schedulers_and_our_sampler_see_the_same_network(conditioning):
    """DDIM with trailing spacing walks the schedule's own levels, wherever it is fixed."""
    problem = learning(conditioning=conditioning, schedule="cosine", sampler="ddim")
    problem.check()
    trial = problem.trial({"start": 0.1, "end": 0.95, "tau": 1.2})
    run, _ = run_locally(trial, SEED)
    table = trial.rounds.subjects(run.state)
    names = [s["subject"] for s in table]
    shown = np.split(run.state["shown"], len(names))
    ours, stock = shown[names.index("learned")], shown[names.index("ddim trailing")]
    assert np.abs(ours.astype(int) - stock.astype(int)).max() <= 1


@pytest.mark.parametrize("z_step", ["truncated", "zeroth_order"])
def test_the_penalty_adds_its_term_and_says_its_share(z_step):
    problem = learning(z_step=z_step, gamma=(10.0, 1000.0))
    run, rows = run_locally(problem, SEED)
    minded = [row for row in rows if "penalty_share" in row]
    assert [row["gamma"] for row in minded] == pytest.approx([10, 1000])
    assert all(0 < row["penalty_share"] < 1 for row in minded)
    assert np.isfinite(run.state["gradients"]).all()


@pytest.mark.parametrize("z_step", ["truncated", "zeroth_order"])
def test_y_trains_as_if_there_were_no_z(z_step):
    problem = learning(z_step=z_step, gamma=10.0)
    state = run_locally(problem, RunConfig(seed=5, max_rounds=6))[0].state
    worker = problem.worker("cpu")
    asked = problem.stage(6, state, [])
    looked = [worker.run(s, asked.broadcast, 0) for s in asked.shards]
    tree = Reduction(len(looked))
    for i, out in enumerate(looked):
        tree.put(i, out)
    shard = problem.stage(6, state, [tree.result()]).shards[0]
    broadcast = problem.stage(6, state, [tree.result()]).broadcast
    alone = replace(shard, args={k: shard.args[k] for k in ("first", "count")})
    both, one = worker.run(shard, broadcast, 7), worker.run(alone, broadcast, 7)
    for name in ("weights", "mean", "square"):
        assert np.array_equal(both.sums[name], one.sums[name])
    assert not np.array_equal(both.sums["weights_z"], both.sums["weights"])
    assert both.rows["slope_z"].shape == (4, 2)
    assert both.nfe > 2 * one.nfe


def test_a_round_whose_loss_is_not_finite_is_not_applied_and_the_third_ends_the_run():
    problem = learning()
    state = run_locally(problem, RunConfig(seed=5, max_rounds=2))[0].state
    worker = problem.worker("cpu")
    stage = problem.stage(2, state, [])
    broken = {**stage.broadcast, "weights": np.full_like(state["weights"], np.nan)}
    out = worker.run(stage.shards[0], broken, 1)
    for refused in (1, 2, 3):
        update = problem.stage(2, state, [out])
        assert int(update.state["rounds_refused"]) == refused
        assert np.array_equal(update.state["weights"], state["weights"])
        assert (update.stop is not None) == (refused == 3)
        state = update.state
    assert "not finite in 3 rounds in a row" in update.stop.reason
    fine = problem.stage(2, state, [worker.run(s, stage.broadcast, 1) for s in stage.shards[:1]])
    assert int(fine.state["rounds_refused"]) == 0


def test_a_look_that_comes_to_nothing_leaves_the_schedule_where_it_is():
    problem = learning(updates=1)
    state = run_locally(problem, RunConfig(seed=5, max_rounds=4))[0].state
    refused = {**state, "rounds_refused": np.array(1)}  # as round 4, the look, would have left it
    worker = problem.worker("cpu")
    done = []
    for _ in range(2):
        stage = problem.stage(8, refused, done)
        tree = Reduction(len(stage.shards))
        for shard in stage.shards:
            tree.put(shard.index, worker.run(shard, stage.broadcast, 1))
        done.append(tree.result())
    update = problem.stage(8, refused, done)
    assert np.array_equal(update.state["x_start"], problem._schedule.init)
    assert len(update.state["trace"]) == 1


def test_a_run_whose_updates_all_came_to_nothing_is_no_optimum():
    problem = learning(updates=1)
    state = run_locally(problem, RunConfig(seed=5, max_rounds=8))[0].state
    worker = problem.worker("cpu")
    done = []
    while isinstance(step := problem.stage(9, state, done), Stage):  # as if round 8 were refused
        tree = Reduction(len(step.shards))
        for shard in step.shards:
            tree.put(shard.index, worker.run(shard, step.broadcast, 1))
        done.append(tree.result())
    assert step.stop.status == "budget"
    assert "none of the 1 updates was made" in step.stop.reason


def test_a_compiled_training_promises_no_bits():
    assert learning().exact
    assert not learning(compile=True).exact


class Rounded(Pixels):
    """Features that no gradient comes through."""

    def forward(self, images):
        return super().forward((images * 255).round())


def test_updates_are_spread_over_the_rounds_left_with_the_last_in_the_last():
    course = learning(training_rounds=20, warmup=9, updates=4)._course
    assert [r for r in range(21) if course._update(r)] == [13, 15, 18, 20]
    assert [course._update(r) for r in (13, 15, 18, 20)] == [1, 2, 3, 4]


def test_each_variable_may_have_a_step_of_its_own():
    problem = learning(schedule="cosine", step_size={"tau": 0.1})
    assert problem._step_sizes.tolist() == [0.005, 0.005, 0.1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": {"block_out_channels": [8, 8, 8, 8, 8]}}, "halve images 4 times, but images"),
        ({"batch_size": 2000}, "batch_size is 2000, but data 'digits' has 1437 images to train on"),
        ({"z_step": "truncated"}, "z_step is 'truncated' without gamma"),
        (
            {"z_step": "truncated", "gamma": 3.0, "extractor": Rounded},
            "z_step is 'truncated', which needs the features' gradient .*Rounded.* passes none on",
        ),
        ({"gamma": 3.0}, "gamma is 3.0, but z_step 'none' has no penalty"),
        ({"gamma": -1.0, "z_step": "truncated"}, "gamma is -1.0; it must be above 0 and finite"),
        (
            {"z_step": "truncated", "gamma": 3.0, "metric": "kid"},
            "z_step is 'truncated' with metric 'kid'",
        ),
        (
            {"prediction_type": "epsilon", "schedule_options": {"zero_terminal_snr": True}},
            "zero_terminal_snr needs prediction_type 'v_prediction' or 'sample'",
        ),
        ({"updates": 9}, "updates is 9, but of training_rounds 8 a warmup of 3 and one look lea"),
        ({"mixed_precision": "fp16"}, "mixed_precision is 'fp16', which training does without"),
        ({"step_size": {"nobody": 0.1}}, r"step_size names \[.*'nobody'.*but the variables are"),
        ({"model": "digits"}, "model 'digits' is pretrained, and nothing is trained"),
        ({"sampling_steps": 1001}, "sampling_steps is 1001, but the network takes from 1 to 1000"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_bad_input_is_one_sentence(changes, said):
    with pytest.raises(InputError, match=said) as error:
        learning(**changes).check()
    assert "\n" not in str(error.value)


def test_a_trial_costs_what_it_says():
    problem = learning(compare_samples=0)
    trial = problem.trial({v.name: v.init for v in problem.variables})
    run, rows = run_locally(trial, SEED)
    assert run.ledger.nfe_total == problem.trial_cost().whole
    results = [row["nfe_total"] for row in rows if np.isfinite(row["upper_loss"])]
    assert max(np.diff([0, *results])) == problem.trial_cost().unit


def test_ends_of_trainings_are_scored_with_their_networks(played):
    problem, run, _ = played
    other = {"x": run.state["x"], "average": run.state["weights"]}
    scored, _ = run_locally(problem.scoring([run.state, other], 64), RunConfig(seed=77))
    first, second = scored.state["scores"]
    assert first != second
    assert np.isfinite([first, second]).all()
