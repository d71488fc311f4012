"""The reward problem over prompts, by a function that draws from them: its optimum is known.

Under p_x a coordinate of spread s has the mean m + s^2 / lambda, so that with the upper reward
exp(-(u - m - 1/2)^2) F is minus the sum of pi exp(-(s^2 / lambda - 1/2)^2 / (1 + 2 s^2)) over the
root of 1 + 2 s^2.
"""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.optimize import minimize_scalar

from raybilevel import RewardTuning, RunConfig, Variable
from raybilevel.errors import InputError
from raybilevel.problems.base import Status
from raybilevel.problems.reward.shards import DrawRewards
from raybilevel.problems.reward.shown.rows import ShownRows
from raybilevel.runtime.rounds import run_locally

SPREADS = {"narrow": 0.8, "wide": 1.2}
MEANS = {"narrow": 3.0, "wide": -6.0}
SHARES = {"narrow": 0.75, "wide": 0.25}
PROMPTS = ("narrow", "wide", "narrow", "narrow")


def exact(lambda_):
    """F."""
    return -sum(
        SHARES[p] * np.exp(-((s**2 / lambda_ - 0.5) ** 2) / (1 + 2 * s**2)) / np.sqrt(1 + 2 * s**2)
        for p, s in SPREADS.items()
    )


BEST = minimize_scalar(exact, bounds=(0.3, 20.0), method="bounded").x


def normal(seeds, prompts):
    drawn = [torch.randn(1, generator=torch.Generator().manual_seed(s)) for s in seeds]
    return torch.stack(
        [MEANS[p] + SPREADS[p] * u for p, u in zip(prompts, drawn, strict=True)]
    ).reshape(-1, 1, 1, 1)


normal.nfe_per_sample = 3


def value(samples):
    return samples.flatten(1)[:, 0]


def near(samples, prompts):
    means = torch.tensor([MEANS[p] for p in prompts])
    return torch.exp(-((value(samples) - means - 0.5) ** 2))


def tuning(**changes):
    given = {
        "model": normal, "prompts": PROMPTS, "lower_reward": value, "upper_reward": near,
        "lambda_": Variable("lambda", 3.0, 0.3, 20.0, "log"), "samples_per_prompt": 3000,
        "shard_size": 1000,
    }  # fmt: skip
    return RewardTuning(**given | changes)


@pytest.fixture(scope="module")
def solved():
    return run_locally(tuning(), RunConfig(seed=7))


def test_the_known_optimum_over_prompts_is_inside_the_interval(solved):
    run, rows = solved
    assert run.stop.status is Status.CONVERGED
    last = rows[-1]
    assert last["interval_low/lambda"] < BEST < last["interval_high/lambda"]
    assert abs(last["upper_loss"] - exact(BEST)) < 4 * last["upper_loss_se"]


def test_every_prompt_has_as_many_samples_after_every_round(solved):
    run, rows = solved
    for row in rows:
        counts = np.bincount(run.state["pool/prompt"][: int(row["pool_size"])])
        assert len(set(counts)) == 1
    assert rows[-1]["prompts"] == 2
    more = shown(run).more
    assert 0 < len(more) < 2 * 6
    assert rows[-1]["nfe_total"] == 3 * (rows[-1]["pool_size"] + 2 * 2 * 8 + len(more))


def shown(run):
    state = run.state
    point = tuning().objective(state).at(state["x"])
    return ShownRows.of(state, point, point.weights, 2)


def test_a_pools_row_is_of_its_seed_and_prompt(solved):
    state = solved[0].state
    names = [["narrow", "wide"][c] for c in state["pool/prompt"][::1000]]
    wanted = value(normal(state["pool/seed"][::1000].tolist(), names)).double()
    np.testing.assert_array_equal(state["pool/lower.lower"][::1000], wanted)


def test_prompts_travel_with_a_problem_as_others_have_neither_their_file_nor_the_hub(tmp_path):
    (tmp_path / "prompts.txt").write_text("narrow\nwide\n")
    problem = tuning(prompts=str(tmp_path / "prompts.txt")).pinned()
    problem.check()
    in_driver = pickle.dumps(problem)
    (tmp_path / "prompts.txt").unlink()
    in_worker = pickle.dumps(pickle.loads(in_driver))
    worker = pickle.loads(in_worker).worker("cpu")
    rows = worker.run(DrawRewards((1, 2), (1, 0)), {}, key=0).rows
    wanted = value(normal([1, 2], ["wide", "narrow"]))
    np.testing.assert_array_equal(rows["pool/lower.lower"], wanted)
    assert pickle.loads(in_driver).init(0)["prompts_digest"] == problem.prompt_list.digest


def test_samples_are_shown_prompt_by_prompt(solved):
    run, _ = solved
    before, after = run.state["samples_before"], run.state["samples_after"]
    assert before.shape == after.shape == (16, 1, 1, 1)
    assert before[:8].mean() > 1 > -1 > before[8:].mean()
    assert after[:8].mean() > 1 > -1 > after[8:].mean()


def test_samples_along_lambda_are_of_their_rows_seeds_and_prompts(solved):
    state, rows = solved[0].state, shown(solved[0]).along.rows
    falling = state["x"][0] * np.array([np.inf, 4, 2, 1])  # at half of it the gates fail
    np.testing.assert_array_equal(state["along_lambdas"], [falling] * 2)
    np.testing.assert_array_equal(state["pool/prompt"][rows], [[0] * 4, [1] * 4])
    drawn = state["samples_along"].reshape(rows.shape)
    np.testing.assert_allclose(drawn, state["pool/lower.lower"][rows], rtol=1e-6)
    assert np.all(np.diff(drawn) >= 0)


def test_samples_of_p_x_keep_the_prompts_shares(solved):
    run, _ = solved
    samples = tuning().samples(run.state, 400, seed=0, device="cpu").flatten()
    assert torch.sum(samples > 0.5).item() == pytest.approx(300, abs=1)


def test_what_a_run_exports_says_which_prompts_it_shows(solved, tmp_path):
    tuning().export(solved[0].state, tmp_path)
    assert (tmp_path / "samples" / "prompts.txt").read_text() == "narrow\nwide\n"
    assert (tmp_path / "samples" / "after.png").is_file()
    along = (tmp_path / "samples" / "along_lambda.txt").read_text().splitlines()
    assert [line.split(": ")[0] for line in along] == ["narrow", "wide"]
    said, lambda_ = along[0].split(": ")[1].split(", "), solved[0].state["x"][0]
    assert said == ["p0", f"{4 * lambda_:.3g}", f"{2 * lambda_:.3g}", f"best {lambda_:.3g}"]
    with Image.open(tmp_path / "samples" / "along_lambda.png") as picture:
        width, height = picture.size
    assert width / (4 * 2) == height / (2 * 3)  # cells of a pixel, its gap and its caption's band
    assert not (tmp_path / "pipeline").exists()


def by_place(seeds, prompts):
    """Sixty prompts, each with a spread of its own."""
    drawn = [torch.randn(1, generator=torch.Generator().manual_seed(s)) for s in seeds]
    spreads = [0.7 + 0.01 * int(p) for p in prompts]
    return torch.stack([s * u for s, u in zip(spreads, drawn, strict=True)]).reshape(-1, 1, 1, 1)


def below_one(samples):
    """Enough of the reward is enough."""
    return -((value(samples) - 0.6) ** 2)


def test_many_prompts_of_few_samples_give_an_interval_for_these_and_one_for_prompts_like_these(
    tmp_path,
):
    many = tuning(
        model=by_place, prompts=tuple(map(str, range(60))), upper_reward=below_one,
        samples_per_prompt=64, max_pool_size=60 * 64,
    )  # fmt: skip
    run, rows = run_locally(many, RunConfig(seed=2))
    assert run.stop.status is Status.CONVERGED
    last, spreads = rows[-1], 0.7 + 0.01 * np.arange(60)
    best = (spreads**4).sum() / (0.6 * spreads**2).sum()
    for kind in ("", "_prompts_like_these"):
        low, high = (last[f"interval_{end}{kind}/lambda"] for end in ("low", "high"))
        assert low < best < high
    assert last["upper_loss_se_prompts_like_these"] > 0
    many.export(run.state, tmp_path)
    curve = pd.read_parquet(tmp_path / "curve.parquet")
    assert curve["upper_loss_se_prompts_like_these"].notna().all()


def test_few_prompts_do_not_say_how_others_would_differ(solved):
    last = solved[1][-1]
    assert np.isnan(last["interval_low_prompts_like_these/lambda"])
    assert np.isnan(last["upper_loss_se_prompts_like_these"])


def test_one_prompt_gives_the_numbers_of_none():
    def plain(seeds):
        return normal(seeds, ["wide"] * len(seeds))

    def near_it(samples):
        return near(samples, ["wide"] * len(samples))

    one, _ = run_locally(tuning(prompts=("wide",), samples_per_prompt=4096))
    none, _ = run_locally(
        tuning(prompts=None, samples_per_prompt=None, model=plain, upper_reward=near_it)
    )
    assert one.state["x"].tobytes() == none.state["x"].tobytes()


def test_an_evaluation_draws_as_many_of_each_prompt():
    problem = tuning(samples_per_prompt=100)
    run, _ = run_locally(problem.evaluation([{"x": np.array([2.0])}], 250, rounds=2))
    assert np.bincount(run.state["pool/prompt"]).tolist() == [125, 125]
    assert problem.evaluation_cost().whole == 3 * 200


def test_a_reward_that_reads_metadata_is_given_each_samples_own(tmp_path):
    table = tmp_path / "prompts.csv"
    table.write_text("prompt,mean\nnarrow,3.0\nwide,-6.0\n")

    def told(samples, prompts, metadata):
        assert [MEANS[p] for p in prompts] == [float(m["mean"]) for m in metadata]
        return near(samples, prompts), {"info": "is left alone"}

    problem = tuning(prompts=str(table), upper_reward=told, samples_per_prompt=500)
    state = run_locally(problem, RunConfig(max_rounds=1))[0].state
    assert len(state["pool/upper"]) == 250


def test_a_run_does_not_go_on_with_other_prompts_than_it_began_with(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("narrow\nwide\n")
    state = run_locally(tuning(prompts=str(file)), RunConfig(max_rounds=1))[0].state
    same, changed = tuning(prompts=str(file)), "prompts are not those that the run began with"
    same.objective(state)
    file.write_text("wide\nnarrow\n")
    other = tuning(prompts=str(file))
    with pytest.raises(InputError, match=changed):
        other.objective(state)
    with pytest.raises(InputError, match=changed):
        other.samples(state, 2, seed=0, device="cpu")


def test_two_samples_of_each_prompt_are_the_least():
    with pytest.raises(InputError, match=r"^3 samples of 2 prompts say nothing of how sure they a"):
        tuning().evaluation([{"x": np.array([2.0])}], 3)


def test_what_a_reward_does_to_its_metadata_stays_there(tmp_path):
    table = tmp_path / "p.jsonl"
    table.write_text('{"prompt": "narrow", "n": [1]}\n{"prompt": "wide", "n": [1]}\n')

    def greedy(samples, prompts, metadata):
        return [float(len(m["n"]) + (m["n"].clear() or 0)) for m in metadata]

    run, _ = run_locally(tuning(prompts=str(table), upper_reward=greedy), RunConfig(max_rounds=1))
    assert set(run.state["pool/upper"]) == {1.0}


def test_of_a_long_list_so_many_prompts_are_drawn_by_seed():
    def many(seeds, prompts):
        return torch.tensor([float(len(p)) for p in prompts]).reshape(-1, 1, 1, 1) + normal(
            seeds, ["narrow"] * len(seeds)
        )

    names = ["x" * n for n in range(1, 41)]
    some = tuning(
        model=many, prompts=(*names, *names[20:]), max_prompts=10, upper_reward=value,
        samples_per_prompt=4, max_pool_size=40,
    )  # fmt: skip
    drawn = []
    for seed in (0, 0, 1):
        state = run_locally(some, RunConfig(seed=seed))[0].state
        assert np.bincount(state["pool/prompt"])[state["prompts_drawn"]].tolist() == [4] * 10
        heard = normal(state["pool/seed"].tolist(), ["narrow"] * 40).flatten()
        lengths = state["pool/prompt"] + 1  # of the prompt that the model was given
        np.testing.assert_allclose(state["pool/upper"], lengths + heard.numpy(), rtol=1e-6)
        within = some.objective(state).prompts
        assert np.bincount(within.of).tolist() == [4] * 10
        twice = state["prompts_drawn"] >= 20
        np.testing.assert_allclose(within.shares, (1 + twice) / (10 + twice.sum()))
        drawn.append(state["prompts_drawn"].tolist())
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("each", [2, 3, 5])
def test_no_estimate_is_made_of_one_sample_of_a_prompt(each):
    few = tuning(samples_per_prompt=each, max_pool_size=2 * each)
    _, rows = run_locally(few, RunConfig(seed=0))
    assert rows[0]["pool_size"] == 4
    assert rows[-1]["pool_size"] == 2 * each
    assert few.planned_rounds(few.init(0)) == len(rows)


def test_more_prompts_than_there_are_change_nothing(solved):
    again, _ = run_locally(tuning(max_prompts=2), RunConfig(seed=7))
    assert again.state.keys() == solved[0].state.keys()
    assert again.state["x"].tobytes() == solved[0].state["x"].tobytes()


def test_what_is_exported_names_the_prompts_that_were_drawn(tmp_path):
    one = tuning(max_prompts=1, samples_per_prompt=1024, max_pool_size=1024)
    run, _ = run_locally(one, RunConfig(seed=2))
    one.export(run.state, tmp_path)
    name = ["narrow", "wide"][run.state["prompts_drawn"][0]]
    assert (tmp_path / "samples" / "prompts.txt").read_text() == f"{name}\n"
    assert (tmp_path / "samples" / "along_lambda.txt").read_text().startswith(f"{name}: p0, ")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompts": None, "samples_per_prompt": None}, "is a function of seeds and prompts, but"),
        ({"prompts": ()}, "prompts is empty; give at least one"),
        ({"prompts": None}, "samples_per_prompt is 3000, but there are no prompts"),
        ({"model": lambda seeds: torch.zeros(len(seeds), 1)}, "is a function of seeds alone"),
        ({"call_options": {"guidance_scale": 3}}, "call_options is given, but the model is a call"),
        ({"scheduler": {"class": "DDIMScheduler"}}, "scheduler is given, but the model is a call"),
        ({"max_pool_size": 3000}, "max_pool_size 3000 is below pool_size 6000"),
        (
            {"prompts": None, "samples_per_prompt": None, "max_prompts": 3},
            "max_prompts is 3, but there are no prompts; leave it out, or give prompts",
        ),
        (
            {"upper_reward": lambda images, prompts, metadata: [m["mean"] for m in metadata]},
            "reward 'upper' failed on a batch of (2, 1, 1, 1): KeyError: 'mean'",
        ),
    ],
    ids=[
        "missing", "empty", "samples", "seeds alone", "options", "scheduler", "limit", "count",
        "metadata",
    ],
)  # fmt: skip
def test_prompts_that_do_not_fit_the_model_are_refused(changes, said):
    with pytest.raises(InputError) as refused:
        tuning(**changes).check()
    assert said in str(refused.value)
