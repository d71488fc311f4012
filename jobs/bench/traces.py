"""The traces of five runs, bit by bit, to be held against those of another commit.

    python jobs/bench/traces.py --save before.json      # on one commit
    python jobs/bench/traces.py --against before.json   # on another: exit code 1 where bits differ

The demo, three weights, a sampling schedule by FID and by KID, and a training with the penalty
term, without Ray: as small as they can be with all their stages. A trace is what the history says
round by round (but for seconds), as hexadecimal floats, and a digest of each array of the state at
the end. It holds on one kind of CPU, with the same versions of everything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from raybilevel import RewardTuning, RunConfig, SamplingSchedule, TrainingSchedule, Variable
from raybilevel.cli.demo import reward_demo
from raybilevel.problems.base import Problem
from raybilevel.runtime.rounds import run_locally

app = typer.Typer(add_completion=False)

SMALL: dict[str, Any] = {
    "data": "digits", "sampling_steps": 4, "estimation": {"samples": 64},
    "optimizer": {"directions": 2, "updates": 3},
}  # fmt: skip


def demo() -> RewardTuning:
    return reward_demo().but(pool_size=2048, sampling_steps=20)


def weights() -> RewardTuning:
    return RewardTuning(
        model="digits",
        lower_reward={"realism": "realism", "ink": "ink", "zero": "proxy_logit(0)"},
        upper_reward="legibility + 0.7 * novelty - 3 * ink_error(0.315)",
        lambda_=1.0,
        weights={
            "realism": Variable("w_realism", 2.0, 0.0, 5.0),
            "ink": Variable("w_ink", 0.0, -50.0, 50.0),
            "zero": Variable("w_zero", 0.0, -1.0, 1.0),
        },
        gamma=50.0,
        pool_size=2048,
        max_pool_size=4096,
        sampling_steps=20,
    )


def schedule(objective: str) -> SamplingSchedule:
    comparison = {"samples": 128, "steps": (5,)}
    return SamplingSchedule(model="digits", objective=objective, comparison=comparison, **SMALL)


def training() -> TrainingSchedule:
    return TrainingSchedule(
        network={"block_out_channels": [8, 16], "norm_num_groups": 4},
        training={
            "rounds": 16, "shards": 2, "inner_steps": 3, "batch_size": 16, "evaluate_every": 4,
        },
        penalty={"z_step": "truncated", "gamma": (50.0, 100.0)},
        comparison={"samples": 128},
        **SMALL,
    )  # fmt: skip


RUNS: dict[str, Callable[[], Problem]] = {
    "demo": demo,
    "three weights": weights,
    "sampling schedule, FID": lambda: schedule("fid"),
    "sampling schedule, KID": lambda: schedule("kid"),
    "training, penalty": training,
}


def trace(problem: Problem) -> dict[str, dict[str, str]]:
    """Of a run, by place: the history's numbers, the end, and what the state holds."""
    run, rows = run_locally(problem, RunConfig(seed=7))
    assert run.stop is not None
    return {
        "history": {
            f"round {row['training_iteration']}, {name}": float(value).hex()
            for row in rows
            for name, value in row.items()
            if "seconds" not in name and not name.startswith("time")
        },
        "stop": {"status": str(run.stop.status), "reason": run.stop.reason},
        "state": {name: digest(array) for name, array in sorted(run.state.items())},
    }


def digest(array: np.ndarray) -> str:
    content = hashlib.sha256(np.asarray(array, order="C").tobytes()).hexdigest()
    return f"{array.dtype} {array.shape} {content[:16]}"


def differences(ours: dict[str, dict[str, str]], theirs: dict[str, dict[str, str]]) -> list[str]:
    """What differs, place by place."""
    places = sorted({(part, key) for each in (ours, theirs) for part in each for key in each[part]})
    return [
        f"{part}: {key} is {ours[part].get(key)}, was {theirs[part].get(key)}"
        for part, key in places
        if ours[part].get(key) != theirs[part].get(key)
    ]


@app.command()
def main(
    save: Annotated[Path | None, typer.Option(help="Write the traces here.")] = None,
    against: Annotated[Path | None, typer.Option(help="Compare with those written here.")] = None,
    only: Annotated[
        str | None, typer.Option(help="Of the runs, those whose name has this.")
    ] = None,
) -> None:
    """Run all five; write or compare."""
    names = [name for name in RUNS if only is None or only in name]
    known = json.loads(against.read_text()) if against else {}
    found, differ = {}, False
    for name in names:
        found[name] = trace(RUNS[name]())
        numbers = len(found[name]["history"])
        lines = differences(found[name], known[name]) if against else []
        differ |= bool(lines)
        verdict = f"{len(lines)} differ" if lines else "the same bits" if against else "traced"
        print(f"{name}: {numbers} numbers of the history, {verdict}", flush=True)
        print("".join(f"  {line}\n" for line in lines[:20]), end="", flush=True)
    if save:
        save.write_text(json.dumps(found, indent=1))
    raise typer.Exit(int(differ))


if __name__ == "__main__":
    app()
