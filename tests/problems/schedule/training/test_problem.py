"""Learning the schedule while the network trains, without Ray."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from schedule_toys import UNCOMPARED, Pixels, at, chunks_looked_at, learning, stock_and_ours

from raybilevel import RunConfig, SamplingSchedule, Variable
from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_info import read_levels
from raybilevel.problems.base import Output, Stage
from raybilevel.problems.schedule.shards import Train
from raybilevel.runtime.reduce import Reduction
from raybilevel.runtime.rounds import run_locally

SEED = RunConfig(seed=5)


def answered(worker, stage: Stage) -> Output:
    """What a stage is reduced to, in this process."""
    tree = Reduction(len(stage.shards))
    for i, shard in enumerate(stage.shards):
        tree.put(i, worker.run(shard, stage.broadcast, 1))
    return tree.result()


def ended(round_, answer):
    """The update of a round whose stages are answered so."""
    output = None
    while True:
        try:
            stage = round_.send(output)
        except StopIteration as end:
            return end.value
        output = answer(stage)


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
    points = len(problem.rounds.starts().points)
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
    stage = next(problem.run_round(problem.training.rounds + 1, run.state))
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
    assert np.allclose(info.logsnr, problem.components.info.logsnr, atol=0.02)
    again = SamplingSchedule(model=str(tmp_path / "network"), data="digits", sampling_steps=2)
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
    assert lists["levels"] == problem.space.levels(run.state["x"]).tolist()


FIXED = {"start": 0.1, "end": 0.95, "tau": 1.2}


@pytest.fixture(scope="module", params=["noise_level", "step"])
def fixed(request):
    """A training on a cosine schedule that stays as it is, sampled by DDIM."""
    start, end, tau = (
        Variable(name, value, low, high)
        for (name, value), (low, high) in zip(
            FIXED.items(), [(0.0, 0.4), (0.8, 1.0), (0.5, 2.0)], strict=True
        )
    )
    problem = learning(
        schedule="cosine", schedule_options={"start": start, "end": end, "tau": tau},
        optimizer={"updates": 0}, conditioning=request.param, solver="ddim",
    )  # fmt: skip
    return problem, *run_locally(problem, SEED)


def test_without_updates_it_trains_on_the_schedule_as_given(fixed, tmp_path):
    problem, run, rows = fixed
    assert all(row[f"config/{name}"] == x for row in rows for name, x in FIXED.items())
    assert [np.isfinite(row["upper_loss"]) for row in rows[1:9]] == 2 * [False, False, True] + 2 * [
        False
    ]
    assert run.stop.status == "converged"
    assert not len(run.state["trace"])
    images, ours = stock_and_ours(problem, run.state, tmp_path)
    assert np.abs(images - ours).max() < 1e-4
    lists = json.loads((tmp_path / "schedule.json").read_text())
    assert lists["before"] == lists["levels"]
    table = pd.read_parquet(tmp_path / "comparison.parquet")
    assert "initial schedule" not in set(table["subject"])


def test_stock_schedulers_and_our_sampler_see_the_same_network(fixed):
    """DDIM with trailing spacing walks the schedule's own levels, wherever it is fixed."""
    problem, run, _ = fixed
    names = [subject.name for subject in problem.rounds.subjects(run.state)]
    shown = np.split(run.state["shown"], len(names))
    ours, stock = shown[names.index("learned")], shown[names.index("ddim trailing")]
    assert np.abs(ours.astype(int) - stock.astype(int)).max() <= 1


@pytest.mark.parametrize("z_step", ["truncated", "zeroth_order"])
def test_the_penalty_adds_its_term_and_says_its_share(z_step):
    problem = learning(penalty={"z_step": z_step, "gamma": (10.0, 1000.0)}, **UNCOMPARED)
    run, rows = run_locally(problem, SEED)
    minded = [row for row in rows if "penalty_share" in row]
    assert [row["gamma"] for row in minded] == pytest.approx([10, 1000])
    assert all(0 < row["penalty_share"] < 1 for row in minded)
    assert np.isfinite(run.state["gradients"]).all()


@pytest.mark.parametrize("z_step", ["truncated", "zeroth_order"])
def test_y_trains_as_if_there_were_no_z(z_step):
    problem = learning(penalty={"z_step": z_step, "gamma": 10.0})
    state = run_locally(problem, RunConfig(seed=5, max_rounds=6))[0].state
    worker = problem.worker("cpu")
    round_ = problem.run_round(6, state)
    stage = round_.send(answered(worker, next(round_)))
    pair, broadcast = stage.shards[0], stage.broadcast
    alone = Train(pair.first, pair.count)
    both, one = worker.run(pair, broadcast, 7), worker.run(alone, broadcast, 7)
    for name in ("weights", "mean", "square"):
        assert np.array_equal(both.sums[name], one.sums[name])
    assert not np.array_equal(both.sums["weights_z"], both.sums["weights"])
    assert both.rows["slope_z"].shape == (4, 2)
    assert both.nfe > 2 * one.nfe


def test_a_round_whose_loss_is_not_finite_is_not_applied_and_the_third_ends_the_run():
    problem = learning()
    state = run_locally(problem, RunConfig(seed=5, max_rounds=2))[0].state
    worker = problem.worker("cpu")
    stage = next(problem.run_round(2, state))
    broken = {**stage.broadcast, "weights": np.full_like(state["weights"], np.nan)}
    out = worker.run(stage.shards[0], broken, 1)
    for refused in (1, 2, 3):
        update = ended(problem.run_round(2, state), lambda stage: out)
        assert int(update.state["rounds_refused"]) == refused
        assert np.array_equal(update.state["weights"], state["weights"])
        assert (update.stop is not None) == (refused == 3)
        state = update.state
    assert "not finite in 3 rounds in a row" in update.stop.reason
    fine = ended(problem.run_round(2, state), lambda stage: answered(worker, stage))
    assert int(fine.state["rounds_refused"]) == 0


def test_a_look_that_comes_to_nothing_leaves_the_schedule_where_it_is():
    problem = learning(optimizer={"updates": 1})
    state = run_locally(problem, RunConfig(seed=5, max_rounds=4))[0].state
    refused = {**state, "rounds_refused": np.array(1)}  # as round 4, the look, would have left it
    worker = problem.worker("cpu")
    update = ended(problem.run_round(8, refused), lambda stage: answered(worker, stage))
    assert np.array_equal(update.state["x_start"], problem.tuned_schedule.init)
    assert len(update.state["trace"]) == 1


def test_a_run_whose_updates_all_came_to_nothing_is_no_optimum():
    problem = learning(optimizer={"updates": 1}, **UNCOMPARED)
    state = run_locally(problem, RunConfig(seed=5, max_rounds=8))[0].state
    worker = problem.worker("cpu")
    # as if round 8 were refused
    update = ended(problem.run_round(9, state), lambda stage: answered(worker, stage))
    assert update.stop.status == "budget"
    assert "none of the 1 updates was made" in update.stop.reason


def test_a_compiled_training_promises_no_bits():
    assert learning().exact
    assert not learning(training={"compile": True}).exact


class Rounded(Pixels):
    """Features that no gradient comes through."""

    def forward(self, images):
        return super().forward((images * 255).round())


def test_updates_are_spread_over_the_rounds_left_with_the_last_in_the_last():
    problem = learning(training={"rounds": 20, "warmup": 9}, optimizer={"updates": 4})
    training = problem.joint_training
    assert [r for r in range(21) if training.update_of(r)] == [13, 15, 18, 20]
    assert [training.update_of(r) for r in (13, 15, 18, 20)] == [1, 2, 3, 4]


def test_each_variable_may_have_a_step_of_its_own():
    problem = learning(schedule="cosine", optimizer={"step_size": {"tau": 0.1}})
    assert problem.step_sizes.tolist() == [0.005, 0.005, 0.1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": {"block_out_channels": [8, 8, 8, 8, 8]}}, "halve images 4 times, but images"),
        (
            {"training": {"batch_size": 2000}},
            "batch_size is 2000, but data 'digits' has 1437 images to train on",
        ),
        ({"penalty": {"z_step": "truncated"}}, "z_step is 'truncated' without gamma"),
        (
            {"penalty": {"z_step": "truncated", "gamma": 3.0}, "extractor": Rounded},
            "z_step is 'truncated', which needs the features' gradient .*Rounded.* passes none on",
        ),
        (
            {"penalty": {"gamma": 3.0}},
            "penalty.gamma is 3.0 without z_step; give z_step 'truncated'",
        ),
        (
            {"penalty": {"gamma": -1.0, "z_step": "truncated"}},
            "gamma is -1.0; it must be above 0 and finite",
        ),
        (
            {"penalty": {"z_step": "truncated", "gamma": 3.0}, "objective": "kid"},
            "penalty is given with objective 'kid', but it needs the gradient of objective 'fid'",
        ),
        (
            {"prediction_type": "epsilon", "schedule_options": {"zero_terminal_snr": True}},
            "zero_terminal_snr needs prediction_type 'v_prediction' or 'sample'",
        ),
        (
            {"optimizer": {"updates": 9}},
            "updates is 9, but of training.rounds 8 a warmup of 3 and one look lea",
        ),
        ({"mixed_precision": "fp16"}, "mixed_precision is 'fp16', which training does without"),
        (
            {"optimizer": {"step_size": {"nobody": 0.1}}},
            r"step_size names \[.*'nobody'.*but the variables are",
        ),
        (
            {"model": "digits"},
            "model is 'digits', but TrainingSchedule trains a network of its own",
        ),
        ({"sampling_steps": 1001}, "sampling_steps is 1001, but the network takes from 1 to 1000"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_bad_input_is_one_sentence(changes, said):
    with pytest.raises(InputError, match=said) as error:
        learning(**changes).check()
    assert "\n" not in str(error.value)


def test_an_evaluation_costs_what_it_says():
    problem = learning()
    evaluation = problem.evaluation([at(problem)])
    run, rows = run_locally(evaluation, SEED)
    assert len(rows) == evaluation.planned_rounds(run.state)
    assert run.ledger.nfe_total == problem.evaluation_cost().whole
    results = [row["nfe_total"] for row in rows if np.isfinite(row["upper_loss"])]
    assert max(np.diff([0, *results])) == problem.evaluation_cost().unit


def test_an_evaluation_trains_at_its_x_what_has_no_network(played):
    """Its first end as a search's trial would; its second beside it, on the same samples."""
    problem, trained, _ = played
    end = at(problem, logsnr_0=-5.0)
    both, rows = run_locally(problem.evaluation([trained.state, end]), SEED)
    alone, own = run_locally(problem.evaluation([end]), SEED)
    losses = [[row["lower_loss"] for row in each if "lower_loss" in row] for each in (rows, own)]
    assert [len(each) for each in losses] == [8, 8]
    assert all(row["config/logsnr_0"] == -5.0 for row in own)
    assert [np.isfinite(row["upper_loss"]) for row in own] == [
        False, False, False, True, False, False, True, False, False, True
    ]  # fmt: skip
    assert len(both.state["scores"]) == 2
    # draws depend on the round, so the second end's training is another one of the same x
    assert losses[0][0] != losses[1][0]
    assert alone.state["scores"].tolist() == [own[-1]["upper_loss"]]
    assert alone.stop.status == both.stop.status == "converged"


def test_ends_of_trainings_are_scored_with_their_networks(played):
    problem, run, _ = played
    other = {"x": run.state["x"], "average": run.state["weights"]}
    scored, _ = run_locally(problem.evaluation([run.state, other], 64), RunConfig(seed=77))
    first, second = scored.state["scores"]
    assert first != second
    assert np.isfinite([first, second]).all()
