"""Storage that is away for a while, or for good."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from raybilevel.errors import InputError, StorageError
from raybilevel.runtime.checkpoints import Checkpoints
from raybilevel.runtime.storage import BEGUN, RunDirectory
from raybilevel.runtime.writer import Writer


@pytest.fixture
def directory(tmp_path):
    return RunDirectory(str(tmp_path), "run")


def block(directory):
    """Nothing can be written: the run's folder is a file, even for root."""
    Path(directory.root).rename(f"{directory.root}-away")
    Path(directory.root).touch()


def unblock(directory):
    Path(directory.root).unlink()
    Path(f"{directory.root}-away").rename(directory.root)


def test_what_could_not_be_written_is_written_once_the_storage_is_back(directory):
    directory.write("config.yaml", b"")
    block(directory)
    said = []
    writer = Writer(30.0, said.append)
    writer.write(lambda: directory.write("folder/file", b"data"))
    threading.Timer(1.5, unblock, [directory]).start()
    assert 1.0 < writer.wait() < 10
    assert directory.read("folder/file") == b"data"
    assert said[0].startswith(f"writing folder/file to {directory.path} failed (")
    assert said[0].endswith("; trying again for up to 30 s")


def test_storage_that_refuses_for_too_long_ends_it(directory):
    directory.write("config.yaml", b"")
    block(directory)
    writer = Writer(2.5, lambda sentence: None)
    writer.write(lambda: directory.write("file", b""))
    with pytest.raises(StorageError, match=r"^writing file to .* another run\.storage_path$"):
        writer.wait()


def test_storage_that_hangs_ends_it_too(directory, monkeypatch):
    monkeypatch.setattr("raybilevel.runtime.writer._LONGEST", 0.5)
    directory.write("folder/other", b"")
    os.mkfifo(f"{directory.root}/folder/file")  # whoever opens it waits for a reader
    writer = Writer(1.0, lambda sentence: None)
    writer.write(lambda: directory.write("folder/file", b""))
    started = time.monotonic()
    with pytest.raises(StorageError, match=r"^the storage has not answered for 1 s; look after it"):
        writer.wait()
    assert time.monotonic() - started < 3
    os.close(os.open(f"{directory.root}/folder/file", os.O_RDONLY | os.O_NONBLOCK))


def test_an_error_that_is_not_the_storages_is_not_swallowed():
    writer = Writer(1.0, lambda sentence: None)
    writer.write(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        writer.wait()


def test_a_checkpoint_that_failed_half_way_is_whole_after_another_try(directory):
    checkpoints = Checkpoints(directory)
    state = {"x": np.zeros(1), "pool/seed": np.arange(3)}
    rows = [{"training_iteration": 1}]
    directory.write("checkpoints/000001", b"in the way of the folder")
    with pytest.raises(StorageError):
        checkpoints.write(state, {"round": 1}, rows)  # after the pool's and the history's parts
    directory.delete("checkpoints/000001")
    checkpoints.write(state, {"round": 1}, rows)
    assert Checkpoints(directory).read().state["pool/seed"].tolist() == [0, 1, 2]
    assert directory.read_table("history")["training_iteration"].tolist() == [1]


def test_a_driver_that_sees_another_folder_says_so(directory):
    with pytest.raises(InputError, match=r"where the run's driver is, does not see .*nodes share"):
        directory.try_out()
    directory.write(BEGUN, b"{}")
    directory.try_out()
    assert not directory.has("probe")
