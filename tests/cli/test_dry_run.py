"""A configuration that is only checked: what it would cost is said, and nothing is begun."""

import sys

import pytest
from users import settle

from raybilevel.cli import main as cli


def ran(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["raybilevel", "run", "c.yaml", "--dry-run", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr()


def test_what_a_run_costs_is_said_and_nothing_begins(run_in, monkeypatch, capsys):
    settle(run_in, "dry")
    code, said = ran(monkeypatch, capsys, "pool_size=64", "max_pool_size=1000")
    assert not code
    lines = [line.split(maxsplit=1) for line in said.out.splitlines()]
    assert lines[0] == ["tuned", "lambda in 1 to 20, from 3"]
    assert lines[1:3] == [["NFE", "64 of a first pool"], ["NFE", "1,000 of the largest pool of p0"]]
    assert "no run.max_nfe" in said.out
    assert not (run_in / "runs").exists()


def test_a_budget_is_said(run_in, monkeypatch, capsys):
    settle(run_in, "budgeted")
    assert "run.max_nfe 5,000" in ran(monkeypatch, capsys, "run.max_nfe=5000")[1].out


def test_bad_input_is_refused_as_when_it_runs(run_in, monkeypatch, capsys):
    settle(run_in, "wrong")
    code, said = ran(monkeypatch, capsys, "upper_reward=wrong:nobody")
    assert code == 2
    assert "nobody" in said.err.splitlines()[-1]
