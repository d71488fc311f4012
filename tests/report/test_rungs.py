"""What a run whose samples were moved says of itself, in its table and its pictures."""

import numpy as np
import pytest
from PIL import Image

from raybilevel import Result, RewardTuning, RunConfig, ScalingConfig, Variable
from raybilevel.config_file import Config, dump
from raybilevel.report.reward import lines, picture
from raybilevel.runtime.environment import Environment
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.storage import RunDirectory
from raybilevel.runtime.summary import summarise


def images(noise):
    """Samples are their noise, as images."""
    return noise


images.noise_shape = (1, 8, 8)


def corner(samples):
    return samples[:, 0, 0, 0]


def priced(samples):
    return corner(samples) - 0.2 * corner(samples) ** 2


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    """A run that has ended, written down, and its rows; p_x is best where u_0 is N(2.5, 1)."""
    folder = tmp_path_factory.mktemp("climbed") / "run"
    problem = RewardTuning(
        model=images, lower_reward=corner, upper_reward=priced, estimator="annealed",
        lambda_=Variable("lambda", 1.0, 0.05, 20.0, "log"), pool_size=1024, round_size=1024,
    )  # fmt: skip
    run, rows = run_locally(problem, RunConfig(seed=3))
    folder.mkdir()
    directory = RunDirectory(str(folder.parent), folder.name)
    directory.write("config.yaml", dump(Config(problem, ScalingConfig(), RunConfig())).encode())
    directory.write("summary.json", summarise(run, Environment()))
    problem.export(run.state, folder)
    return Result(directory, problem), run.state, rows


def test_the_table_says_where_samples_were_moved_to_and_no_ess(climbed):
    result, _, rows = climbed
    pool = dict(lines(result))["pool"]
    for part in (f"moved to rung {rows[-1]['rung']:.0f} in 16 islands", "of moves accepted",
                 f"log Z by {rows[-1]['log_z_sd']:.3g}", "spreads", "samples of p0"):  # fmt: skip
        assert part in pool
    assert "ESS" not in pool
    assert "nan" not in pool


def test_each_row_of_the_picture_is_a_particles_ancestry_from_p0(climbed):
    result, state, _ = climbed
    rungs, lambdas = state["descendants_rungs"], state["descendants_lambdas"]
    assert np.all(rungs[:, 0] == 0)
    assert np.all(np.isinf(lambdas[:, 0]))
    assert np.all(np.diff(rungs, axis=1) > 0)
    assert np.all(rungs[:, -1] == state["pool/rung"].max())
    np.testing.assert_allclose(lambdas[:, 1:], 1 / state["rungs_scale"][rungs[:, 1:], 0, 0])
    drawn = corner(state["samples_descendants"]).reshape(rungs.shape)
    assert np.isin(drawn, state["pool/lower.lower"].astype(np.float32)).all()
    assert drawn[:, -1].mean() - drawn[:, 0].mean() > 1
    path = f"{result.path}/samples/descendants.png"
    with Image.open(path) as picture_:
        assert picture_.width == rungs.shape[1] * 9 * 10  # eight pixels, one apart, ten times
    assert path in [line for _, line in lines(result)]


def test_the_curve_has_the_rung_that_weighs_most_from_p0_down(climbed):
    result, _, rows = climbed
    curve = result.directory.read_frame("curve.parquet")
    assert "ess" not in curve
    rungs = curve[curve["healthy"]].sort_values("value", ascending=False)["rung"]
    assert rungs.is_monotonic_increasing
    assert (rungs.iloc[0], rungs.iloc[-1]) == (0, rows[-1]["rung"])
    assert picture(result).startswith(b"\x89PNG")
