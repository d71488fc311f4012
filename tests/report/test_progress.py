import math
import sys

import pytest
from terminals import Terminal

from raybilevel.report.progress import display, live_line, plain_lines, row_line, status_line
from raybilevel.runtime.run_status import Progress

ROW = {
    "training_iteration": 3,
    "config/x": 1.23456,
    "upper_loss": -0.5,
    "upper_loss_se": 0.0123,
    "ess": 812.4,
    "nfe_total": 51200,
    "num_workers": 2,
}


def progress(rows=(), notes=(), workers=2, seconds_left=75.0):
    return Progress(list(rows), 3, 5, workers, seconds_left, list(notes), False, None, "")


def test_a_row_says_x_the_loss_with_its_error_ess_nfe_and_workers():
    line = row_line(ROW)
    for part in ("round 3", "x 1.235", "-0.5000 ± 0.0123", "ESS 812", "51,200", "2 workers"):
        assert part in line


def test_a_loss_that_the_run_cannot_say_is_said_to_be_unknown():
    assert "not known yet" in row_line({**ROW, "upper_loss": math.nan})


RUNG = {
    "rung": 7.0, "islands": 16.0, "log_z_sd": 0.314, "acceptance": 0.62, "kl": 3.1,
    "lambda_over_spread/a": 0.5, "lambda_over_spread/b": 0.4,
}  # fmt: skip


def test_a_row_of_moved_samples_says_where_they_are_in_place_of_an_ess():
    row = {name: value for name, value in ROW.items() if name != "ess"} | RUNG
    line = row_line(row)
    for part in ("rung 7", "16 islands", "log Z sd 0.31", "KL 3.10", "accepted 62%",
                 "lambda/spread 0.4 "):  # fmt: skip
        assert part in line
    assert "ESS" not in line
    unmoved = row_line({**row, "acceptance": math.nan})
    assert "accepted" not in unmoved
    assert "nan" not in unmoved
    resampled = row_line({**row, "acceptance": math.nan, "distinct_ancestors": 22.7})
    assert "23 distinct ancestors" in resampled


def test_a_row_says_what_moving_and_guiding_were_worth_once_a_run_has_chosen():
    worth = {"effective_per_nfe/annealed": 0.0041, "effective_per_nfe/guided": 0.016}
    assert "effective in 1,000 NFE 4.1 moved, 16 guided" in row_line(ROW | worth)
    assert "cannot be guided" in row_line(ROW | dict.fromkeys(worth, math.nan))
    assert "guided" not in row_line(ROW)


def test_an_ess_that_nobody_knows_is_not_said():
    assert "ESS" not in row_line({**ROW, "ess": math.nan})


def test_a_row_of_a_training_says_its_loss_and_no_other_does():
    row = {**ROW, "lower_loss": 0.25}
    assert "training loss 0.2500" in row_line({**row, "learning_rate": 1e-3})
    assert row_line(row) == row_line(ROW)


def test_the_live_line_has_the_last_round_and_the_time_left():
    line = live_line(progress(), ROW)
    for part in ("x 1.235", "ESS 812", "51,200", "round 4", "5 shards", "2 workers", "1:15 left"):
        assert part in line


def test_waiting_for_workers_is_said():
    assert "waiting for workers" in status_line(progress(workers=0))


@pytest.mark.parametrize(("seconds", "text"), [(9.4, "0:09"), (61, "1:01"), (3661, "1:01:01")])
def test_time_left_reads_as_a_clock(seconds, text):
    assert f"about {text} left" in status_line(progress(seconds_left=seconds))


def test_without_a_terminal_each_row_and_note_is_printed_once(capfd):
    with display() as show:
        show(progress(rows=[ROW], notes=["a note"]))
        show(progress(notes=["a note"]))
    printed = capfd.readouterr().err.splitlines()
    assert printed == ["a note", row_line(ROW)]


def test_what_others_print_stands_above_the_live_line_in_lines_of_its_own(monkeypatch):
    terminal = Terminal(monkeypatch)
    with display() as show:
        show(progress())
        print("a reward prints")  # noqa: T201
        show(progress(rows=[ROW]))
        print("and complains", file=sys.stderr)  # noqa: T201
        show(progress())
    assert terminal.lines() == ["a reward prints", row_line(ROW), "and complains"]


def test_a_watch_of_the_users_own_gets_the_progress_instead(capfd):
    seen = []
    with display(seen.append) as show:
        show(progress(rows=[ROW]))
    assert len(seen) == 1
    assert capfd.readouterr().err == ""


def test_of_a_searchs_results_the_first_is_said_at_once_and_the_next_when_some_time_has_passed(
    capsys,
):
    say = plain_lines(every=1000)
    for line in (
        "tpe, seed 0: begins",
        *(f"tpe, seed 0: {n} trials, 9 NFE, least 1" for n in (1, 2)),
    ):
        say(line)
    say("tpe, seed 0: 9 NFE, 1 worker-seconds")
    said = capsys.readouterr().err
    assert "begins" in said
    assert "1 trials" in said
    assert "2 trials" not in said
    assert "worker-seconds" in said
