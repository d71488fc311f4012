"""Storage that fills up and checkpoints that were harmed or altered, through whole runs."""

import json
import subprocess
from contextlib import contextmanager

import pytest
from commands import finish, start
from toys import Descent, Held, bump, but_late, first, gaussian
from users import settle_without_torch

from raybilevel import RewardTuning, RunConfig, ScalingConfig
from raybilevel.errors import StorageError
from raybilevel.runtime.client import drive
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.run_spec import RunSpec
from raybilevel.runtime.storage import RunDirectory

pytestmark = pytest.mark.usefixtures("cluster")


@contextmanager
def disk(folder, kilobytes):
    """A file system that is really that small, where this user may mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount; test_storage.py fills a file up instead")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_at_the_start_is_bad_input(cluster, run_in):
    settle_without_torch(run_in, "full_start")
    with disk(run_in / "runs", 8) as folder:
        with pytest.raises(OSError, match="No space"):
            (folder / "filler").write_bytes(b"x" * 100_000)
        done = finish(start("run", "c.yaml", "--address", cluster))
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert sentence == (
        f"raybilevel: writing config.yaml to {run_in}/runs/mine failed (No space left on device); "
        "make room or give another run.storage_path"
    )


def test_a_disk_that_fills_up_ends_the_run_and_leaves_its_checkpoints(tmp_path):
    problem = RewardTuning(
        model=gaussian, lower_reward=first, upper_reward=bump, pool_size=8192, shard_size=256,
        round_size=1024,
    )  # fmt: skip
    with disk(tmp_path / "small", 256) as folder:
        run = RunConfig(name="run", storage_path=str(folder), storage_timeout_s=2)
        order = RunSpec(problem, ScalingConfig(num_workers=2), run, "run")
        with pytest.raises(StorageError, match=r"No space left on device.*make room or give anot"):
            drive(order, lambda progress: None)
        manifests = (folder / "run" / "checkpoints").glob("*/MANIFEST.json")
        assert any(manifest.stat().st_size for manifest in manifests)


class Away:
    """Watches a run and takes its storage away after round 1, until the run has noticed."""

    def __init__(self, folder, sign):
        self.folder, self.sign, self.notes, self.back = folder, sign, [], False

    def remount(self, how):
        mount = ["mount", "-o", f"remount,{how}", str(self.folder)]
        return subprocess.run(mount, check=False).returncode == 0  # busy while a file is open

    def __call__(self, progress):
        self.notes = but_late(progress.notes)
        if not self.sign.exists():
            if progress.round >= 1 and self.remount("ro"):
                self.sign.touch()
        elif self.notes and not self.back:
            self.back = self.remount("rw")


def test_a_run_whose_storage_was_away_goes_on_to_the_same_bits(tmp_path):
    sign = tmp_path / "away"
    with disk(tmp_path / "small", 4096) as folder:
        run = RunConfig(name="run", storage_path=str(folder), seed=5, storage_timeout_s=30)
        away = Away(folder, sign)
        drive(
            RunSpec(Descent(mishap=Held(sign, 2)), ScalingConfig(num_workers=2), run, "run"), away
        )
        history = RunDirectory(str(folder), "run").read_table("history")
    (note,) = away.notes
    assert note.endswith("failed (Read-only file system); trying again for up to 30 s")
    _, rows = run_locally(Descent(), RunConfig(seed=5))
    assert history["config/x"].tolist() == [row["config/x"] for row in rows]


@pytest.fixture
def begun(tmp_path):
    """A run of two rounds out of four, and how to go on with it."""

    def go(rounds):
        run = RunConfig(name="run", storage_path=str(tmp_path), seed=5, max_rounds=rounds)
        notes = []
        order = RunSpec(Descent(), ScalingConfig(num_workers=1), run, "run")
        drive(order, lambda progress: notes.extend(progress.notes))
        return set(but_late(notes)), json.loads((tmp_path / "run/summary.json").read_text())

    go(2)
    return go, RunDirectory(str(tmp_path), "run")


def alter_record(directory, alter):
    """Change the newest checkpoint's record, and the manifest with it."""
    from raybilevel.runtime.checkpoints import _entry

    folder = "checkpoints/000002"
    record = json.loads(directory.read(f"{folder}/record.json"))
    alter(record)
    data = json.dumps(record).encode()
    manifest = json.loads(directory.read(f"{folder}/MANIFEST.json"))
    files = [e for e in manifest["files"] if not e["file"].endswith("record.json")]
    manifest["files"] = [*files, _entry(f"{folder}/record.json", data)]
    directory.write(f"{folder}/record.json", data)
    directory.write(f"{folder}/MANIFEST.json", json.dumps(manifest).encode())


def test_a_run_that_goes_on_elsewhere_warns_and_is_marked_inexact(begun):
    go, directory = begun
    alter_record(directory, lambda record: record["environment"]["versions"].update(torch="1.0"))
    notes, summary = go(4)
    (note,) = notes
    assert "this run mixes versions (torch 1.0 and " in note
    assert summary["exact"] is False
    assert summary["rounds"] == 4


def test_a_run_with_a_harmed_checkpoint_says_so_and_goes_on_from_the_one_before(begun):
    go, directory = begun
    directory.write("checkpoints/000002/state.safetensors", b"half")
    notes, summary = go(4)
    (note,) = notes
    assert note.startswith("checkpoint 000002 is not whole (checkpoints/000002/state.safetensors")
    assert note.endswith("using the one before")
    assert summary["rounds"] == 4
    assert summary["nfe_total"] == 4 * 2 * 6 * 7
    assert directory.read_table("history")["training_iteration"].tolist() == [1, 2, 3, 4]
