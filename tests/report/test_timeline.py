"""Workers over time: who came and went is counted once, and drawn where it happened."""

import pandas as pd
import pytest

from raybilevel.report import timeline


@pytest.fixture
def history():
    return pd.DataFrame(
        {
            "time_total_s": [5.0, 9.0, 16.0, 20.0],
            "num_workers": [2, 4, 1, 3],
            "workers_joined": [2, 4, 4, 6],
            "workers_lost": [0, 0, 2, 2],
            "workers_drained": [0, 0, 1, 1],
            "shards_retried": [0, 0, 3, 3],
            "nfe_repeated": [0, 0, 2100, 2100],
        }
    )


def test_what_came_and_went_is_the_ledgers_last_row(history):
    ((name, text),) = timeline.lines(history)
    assert name == "workers"
    assert text == "6 joined, 2 lost, 1 drained; 3 shards run again, 2,100 NFE"


def test_marks_stand_in_the_rounds_where_something_changed(history):
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    timeline._mark(axes, history, "workers_joined", marker="^")
    (line,) = axes.get_lines()
    assert line.get_xdata().tolist() == [5.0, 9.0, 20.0]
    assert line.get_ydata().tolist() == [2, 4, 3]


def test_the_picture_is_one(history):
    assert timeline.picture(history).startswith(b"\x89PNG")
    assert timeline.picture(history.iloc[:1]).startswith(b"\x89PNG")
