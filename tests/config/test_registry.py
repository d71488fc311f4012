"""Names that packages register are found, loaded only when named, and mean the same elsewhere."""

import subprocess
import sys

import pytest
from packages import register, write_module

from raybilevel.config import registry
from raybilevel.errors import InputError
from raybilevel.runtime.serialization import Serialized

GROUPS = ("problems", "rewards", "schedules", "solvers", "searches")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of packages that this process sees."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_looked_up", {})
    monkeypatch.setattr(registry, "_handed_over", {})
    return tmp_path


@pytest.mark.parametrize("group", GROUPS)
def test_all_that_comes_along_is_where_the_registry_says(group):
    for name in registry.names(group):
        entry = registry.find(group, name)
        assert entry.ours
        assert entry.load() is not None


def test_a_name_is_found_without_an_import_and_loaded_when_asked_for(site):
    register(site, "their-rewards", "rewards", "theirs", "their_rewards_1:make")
    write_module(site, "their_rewards_1", "def make(device): return len")
    assert registry.names("rewards")[-1] == "theirs"
    entry = registry.find("rewards", "theirs")
    assert entry.package == "their-rewards"
    assert not entry.ours
    assert "their_rewards_1" not in sys.modules
    assert entry.load()("cpu") is len
    assert "theirs" not in registry.names("problems")
    assert registry.find("problems", "theirs") is None


def test_what_is_loaded_has_its_name_however_it_was_come_by(site):
    register(site, "their-names", "searches", "theirs", "their_names:search")
    write_module(site, "their_names", "def search(ask): pass\ndef other(ask): pass")
    assert registry.name_of("searches", len) is None
    assert "their_names" not in sys.modules
    import their_names

    assert registry.name_of("searches", their_names.search) == "theirs"
    assert registry.name_of("searches", their_names.other) is None


@pytest.mark.parametrize(("name", "first"), [("twice", "one"), ("ink", "raybilevel")])
def test_two_packages_that_register_one_name_are_both_said(site, name, first):
    for package in {"one": ("one", "two")}.get(first, ("two",)):
        register(site / package, package, "rewards", name, f"{package}_module:make")
        sys.path.append(str(site / package))
    try:
        with pytest.raises(InputError, match=f"'{name}' is registered by two packages") as caught:
            registry.find("rewards", name)
    finally:
        del sys.path[-2 if first == "one" else -1 :]
    assert f"{first} (" in str(caught.value)
    assert "two (two_module:make)" in str(caught.value)


ELSEWHERE = """
import sys
from raybilevel.config import registry
from raybilevel.runtime.serialization import Serialized
assert registry.find("rewards", "theirs") is None
assert Serialized(open(sys.argv[1], "rb").read(), ("nowhere",)).load() == "content"
print(registry.find("rewards", "theirs").path)
"""


def test_a_name_means_the_same_where_its_package_registers_nothing(site, tmp_path):
    register(site, "their-travels", "rewards", "theirs", "their_module:make")
    registry.find("rewards", "theirs")
    file = tmp_path / "content"
    file.write_bytes(Serialized.dump("content").data)
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(file)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert done.stdout == "their_module:make\n"
