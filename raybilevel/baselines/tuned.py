"""Ray Tune's searches, run: trials of the problem, what they cost, what they found."""

from __future__ import annotations

import io
import os
import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ray import tune

from raybilevel.baselines.outcome import Outcome, end_of, records
from raybilevel.baselines.searches import Ask, make_search, tune_config
from raybilevel.baselines.steps import SearchWatch, Steps, watching
from raybilevel.baselines.trial import ADMITTED, METRIC, TrialRun, read_end
from raybilevel.config.settings import ScalingConfig
from raybilevel.errors import RunError
from raybilevel.problems.base import Arrays, Problem
from raybilevel.runtime.serialization import Serialized
from raybilevel.runtime.storage import RunDirectory

if TYPE_CHECKING:
    import pandas as pd

_FAILURES = 3  # of a trial, after each of which it goes on from its last checkpoint


@dataclass(frozen=True)
class SearchSpec:
    """A search of the problem.

    Attributes
    ----------
    name : of a registered search.
    problem, scaling : what, and with how much of the cluster a trial.
    budget : NFE.
    seed : of the search and of the trials.
    grid_points : along each variable.
    place : where Tune writes.
    """

    name: str
    problem: Problem
    scaling: ScalingConfig
    budget: int
    seed: int
    grid_points: int
    place: RunDirectory


def search(spec: SearchSpec, watch: SearchWatch) -> Outcome:
    """Run a search to its end, going on with one that was begun in its place."""
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # `watching` has its own
    with watching(watch) as ended, _seeded(spec.seed), redirect_stdout(io.StringIO()):
        results = _tuner(spec).fit()
    return _outcome(spec, results, ended[0])


def _tuner(spec: SearchSpec) -> tune.Tuner:
    trainable, place = _trainable(spec), spec.place
    if not tune.Tuner.can_restore(place.root, storage_filesystem=place.remote):
        return _new(spec, trainable)
    if not any(file.startswith("experiment_state") for file in place.list("")):
        place.delete_folder("")  # Tune would make one trial of nothing
        return _new(spec, trainable)
    try:
        return tune.Tuner.restore(
            place.root, trainable, resume_unfinished=True, restart_errored=True,
            storage_filesystem=place.remote,
        )  # fmt: skip
    except (EOFError, pickle.UnpicklingError):  # its first file was not written whole
        place.delete_folder("")
        return _new(spec, trainable)


def _new(spec: SearchSpec, trainable: Any) -> tune.Tuner:
    cost, place = spec.problem.evaluation_cost(), spec.place
    ask = Ask(spec.problem.variables, spec.seed, spec.budget, cost, spec.grid_points)
    found = make_search(spec.name, ask)
    staged = cost.unit < cost.whole
    run = tune.RunConfig(
        name=place.name, storage_path=place.root.rpartition("/")[0],
        storage_filesystem=place.remote, verbose=0,
        failure_config=tune.FailureConfig(max_failures=_FAILURES),
        checkpoint_config=tune.CheckpointConfig(
            num_to_keep=None if found.population else 1,
            checkpoint_frequency=int(staged), checkpoint_at_end=staged,
        ),
        callbacks=[Steps()],
    )  # fmt: skip
    config = tune_config(found, spec.scaling.num_workers[1])
    return tune.Tuner(trainable, param_space=found.space, tune_config=config, run_config=run)


def _trainable(spec: SearchSpec) -> Any:
    scaling = spec.scaling
    given = tune.with_parameters(
        TrialRun,
        serialized=Serialized.dump(spec.problem),
        seed=spec.seed,
        threads=scaling.cpus_per_worker,
        device="cuda" if scaling.use_gpu else "cpu",
    )
    resources = {"cpu": scaling.cpus_per_worker, "gpu": scaling.gpus}
    return tune.with_resources(given, resources)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """PBT and PB2 draw from the global generators."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002


def _outcome(spec: SearchSpec, results: tune.ResultGrid, steps: pd.DataFrame) -> Outcome:
    if not len(steps):
        error = str(results.errors[0] if results.errors else "none was made").strip()
        raise RunError(f"all trials of '{spec.name}' failed: {error.splitlines()[-1]}")
    rows = _rows(spec, steps)
    # only a whole trial leaves something behind
    losses = np.where(steps["whole"].to_numpy(bool), steps[METRIC], np.inf)
    at = records(losses.tolist())
    trials = {r.metrics["trial_id"]: r for r in results if r.metrics}
    ends = [_end(spec.problem, steps.iloc[i], trials) for i in at]
    return Outcome(rows, ends, np.array(at, dtype=int), results.num_errors)


def _rows(spec: SearchSpec, steps: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    variables = [v.name for v in spec.problem.variables]
    began = steps["time"].iloc[0] - steps["time_this_iter_s"].iloc[0]
    return pd.DataFrame(
        {
            "method": spec.name,
            "seed": spec.seed,
            "trial_id": steps["trial_id"],
            "training_iteration": steps["training_iteration"],
            "time_total_s": steps["time"] - began,
            "nfe_total": steps["nfe_this_iter"].cumsum(),
            "worker_seconds_total": steps["worker_seconds_this_iter"].cumsum(),
            "upper_evaluations": np.arange(1, len(steps) + 1),
            "upper_loss": steps[METRIC],
            **{f"config/{name}": steps[f"{ADMITTED}{name}"] for name in variables},
        }
    )


def _end(problem: Problem, row: pd.Series, results: dict[str, Any]) -> Arrays:
    """What a trial left behind: its x, and its network where it trained one."""
    x = np.array([row[f"{ADMITTED}{v.name}"] for v in problem.variables])
    checkpoint = results[row["trial_id"]].checkpoint
    if checkpoint is None:
        return {"x": x}
    with checkpoint.as_directory() as folder:
        return end_of(read_end(folder, int(row["training_iteration"])).state)
