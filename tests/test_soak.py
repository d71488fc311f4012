"""Whole runs of every problem through bad weather, as `jobs/bench/soak.py` does at length."""

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[1] / "jobs" / "bench" / "soak.py"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_night_of_nodes_that_come_and_go_changes_no_bit_of_any_problem():
    command = [sys.executable, SOAK, "--events", "3", "--seeds", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if "the same bits" in line]
    assert [line.split()[0] for line in lines] == ["reward", "schedule", "training"], done.stdout
    assert done.returncode == 0
