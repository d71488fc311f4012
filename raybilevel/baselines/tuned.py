"""Ray Tune's searches, run: trials of the problem, what they cost, what they found."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ray import tune
from ray.tune import Callback

from raybilevel.baselines.outcome import Outcome, records
from raybilevel.baselines.searches import Ask, make_search, tune_config
from raybilevel.baselines.spending import Spending, step_key
from raybilevel.baselines.trial import ADMITTED, METRIC, TrialRun, read_end
from raybilevel.config import ScalingConfig
from raybilevel.errors import RunError
from raybilevel.problems.base import Arrays, Problem
from raybilevel.runtime.parcel import Parcel

if TYPE_CHECKING:
    import pandas as pd

_FAILURES = 3  # of a trial, after each of which it goes on from its last checkpoint
_KEPT = ("x", "average")  # of a trial's state: all that scoring needs

Watch = Callable[[int, int, float], None]
"""Called with trials so far, their NFE, and the least loss, after every result."""


_watching: ContextVar[Watch] = ContextVar("watching")


@dataclass(frozen=True)
class Order:
    """A search of the problem.

    Attributes
    ----------
    name : of `TUNED`, or "default".
    problem, scaling : what, and with how much of the cluster a trial.
    budget : NFE.
    seed : of the search and of the trials.
    grid_points : along each variable.
    folder : where Tune writes: its storage path and the experiment's name.
    """

    name: str
    problem: Problem
    scaling: ScalingConfig
    budget: int
    seed: int
    grid_points: int
    folder: tuple[str, str]


def search(order: Order, watch: Watch) -> Outcome:
    """Run a search to its end, going on with one that was begun in its folder."""
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # or an interrupted search would look whole
    _watching.set(watch)
    with _seeded(order.seed), redirect_stdout(io.StringIO()):  # Tune's own tables
        results = _tuner(order).fit()
    return _outcome(order, results)


def _tuner(order: Order) -> tune.Tuner:
    trainable, path = _trainable(order), "/".join(order.folder)
    if tune.Tuner.can_restore(path):
        return tune.Tuner.restore(path, trainable, resume_unfinished=True, restart_errored=True)
    cost = order.problem.trial_cost()
    trials = order.budget // cost.whole
    concurrent = order.scaling.num_workers[1]
    results = -(-cost.whole // cost.unit)
    found = make_search(
        order.name, Ask(order.problem.variables, order.seed, trials, results, order.grid_points)
    )
    staged = cost.unit < cost.whole
    run = tune.RunConfig(
        name=order.folder[1], storage_path=order.folder[0], verbose=0,
        stop=Spending(order.budget, cost.unit, concurrent) if order.name == "asha" else None,
        failure_config=tune.FailureConfig(max_failures=_FAILURES),
        checkpoint_config=tune.CheckpointConfig(
            num_to_keep=1, checkpoint_frequency=int(staged), checkpoint_at_end=staged
        ),
        callbacks=[_Watched()],
    )  # fmt: skip
    return tune.Tuner(
        trainable, param_space=found.space, tune_config=tune_config(found, concurrent),
        run_config=run,
    )  # fmt: skip


def _trainable(order: Order) -> Any:
    scaling = order.scaling
    given = tune.with_parameters(
        TrialRun,
        parcel=Parcel.pack(order.problem),
        seed=order.seed,
        threads=scaling.cpus_per_worker,
        device="cuda" if scaling.use_gpu else "cpu",
    )
    resources = {"cpu": scaling.cpus_per_worker, "gpu": int(scaling.use_gpu)}
    return tune.with_resources(given, resources)


class _Watched(Callback):
    """Tells how the search goes to who is watching; Tune stores it, so it does not know who."""

    def __init__(self) -> None:
        self._nfe, self._least = 0, np.inf

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._nfe += result["nfe_this_iter"]
        self._least = min(self._least, result[METRIC])
        _watching.get()(len(trials), self._nfe, float(self._least))


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


def _outcome(order: Order, results: tune.ResultGrid) -> Outcome:
    import pandas as pd

    frames = [f for f in (r.metrics_dataframe for r in results) if f is not None and len(f)]
    if not frames:
        raise RunError(f"all trials of '{order.name}' failed, the first with: {results.errors[0]}")
    steps = pd.concat(frames, ignore_index=True)
    steps = steps.sort_values("timestamp", kind="stable", ignore_index=True)
    key = [step_key(row["trial_id"], row) for row in steps.to_dict("records")]
    steps = steps[~pd.Series(key).duplicated()].reset_index(drop=True)
    rows = _rows(order, steps)
    ended = steps["done"].to_numpy(bool)
    losses = np.where(ended, steps[METRIC], np.inf)  # only a whole trial leaves something behind
    at = records(losses.tolist())
    states = {r.metrics["trial_id"]: r for r in results if r.metrics}
    ends = [_end(order.problem, steps.iloc[i], states) for i in at]
    return Outcome(rows, ends, np.array(at, dtype=int), results.num_errors)


def _rows(order: Order, steps: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    started = steps["timestamp"].iloc[0] - steps["time_this_iter_s"].iloc[0]
    variables = [v.name for v in order.problem.variables]
    return pd.DataFrame(
        {
            "method": order.name,
            "seed": order.seed,
            "trial_id": steps["trial_id"],
            "training_iteration": steps["training_iteration"],
            "time_total_s": steps["timestamp"] - started,
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
        state = read_end(folder).state
    return {name: state[name] for name in _KEPT if name in state}
