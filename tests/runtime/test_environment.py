"""What bits depend on is remembered, and a mixture is said once and marks the run."""

import subprocess
import sys

import pytest

from raybilevel.runtime.environment import Environment, hardware, versions

CPU = {"cpu_capability": "AVX2", "threads": 1}


def test_versions_name_what_decides_bits_and_formats():
    assert versions().keys() >= {"python", "raybilevel", "ray", "torch", "diffusers", "numpy"}


def test_hardware_names_the_cpus_capability_and_threads():
    assert hardware("cpu").keys() == {"cpu_capability", "threads"}


def test_hardware_is_named_without_torch_where_the_problem_has_none():
    code = (
        "import sys; from raybilevel.runtime.environment import hardware; facts = hardware('cpu'); "
        "print(facts['cpu_capability'].split()[0], facts['threads'] > 0, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["numpy", "True", "False"]


def test_workers_of_one_kind_keep_a_run_exact():
    environment = Environment()
    assert environment.add_workers([CPU, dict(CPU)]) == []
    assert environment.add_workers([dict(CPU)]) == []
    assert environment.exact


@pytest.mark.parametrize("other", [{"cpu_capability": "AVX512"}, {"threads": 2}, {"gpu": "H100"}])
def test_workers_of_two_kinds_are_said_once_and_mark_the_run(other):
    environment = Environment()
    (sentence,) = environment.add_workers([CPU, CPU | other])
    name, value = next(iter(other.items()))
    assert f"{name} {CPU.get(name)} and {value}" in sentence
    assert not environment.exact
    assert environment.add_workers([CPU, CPU | other]) == []


def recorded(**changes):
    first = Environment()
    first.add_workers([CPU])
    return first.record() | changes


def test_a_run_that_goes_on_with_the_same_stays_exact():
    environment = Environment()
    assert environment.restore(recorded()) == []
    assert environment.add_workers([CPU]) == []
    assert environment.exact


def test_a_run_that_goes_on_with_another_version_is_marked():
    environment = Environment()
    (sentence,) = environment.restore(recorded(versions=versions() | {"torch": "1.0"}))
    assert "torch 1.0 and" in sentence
    assert not environment.exact


def test_a_run_that_goes_on_with_other_hardware_is_marked():
    environment = Environment()
    environment.restore(recorded(hardware=CPU | {"cpu_capability": "NEON"}))
    (sentence,) = environment.add_workers([CPU])
    assert "cpu_capability NEON and AVX2" in sentence
    assert not environment.exact


def test_a_marked_run_stays_marked():
    environment = Environment()
    environment.restore(recorded(exact=False))
    environment.add_workers([CPU])
    assert environment.record()["exact"] is False
