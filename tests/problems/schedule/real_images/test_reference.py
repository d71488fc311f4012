"""A sampling schedule tuned to reference statistics, and which of them are refused."""

import numpy as np
import pandas as pd
import pytest
from schedule_toys import Pixels, at, learning, save_pipeline, tuning

from raybilevel import RunConfig
from raybilevel.data import folds, load
from raybilevel.errors import InputError
from raybilevel.runtime.rounds import run_locally

OWN = "schedule_toys:Pixels"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reference")


@pytest.fixture(scope="module")
def model(folder):
    return save_pipeline(folder / "pipeline")


@pytest.fixture(scope="module")
def statistics(folder):
    """Those of the pixels of the images that `data="digits"` trains on."""
    pixels = folds(load("digits"))[0].images.flatten(1).double().numpy()
    np.savez(folder / "stats.npz", mu=pixels.mean(axis=0), sigma=np.cov(pixels, rowvar=False))
    return str(folder / "stats.npz")


def test_fid_is_to_the_statistics(model, statistics):
    found = []
    for data in (statistics, "digits"):
        problem = tuning(model, data=data, extractor=OWN)
        _, (row,) = run_locally(problem.evaluation([at(problem)]), RunConfig(seed=5))
        found.append([row["upper_loss"], row["upper_loss_se"]])
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_what_needs_images_is_not_there(model, statistics, tmp_path):
    problem = tuning(model, data=statistics, extractor=OWN, optimizer={"updates": 1})
    problem.check()
    said = problem.remarks()[-1]
    assert said.startswith("data: reference statistics have no images, so there is no KID, no sec")
    run, rows = run_locally(problem, RunConfig(seed=5))
    assert np.isnan([rows[-1]["fid_floor"], rows[-1]["fid_second_floor"]]).all()
    problem.export(run.state, tmp_path)
    table = pd.read_parquet(tmp_path / "comparison.parquet").set_index(["subject", "steps"])
    by_images = [c for c in table if c.startswith("kid") or c.endswith("_second")]
    assert table[by_images].isna().all(axis=None)
    assert np.isfinite(table[["nfe", "fid", "fid_se", "fid_gap", "fid_gap_se"]]).all(axis=None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "extractor 'auto' is made of images; give the extractor that they are"),
        ({"extractor": "trained"}, "extractor 'trained' is made of images"),
        ({"extractor": "masked"}, "extractor 'masked' is made of images"),
        ({"extractor": OWN, "second_extractor": "masked"}, "second_extractor is given, but data"),
        ({"extractor": Pixels, "objective": "kid"}, "objective is 'kid', which is taken to images"),
    ],
    ids=["auto", "trained", "masked", "second", "kid"],
)
def test_statistics_go_with_fid_and_the_extractor_that_they_are_of(
    model, statistics, changes, said
):
    with pytest.raises(InputError, match=said) as refused:
        tuning(model, data=statistics, **changes).check()
    assert "\n" not in str(refused.value)


def test_a_network_is_not_trained_on_statistics(statistics):
    with pytest.raises(InputError, match=r"reference statistics .* but a network is trained on im"):
        learning(data=statistics, extractor=OWN).check()
