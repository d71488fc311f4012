"""What a run's table says of groups of prompts."""

import math

import pandas as pd

from raybilevel.report.parts import FILE, part_items
from raybilevel.result import Result
from raybilevel.runtime.storage import RunDirectory

ROW = {"kind": "group", "kl": 0.1, "reward": 1.0, "reward_se": 0.1, "samples_needed": 900.0}


def said(tmp_path, *rows):
    (tmp_path / "run").mkdir()
    pd.DataFrame([ROW | row for row in rows]).to_parquet(tmp_path / "run" / FILE)
    (table,) = part_items(Result(RunDirectory(str(tmp_path), "run")))
    assert table.rows[0] == (table.name.removesuffix("s"), "KL", "reward", "best alone")
    return [" | ".join(row) for row in table.rows[1:]]


def alone(name, value):
    return {f"alone{end}/{name}": value for end in ("", "_low", "_high")}


def test_of_groups_with_variables_of_their_own_each_is_told_its_own_or_none(tmp_path):
    assert said(
        tmp_path,
        {"name": "thin", "group": "thin", **alone("lambda/thin", math.nan)},
        {"name": "thick", "group": "thick", **alone("lambda/thick", 2.0)},
        {"name": "held", "group": "held"},
    ) == [
        "thin | 0.10 | 1.000 ± 0.100 | lambda/thin unknown (of 900 samples it may be known)",
        "thick | 0.10 | 1.000 ± 0.100 | lambda/thick 2 (2 to 2)",
        "held | 0.10 | 1.000 ± 0.100 | ",
    ]


def test_of_groups_of_which_one_ends_as_another_is_called_each_is_told_its_own(tmp_path):
    assert said(
        tmp_path,
        {"name": "b", "group": "b", **alone("lambda/b", 2.0)},
        {"name": "a/b", "group": "a/b", **alone("lambda/a/b", 3.0)},
    ) == [
        "b | 0.10 | 1.000 ± 0.100 | lambda/b 2 (2 to 2)",
        "a/b | 0.10 | 1.000 ± 0.100 | lambda/a/b 3 (3 to 3)",
    ]


def test_what_groups_share_each_is_told_beside_its_own(tmp_path):
    shared = alone("w", 1.0)
    assert said(
        tmp_path,
        {"name": "thin", "group": "thin", **shared, **alone("lambda/thin", 3.0)},
        {"name": "held", "group": "held", **shared},
    ) == [
        "thin | 0.10 | 1.000 ± 0.100 | w 1 (1 to 1), lambda/thin 3 (3 to 3)",
        "held | 0.10 | 1.000 ± 0.100 | w 1 (1 to 1)",
    ]


def test_prompts_without_groups_are_told_of_every_variable(tmp_path):
    row = {"kind": "prompt", "name": "a cat", "group": None, **alone("lambda", 3.0)}
    assert said(tmp_path, row) == ["a cat | 0.10 | 1.000 ± 0.100 | lambda 3 (3 to 3)"]


def test_a_prompt_is_told_in_one_line(tmp_path):
    row = {"kind": "prompt", "name": "a cat,\n" + "sleeping " * 20, "group": None}
    (line,) = said(tmp_path, row)
    assert line.startswith("a cat, sleeping sleeping") and "\n" not in line
    assert line.index("... | 0.10") == 57
