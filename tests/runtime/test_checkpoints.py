"""What is written comes back; what is not whole does not exist."""

import numpy as np
import pytest

from raybilevel.errors import InputError
from raybilevel.runtime.checkpoints import Checkpoints
from raybilevel.runtime.storage import RunDirectory


def state(round_):
    """A table that gains three rows a round, and arrays of several kinds."""
    return {
        "x": np.array([0.1, round_]),
        "count": np.array(round_, dtype=np.int64),
        "small": np.array(0.5, dtype=np.float32),
        "image": np.arange(12, dtype=np.uint8).reshape(3, 4).T,
        "pool/seed": np.arange(3 * round_, dtype=np.int64),
        "pool/upper": np.arange(3 * round_) / 7,
        "empty/value": np.empty(0),
    }


def write(directory, *rounds):
    checkpoints = Checkpoints(directory)
    for round_ in rounds:
        record = {"round": round_, "ledger": {"nfe_total": 7 * round_}}
        checkpoints.write(state(round_), record, [{"training_iteration": round_}])


def damage(directory, file, content):
    directory.write(file, content(directory.read(file)))


@pytest.fixture
def directory(tmp_path):
    return RunDirectory(str(tmp_path), "run")


def assert_same_arrays(read, wanted):
    whole = {name: value for name, value in wanted.items() if name != "empty/value"}
    assert read.keys() >= whole.keys()
    for name, value in whole.items():
        assert read[name].dtype == value.dtype, name
        np.testing.assert_array_equal(read[name], value, strict=True)


def test_a_state_comes_back_to_the_bit(directory):
    write(directory, 1, 2)
    checkpoint = Checkpoints(directory).read()
    assert_same_arrays(checkpoint.state, state(2))
    assert checkpoint.record["ledger"] == {"nfe_total": 14}
    assert checkpoint.skipped == ()


def test_a_table_that_is_empty_comes_back_empty(directory):
    write(directory, 1)
    assert Checkpoints(directory).read().state["empty/value"].shape == (0,)


def test_where_nothing_was_written_there_is_nothing(directory):
    assert Checkpoints(directory).read() is None


def test_a_part_holds_the_new_rows_alone_and_is_never_written_again(directory):
    write(directory, 1)
    first = directory.read("pool/part-000001.parquet")
    checkpoints = Checkpoints(directory)
    checkpoints.recover()
    checkpoints.write(state(2), {"round": 2}, [{"training_iteration": 2}])
    assert directory.read("pool/part-000001.parquet") == first
    assert directory.read_frame("pool/part-000002.parquet")["seed"].tolist() == [3, 4, 5]
    assert directory.read_table("history")["training_iteration"].tolist() == [1, 2]


def test_three_checkpoints_are_kept_and_every_part(directory):
    write(directory, 1, 2, 3, 4, 5)
    assert directory.list("checkpoints") == ["000003", "000004", "000005"]
    assert len(directory.list("pool")) == 5


@pytest.mark.parametrize(
    "file", ["state.safetensors", "record.json", "MANIFEST.json"],
)  # fmt: skip
@pytest.mark.parametrize(
    "harm",
    [lambda data: data[: len(data) // 2], lambda data: b"\x00" + data[1:], lambda data: b""],
    ids=["cut short", "altered", "emptied"],
)
def test_the_checkpoint_before_a_damaged_one_is_used_and_it_says_so(directory, file, harm):
    write(directory, 1, 2, 3)
    damage(directory, f"checkpoints/000003/{file}", harm)
    checkpoint = Checkpoints(directory).read()
    assert_same_arrays(checkpoint.state, state(2))
    (sentence,) = checkpoint.skipped
    assert "000003" in sentence
    assert "using the one before" in sentence


@pytest.mark.parametrize("file", ["state.safetensors", "record.json", "MANIFEST.json"])
def test_the_checkpoint_before_an_incomplete_one_is_used(directory, file):
    write(directory, 1, 2)
    directory.delete(f"checkpoints/000002/{file}")
    checkpoint = Checkpoints(directory).read()
    assert_same_arrays(checkpoint.state, state(1))
    assert len(checkpoint.skipped) == 1


def test_a_damaged_new_part_costs_its_checkpoint_alone(directory):
    write(directory, 1, 2)
    damage(directory, "pool/part-000002.parquet", lambda data: data[:-1])
    assert_same_arrays(Checkpoints(directory).read().state, state(1))


def test_a_damaged_part_that_all_checkpoints_need_is_bad_input(directory):
    write(directory, 1, 2, 3)
    damage(directory, "pool/part-000001.parquet", lambda data: data[:-1])
    with pytest.raises(InputError, match=r"no checkpoint .* is whole .*part-000001.*another run"):
        Checkpoints(directory).read()


def leave(directory):
    """What a driver leaves that is lost while it writes its fourth checkpoint."""
    directory.write("pool/part-000004.parquet", b"half")
    directory.write("history/part-000004.parquet", b"half")
    directory.write("checkpoints/000004/state.safetensors", b"half")


def test_what_a_lost_driver_left_is_dropped_by_the_next_one(directory):
    write(directory, 1, 2, 3)
    leave(directory)
    Checkpoints(directory).recover()
    assert directory.list("checkpoints") == ["000001", "000002", "000003"]
    parts = ["part-000001.parquet", "part-000002.parquet", "part-000003.parquet"]
    assert directory.list("pool") == directory.list("history") == parts


def test_reading_changes_nothing_since_a_driver_may_be_writing(directory):
    write(directory, 1, 2, 3)
    leave(directory)
    assert_same_arrays(Checkpoints(directory).read().state, state(3))
    assert directory.has("pool/part-000004.parquet")
    assert directory.has("checkpoints/000004/state.safetensors")


def test_rounds_after_a_damaged_checkpoint_are_written_again(directory):
    write(directory, 1, 2, 3)
    damage(directory, "checkpoints/000003/record.json", lambda data: data[:-1])
    checkpoints = Checkpoints(directory)
    assert checkpoints.recover().record["round"] == 2
    checkpoints.write(state(3), {"round": 3}, [{"training_iteration": 3}])
    again = Checkpoints(directory).read()
    assert_same_arrays(again.state, state(3))
    assert again.skipped == ()
