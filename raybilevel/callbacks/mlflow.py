"""Rows as metrics of an MLflow run, which goes on when the run is resumed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raybilevel.callbacks.base import Row

_TAG = "raybilevel.path"
_LONGEST = 500  # characters of a parameter: what every MLflow store takes


@dataclass
class MLflow:
    """Logs to one MLflow run for a run directory.

    Parameters
    ----------
    path : the run directory, by which the MLflow run is found again.
    run_name : what MLflow shows it as.
    params : the configuration by dotted names, logged once.
    tracking_uri, experiment : where to; MLflow's own `MLFLOW_TRACKING_URI` and
        `MLFLOW_EXPERIMENT_NAME` where the run is started.
    """

    path: str
    run_name: str
    params: Mapping[str, Any]
    tracking_uri: str
    experiment: str
    name: str = "mlflow"
    _client: Any = field(default=None, init=False)
    _run_id: str = field(default="", init=False)

    def __call__(self, row: Row) -> None:
        """A metric a column, at the round."""
        from mlflow.entities import Metric

        if self._client is None:
            self._open()
        now, step = time.time_ns() // 1_000_000, int(row["training_iteration"])
        metrics = [Metric(column, float(value), now, step) for column, value in row.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def _open(self) -> None:
        from mlflow import MlflowClient

        client = MlflowClient(self.tracking_uri)
        known = client.get_experiment_by_name(self.experiment)
        experiment = known.experiment_id if known else client.create_experiment(self.experiment)
        found = client.search_runs([experiment], f"tags.`{_TAG}` = '{self.path}'", max_results=1)
        if found:
            self._run_id = found[0].info.run_id
            client.update_run(self._run_id, "RUNNING")
        else:
            self._run_id = self._create(client, experiment)
        self._client = client

    def _create(self, client: Any, experiment: str) -> str:
        from mlflow.entities import Param

        run = client.create_run(experiment, tags={_TAG: self.path}, run_name=self.run_name)
        params = [Param(name, str(value)[:_LONGEST]) for name, value in self.params.items()]
        for start in range(0, len(params), 100):  # as many as a call may carry
            client.log_batch(run.info.run_id, params=params[start : start + 100])
        return str(run.info.run_id)

    def close(self, fine: bool) -> None:
        """Say to MLflow that the run has ended."""
        if self._client is not None:
            self._client.set_terminated(self._run_id, "FINISHED" if fine else "FAILED")
