"""A trial by itself, in this process: Tune's own calls, without Tune."""

import numpy as np
import pytest
from ray.tune.trainable import trainable
from schedule_toys import Pixels, learning

from raybilevel.baselines.trial import TrialRun, read_end
from raybilevel.runtime.serialization import Serialized

PROBLEM = learning(extractor=Pixels(), training={"evaluate_every": 4}).lean()


class LocalTrial(TrialRun):
    """Set up with what `tune.with_parameters` would give it."""

    def setup(self, config):
        super().setup(config, Serialized.dump(PROBLEM), 3, 1, "cpu")


@pytest.fixture
def trial(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trainable, "DEFAULT_STORAGE_PATH", str(tmp_path / "ray_results"))
    made = LocalTrial({v.name: v.init for v in PROBLEM.variables})
    yield made
    made.stop()


def test_a_trial_goes_on_from_the_step_it_is_told_where_one_folder_has_two(trial, tmp_path):
    folder = str(tmp_path / "checkpoint_000001")
    first = trial.train()
    half = trial.save(folder)
    last = trial.train()
    trial.save(folder)
    assert [first["whole"], last["whole"]] == [False, True]
    trial.restore(half)
    again = trial.train()
    assert again["whole"]
    assert again["upper_loss"] == last["upper_loss"]
    assert again["nfe_this_iter"] == last["nfe_this_iter"] == PROBLEM.evaluation_cost().whole / 2
    early, late = (read_end(folder, step).state["average"] for step in (1, 2))
    assert not np.array_equal(early, late)
