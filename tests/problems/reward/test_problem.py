"""The reward problem: what it refuses, what its runs find, and what they say."""

import math
import re

import numpy as np
import pytest
import torch
from reward_toys import solve, tuning
from toys import bump, first, gaussian, near_one, second

from raybilevel import RewardTuning, Variable
from raybilevel.errors import InputError
from raybilevel.problems.base import Output, Stage, Status, Update
from raybilevel.problems.reward.pool_solver import PoolSolver
from raybilevel.runtime.rounds import run_locally


@pytest.fixture(scope="module")
def solved():
    return solve(seed=3, held_out_reward=second, max_pool_size=16384)


def test_the_known_optimum_is_inside_the_interval(solved):
    run, rows = solved
    assert run.stop.status is Status.CONVERGED
    last = rows[-1]
    assert last["interval_low/lambda"] < 2.0 < last["interval_high/lambda"]
    assert last["interval_low/lambda"] < last["config/lambda"] < last["interval_high/lambda"]
    assert abs(last["gradient/lambda"]) < 1e-6
    assert last["gradient_se/lambda"] > 0


def test_the_objective_is_the_known_one_within_its_error(solved):
    last = solved[1][-1]
    mean = 1 / last["config/lambda"]
    assert (
        abs(last["upper_loss"] + math.exp(-((mean - 0.5) ** 2) / 4) / math.sqrt(2))
        < 4 * last["upper_loss_se"]
    )


def test_the_held_out_reward_is_reported(solved):
    """E of the second coordinate is zero under every p_x."""
    last = solved[1][-1]
    assert 0 < last["held_out_se"] < 0.1
    assert abs(last["held_out"]) < 4 * last["held_out_se"]


def test_what_the_pretrained_model_has_stands_beside(solved):
    run, rows = solved
    for name, column, sign in (("upper_loss", "pool/upper", -1), ("held_out", "pool/held_out", 1)):
        mean = sign * run.state[column].mean()
        assert rows[-1][f"{name}_of_p0"] == pytest.approx(mean, rel=1e-12)


def test_the_held_out_reward_is_not_optimised(solved):
    without, _ = solve(seed=3, max_pool_size=16384)
    assert without.state["x"].tobytes() == solved[0].state["x"].tobytes()


def test_a_pools_rewards_are_those_of_its_seeds(solved):
    state = solved[0].state
    samples = gaussian(state["pool/seed"][:50].tolist())
    np.testing.assert_array_equal(state["pool/lower.lower"][:50], first(samples).double())
    np.testing.assert_array_equal(state["pool/upper"][:50], bump(samples).double())


def test_a_weight_is_tuned_with_lambda_fixed():
    """The mean of p_x is w / lambda, so the best w is half of lambda."""
    weight = Variable("w", 0.5, 0.2, 4.0)
    run, rows = solve(lambda_=2.0, weights={"lower": weight}, max_pool_size=16384)
    assert run.stop.status is Status.CONVERGED
    assert rows[-1]["interval_low/w"] < 1.0 < rows[-1]["interval_high/w"]


def test_two_weights_are_tuned_together():
    """Two bumps, best at means (0.3, -0.3)."""

    def both(samples):
        return torch.exp(-((samples[:, 0] - 0.3) ** 2)) + torch.exp(-((samples[:, 1] + 0.3) ** 2))

    _, rows = solve(
        lambda_=1.0,
        lower_reward={"a": first, "b": second},
        weights={"a": Variable("wa", 0.1, -1, 1), "b": Variable("wb", 0.1, -1, 1)},
        upper_reward=both,
        max_pool_size=16384,
    )
    last = rows[-1]
    assert last["interval_low/wa"] < 0.3 < last["interval_high/wa"]
    assert last["interval_low/wb"] < -0.3 < last["interval_high/wb"]


def test_a_finite_gamma_reports_both_optima():
    """The penalty favours variance of r1, which moves the optimum of L_gamma."""
    run, rows = solve(gamma=20.0, max_pool_size=16384)
    last = rows[-1]
    assert {"penalised_loss", "unpenalised/lambda"} <= last.keys()
    exact, _ = solve(max_pool_size=16384, pool_size=len(run.state["pool/seed"]))
    assert last["unpenalised/lambda"] == pytest.approx(exact.state["x"][0], rel=1e-6)
    assert last["config/lambda"] != pytest.approx(last["unpenalised/lambda"], rel=1e-3)


def test_an_infinite_gamma_reports_one():
    _, rows = solve(pool_size=1024, max_pool_size=1024)
    assert not {"penalised_loss", "unpenalised/lambda"} & rows[-1].keys()


def test_a_good_problem_passes_its_check():
    tuning(held_out_reward=near_one).check()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": {"other": 1.0}}, r"weights are given for \['other'\], but .* \['lower'\]"),
        ({"max_pool_size": 10}, r"max_pool_size 10 is below pool_size 8192"),
        ({"gamma": 0.0}, r"gamma is 0\.0: input should be greater than 0"),
        ({"gamma": math.nan}, r"gamma is nan"),
        ({"lower_reward": {}}, r"lower_reward is empty"),
        (
            {
                "lower_reward": {"a": first, "b": second},
                "weights": {"a": Variable("lambda", 1, 0, 2), "b": 1.0},
            },
            r"named \['lambda', 'lambda'\], but each needs a name of its own",
        ),
        (
            {
                "lower_reward": {"a": first, "b": second},
                "weights": {"a": Variable("w", 1, 0, 2), "b": 0.0},
            },
            "free together, .* give lambda_ or one weight as a number other than 0",
        ),
    ],
)
def test_a_problem_that_makes_no_sense_is_refused(changes, said):
    with pytest.raises(InputError, match=said):
        tuning(**changes)


@pytest.mark.parametrize(
    ("returned", "kind"),
    [
        (lambda s: s[:, 0].numpy(), "numpy"),
        (lambda s: s[:, 0].tolist(), "a list"),
        (lambda s: s[:, 0] > 0, "bools"),
        (lambda s: (s[:, 0] * 10).long(), "ints"),
        (lambda s: s[:, 0].bfloat16(), "bfloat16"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_reward_may_return_any_kind_of_number(returned, kind):
    problem = tuning(upper_reward=returned, pool_size=64, max_pool_size=64)
    problem.check()
    run, _ = run_locally(problem)
    assert run.state["pool/upper"].dtype == np.float64, kind


def test_samples_may_have_any_shape():
    def video(seeds):
        return gaussian(seeds)[:, :, None, None, None].expand(-1, -1, 3, 2, 2).clone()

    def brightness(samples):
        return samples[:, 0].mean((1, 2, 3))

    problem = tuning(
        model=video, lower_reward=brightness, upper_reward=brightness, pool_size=64,
        max_pool_size=64,
    )  # fmt: skip
    problem.check()
    run, _ = run_locally(problem)
    assert run.state["samples_after"].shape == (32, 2, 3, 2, 2)


def test_a_round_is_the_same_for_the_same_state_and_changes_none():
    problem = tuning(pool_size=1024, shard_size=64)
    state = problem.init(0)
    kept = {name: value.copy() for name, value in state.items()}
    ends = []
    for _ in range(2):
        round_ = problem.run_round(0, state)
        stage = next(round_)
        assert isinstance(stage, Stage)
        drawn = [problem.worker("cpu").run(shard, {}, 0) for shard in stage.shards]
        rows = {name: np.concatenate([o.rows[name] for o in drawn]) for name in drawn[0].rows}
        with pytest.raises(StopIteration) as end:
            round_.send(Output(rows=rows, nfe=256))
        ends.append((stage, end.value.value))
    (stage, one), (again, other) = ends
    assert stage == again
    assert isinstance(one, Update)
    assert one.metrics == pytest.approx(other.metrics, rel=0, abs=0, nan_ok=True)
    assert state.keys() == kept.keys()
    for name, value in kept.items():
        assert state[name].tobytes() == value.tobytes(), name


@pytest.mark.parametrize(("gamma", "searches"), [(math.inf, 1), (20.0, 2)])
def test_a_rounds_pool_is_searched_once_for_each_optimum_that_it_reports(
    monkeypatch, gamma, searches
):
    searched, search = [], PoolSolver.solve

    def counted(solver, **how):
        searched.append(solver)
        return search(solver, **how)

    monkeypatch.setattr(PoolSolver, "solve", counted)
    run, rows = solve(gamma=gamma)
    assert "samples_after" in run.state  # the last round has a stage beside the pool's
    assert len(searched) == searches * len(rows)


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        (lambda images, prompts: prompts, "reward 'upper' reads prompts, but the model draws from"),
        (lambda images, metadata: metadata, "reward 'upper' reads metadata, but "),
    ],
)
def test_a_reward_that_reads_prompts_of_a_model_that_has_none_is_refused(reward, said):
    with pytest.raises(InputError, match=re.escape(said)):
        tuning(upper_reward=reward).check()


def test_model_options_with_a_key_that_is_no_name_are_refused():
    with pytest.raises(InputError, match=r"model_options has '1', but what is known is"):
        RewardTuning(model=gaussian, lower_reward=first, upper_reward=bump, model_options={1: "x"})


@pytest.mark.parametrize(
    ("model", "given", "said"),
    [
        (
            gaussian, {"model_options": {"variant": "fp16", "offload": "model"}},
            "model_options.variant is 'fp16', but the model is a callable, which loads its own "
            "weights; leave it out",
        ),
        (
            "my_models:lora", {"model_options": {"text_encoder_3": None, "tokenizer_3": None}},
            "model_options.without is text_encoder_3, tokenizer_3, but the model is a callable, "
            "which loads its own weights; leave it out",
        ),
        (
            lambda: None, {"dtype": "float16"},
            "dtype is 'float16', but the model is a callable, which loads its own weights; leave "
            "it out, and give the callable's from_pretrained that dtype",
        ),
        (
            gaussian, {"dtype": "float16"},
            "dtype is given, but the model is a callable, which draws by itself; leave it out",
        ),
        (
            gaussian, {"model_options": {"slicing": ["vae"]}},
            "model_options is given, but the model is a callable, which draws by itself; leave it "
            "out",
        ),
        (
            "digits", {"model_options": {"revision": "v2"}},
            "model_options.revision is 'v2', but only a model of the Hugging Face hub has "
            "revisions; leave it out",
        ),
        (
            "digits", {"model_options": {"vae": None}},
            "model_options is given, but model 'digits', a pixel-space pipeline, is drawn from as "
            "it is; leave it out",
        ),
    ],
    ids=["variant", "parts", "its dtype", "dtype", "slicing", "revision", "pixels"],
)  # fmt: skip
def test_what_a_model_has_no_use_for_is_refused(model, given, said):
    with pytest.raises(InputError) as refused:
        RewardTuning(model=model, lower_reward=first, upper_reward=bump, **given).check()
    assert str(refused.value) == said
