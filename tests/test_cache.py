from concurrent.futures import ThreadPoolExecutor

import pytest

from raybilevel.cache import cache_folder, made_once


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYBILEVEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_environment_names_the_folder(folder):
    assert cache_folder() == folder


def test_without_the_environment_the_folder_is_the_users_own(monkeypatch):
    monkeypatch.delenv("RAYBILEVEL_CACHE")
    assert cache_folder().name == "raybilevel"


def test_a_thing_is_made_once_and_kept():
    calls = []

    def make(path):
        calls.append(path)
        path.write_text("made")

    assert made_once("thing-v1", make).read_text() == "made"
    assert made_once("thing-v1", make).read_text() == "made"
    assert len(calls) == 1


def test_those_who_ask_at_once_wait_for_one_maker():
    calls = []

    def make(path):
        calls.append(path)
        path.mkdir()
        (path / "part").write_text("x" * 10_000)

    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: made_once("folder-v1", make), range(8)))
    assert len(calls) == 1
    assert all((p / "part").stat().st_size == 10_000 for p in paths)


def test_a_maker_that_fails_half_way_leaves_nothing_and_the_next_one_makes_it(folder):
    def fail(path):
        path.mkdir()
        (path / "half").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        made_once("folder-v1", fail)
    assert not [p for p in folder.iterdir() if p.suffix != ".lock"]

    def make(path):
        path.write_text("whole")

    assert made_once("folder-v1", make).read_text() == "whole"
