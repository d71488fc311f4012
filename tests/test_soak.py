"""A whole run through bad weather, as `jobs/bench/soak.py` has it at length, with every problem.

Here the one whose processes start soonest: what nodes do to a run is the runtime's, for each alike.
What kills of workers and drivers do to the other problems' bits is in runtime/test_exact.py.
"""

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[1] / "jobs" / "bench" / "soak.py"
EVENTS = {"worker killed", "node added", "node drained", "driver killed", "node killed"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_night_of_nodes_that_come_and_go_changes_no_bit():
    command = [sys.executable, SOAK, "--each", "--seeds", "3", "--problems", "reward"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    (verdict,) = [line for line in lines if line.startswith("reward ")]
    assert verdict.endswith("  the same bits"), done.stdout
    happened = lines[lines.index(verdict) + 1].strip().split(", ")
    assert {f"1 {event}" for event in EVENTS} <= set(happened), done.stdout
    assert done.returncode == 0
