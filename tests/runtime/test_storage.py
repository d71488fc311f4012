"""One code path for local folders and object stores; trouble is said in one sentence."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import boto3
import numpy as np
import pytest

from raybilevel.errors import InputError, StorageError
from raybilevel.runtime.checkpoints import Checkpoints
from raybilevel.runtime.storage import RunDirectory


@pytest.fixture(scope="module")
def s3():
    """A storage path in a bucket of a real S3 server on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
        url = f"http://127.0.0.1:{port}"
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
        client.create_bucket(Bucket="bucket")
        options = f"scheme=http&endpoint_override=127.0.0.1:{port}&region=us-east-1"
        yield f"s3://key:secret@bucket/runs?{options}"
    finally:
        os.kill(server.pid, signal.SIGTERM)
        server.wait(10)


def wait_for(port):
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with socket.socket() as knock:
            if knock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError


@pytest.fixture(params=["a local folder", "S3"])
def directory(request, tmp_path):
    path = request.getfixturevalue("s3") if request.param == "S3" else str(tmp_path)
    return RunDirectory(path, f"run-{os.urandom(4).hex()}")


def test_a_file_is_there_once_it_is_written(directory):
    assert not directory.exists()
    assert not directory.has("config.yaml")
    directory.write("config.yaml", b"problem: reward\n")
    assert directory.exists()
    assert directory.read("config.yaml") == b"problem: reward\n"


def test_what_is_not_there_cannot_be_read(directory):
    with pytest.raises(FileNotFoundError):
        directory.read("nothing")
    assert directory.list("nothing") == []


def test_names_are_listed_in_order(directory):
    for name in ("b", "a", "c"):
        directory.write(f"folder/{name}", b"")
    assert directory.list("folder") == ["a", "b", "c"]
    directory.delete("folder/b")
    assert directory.list("folder") == ["a", "c"]
    directory.delete_folder("folder")
    assert directory.list("folder") == []


def test_a_tree_of_files_is_copied_as_it_is(directory, tmp_path):
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "er" / "file").write_bytes(b"\x00\xff")
    directory.upload(source)
    assert directory.read("deep/er/file") == b"\x00\xff"


def test_checkpoints_come_back_and_are_pruned(directory):
    checkpoints = Checkpoints(directory)
    for round_ in range(1, 6):
        state = {"x": np.array([float(round_)]), "pool/seed": np.arange(round_)}
        checkpoints.write(state, {"round": round_}, [{"training_iteration": round_}])
    assert directory.list("checkpoints") == ["000003", "000004", "000005"]
    read = Checkpoints(directory).recover()
    assert read.state["x"].tolist() == [5.0]
    assert read.state["pool/seed"].tolist() == list(range(5))


def test_a_damaged_checkpoint_is_passed_over(directory):
    checkpoints = Checkpoints(directory)
    for round_ in (1, 2):
        checkpoints.write({"x": np.array([round_])}, {"round": round_}, [])
    directory.delete("checkpoints/000002/record.json")
    read = Checkpoints(directory).recover()
    assert read.record == {"round": 1}
    assert directory.list("checkpoints") == ["000001"]


def test_the_path_is_what_restore_takes(tmp_path):
    directory = RunDirectory(str(tmp_path), "a run, 100% #1?")
    directory.write("config.yaml", b"")
    again = RunDirectory.at(directory.path)
    assert again.exists()
    assert (tmp_path / "a run, 100% #1?" / "config.yaml").exists()


def test_a_bucket_that_is_not_there_is_bad_storage(s3):
    with pytest.raises(StorageError, match=r"storage_path"):
        RunDirectory(s3.replace("bucket", "nobucket", 1), "run").write("config.yaml", b"")


def test_a_scheme_that_nobody_knows_is_bad_input():
    with pytest.raises(InputError, match=r"run\.storage_path is 'nope://somewhere'"):
        RunDirectory("nope://somewhere", "run")


def test_a_folder_that_is_a_file_is_bad_storage(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(StorageError, match=r"writing config\.yaml to .* failed .*storage_path"):
        RunDirectory(str(tmp_path / "runs"), "run").write("config.yaml", b"")


WRITE = """
import resource, signal, sys
from raybilevel.errors import StorageError
from raybilevel.runtime.storage import RunDirectory
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
directory = RunDirectory(sys.argv[1], "run")
directory.write("small", b"x" * 1000)
try:
    directory.write("big", b"x" * 200_000)
except StorageError as error:
    print(error)
"""


def test_a_file_that_does_not_fit_is_said_in_one_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WRITE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    (sentence,) = done.stdout.splitlines()
    assert sentence.startswith(f"writing big to {tmp_path}/run failed (")
    assert sentence.endswith("make room or give another run.storage_path")
    assert Path(tmp_path / "run" / "small").stat().st_size == 1000
