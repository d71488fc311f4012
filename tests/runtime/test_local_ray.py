"""Where a Ray of our own puts its files: its sockets have names of at most 107 bytes."""

import pytest
from ray._common.utils import get_default_ray_temp_dir
from ray._private.utils import validate_socket_filepath

from raybilevel.runtime.local_ray import temp_dir


def longest_socket(folder):
    return f"{folder}/session_2026-11-28_16-05-47_123456_4194304/sockets/plasma_store"


def test_a_usual_temporary_directory_stays(monkeypatch, tmp_path, caplog):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/tmp")
    assert temp_dir() == get_default_ray_temp_dir() == "/tmp/ray"
    assert not caplog.messages


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_temporary_directory_too_long_for_sockets_is_left_for_a_shorter_one(
    monkeypatch, caplog, variable
):
    long = "/scratch/" + 9 * "ten-signs-"
    for name in ("TMPDIR", "RAY_TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, long)
    found = temp_dir()
    validate_socket_filepath(longest_socket(found))
    with pytest.raises(OSError, match="cannot exceed"):
        validate_socket_filepath(longest_socket(long))
    (said,) = caplog.messages
    assert said == (
        f"the temporary directory {long} is too long for the names of Ray's sockets; Ray's files "
        f"go to {found}"
    )
