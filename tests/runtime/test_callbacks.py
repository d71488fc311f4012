"""What hears of a run: every row, in the driver, and no harm to the run."""

import json
import struct
import threading
from pathlib import Path

import pytest
from toys import Descent, but_late

from raybilevel import RunConfig, ScalingConfig
from raybilevel.callbacks import prepare
from raybilevel.runtime.callbacks import Callbacks
from raybilevel.runtime.client import drive
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.run_spec import RunSpec
from raybilevel.runtime.storage import RunDirectory
from raybilevel.testing.quiet import differences


class Lines:
    """Appends rows to a file."""

    def __init__(self, file):
        self.file = file

    def __call__(self, row):
        with Path(self.file).open("a") as lines:
            lines.write(json.dumps(row) + "\n")


def broken(row):
    raise OSError("no route to host")


def play(folder, callbacks, **run):
    """A run of four rounds that tells them; gives the notes that its user saw."""
    config = RunConfig(name="run", storage_path=str(folder), seed=5, **run)
    listeners = prepare(callbacks, f"{folder}/run", {"problem": "descent"})
    notes = []
    drive(
        RunSpec(Descent(), ScalingConfig(num_workers=1), config, "run", listeners),
        lambda progress: notes.extend(n for n in progress.notes if n not in notes),
    )
    return but_late(notes)


def scalars(folder):
    """(tag, step, value) in TensorBoard's event files, oldest first."""
    from tensorboardX.proto.event_pb2 import Event

    for file in sorted(folder.iterdir()):
        data = file.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            for value in event.summary.value:
                yield value.tag, event.step, value.simple_value
            data = data[16 + length :]


@pytest.mark.slow
def test_every_round_comes_to_every_callback_and_a_resumed_run_goes_on_there(
    cluster, tmp_path, monkeypatch
):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "nights")
    callbacks = ["tensorboard", "mlflow", Lines(f"{tmp_path}/lines")]
    assert not play(tmp_path, callbacks, max_rounds=2)
    play(tmp_path, callbacks)
    losses = RunDirectory(str(tmp_path), "run").read_table("history")["upper_loss"].tolist()
    assert len(losses) == 4

    rows = [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]
    assert [row["training_iteration"] for row in rows] == [1, 2, 3, 4]
    assert [row["upper_loss"] for row in rows] == losses

    shown = [(s, v) for tag, s, v in scalars(tmp_path / "run/tensorboard") if tag == "upper_loss"]
    assert [step for step, _ in shown] == [1, 2, 3, 4]
    assert [value for _, value in shown] == pytest.approx(losses)

    client = MlflowClient()
    experiment = client.get_experiment_by_name("nights")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.data.params == {"problem": "descent"}
    history = client.get_metric_history(run.info.run_id, "upper_loss")
    assert [(m.step, m.value) for m in history] == list(enumerate(losses, 1))


def test_a_callback_that_fails_is_said_and_left_out_and_the_run_is_as_without(cluster, tmp_path):
    notes = play(tmp_path, [broken, Lines(f"{tmp_path}/lines")])
    assert notes == [
        "callback broken failed (OSError: no route to host); the run goes on without it"
    ]
    assert len((tmp_path / "lines").read_text().splitlines()) == 4
    quiet = run_locally(Descent(), RunConfig(seed=5))
    assert not list(differences(RunDirectory(str(tmp_path), "run"), *quiet))


def test_a_callback_that_hangs_holds_up_no_round_and_the_end_not_for_long(monkeypatch):
    monkeypatch.setattr("raybilevel.runtime.callbacks._LAST_ROWS", 0.2)
    notes, free = [], threading.Event()
    callbacks = Callbacks(prepare([lambda row: free.wait()], "/runs/run", {}), notes.append)
    for i in range(3):
        callbacks.row({"training_iteration": i})
    callbacks.close(fine=True)
    free.set()
    assert len(notes) == 1 and "not all rows were taken 0.2 s after the end" in notes[0]
