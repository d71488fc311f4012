"""`summary.json`: a run in one page, for people and scripts."""

from __future__ import annotations

import json
import math
from typing import Any

from raybilevel.runtime.environment import Environment, versions
from raybilevel.runtime.rounds import Run


def summarise(run: Run, environment: Environment) -> bytes:
    """The summary of a run that has stopped, as JSON."""
    assert run.stop is not None, "only a run that has stopped is summed up"
    last = {name: _plain(value) for name, value in run.last.items()}
    summary: dict[str, Any] = {
        "status": run.stop.status,
        "reason": run.stop.reason,
        "best_params": {
            v.name: float(x) for v, x in zip(run.problem.variables, run.state["x"], strict=True)
        },
        "upper_loss": last.get("upper_loss"),
        "upper_loss_se": last.get("upper_loss_se"),
        "nfe_total": run.ledger.nfe_total,
        "worker_seconds_total": run.ledger.worker_seconds_total,
        "rounds": run.round,
        "seed": run.config.seed,
        "versions": versions(),
        "exact": environment.exact and run.problem.exact_in(run.state),
        "metrics": last,
    }
    return json.dumps(summary, indent=2).encode()


def _plain(value: float) -> float | None:
    """JSON has no nan: what was not given is null."""
    return None if isinstance(value, float) and math.isnan(value) else value
