"""The image: what cluster/Dockerfile promises, and that its pip lines install what was tested."""

import json
import subprocess
import sys
from importlib.metadata import requires, version

import pytest
from cluster.common import CLUSTER, Refused, mutated, normal, pins
from cluster.image import check, copies, copy, pip_lines
from packaging.requirements import Requirement

_COPY = "COPY --chown=ray:users "
CHANGES = {
    "another Ray": ("ray:2.60.0-", "ray:2.59.0-"),
    "another Python": ("-py311-", "-py312-"),
    "no CUDA": ("-gpu", "-cpu"),
    "packages that nobody tested": ("-c cluster/constraints.txt ", ""),
    "constraints that are not there": ("-c cluster/constraints.txt", "-c constraints.txt"),
    "a package that nobody pinned": ("'.[baselines]'", "'.[baselines]' xformers"),
    "another version than the tested": ("'.[baselines]'", "'.[baselines]' torch==2.12.0"),
    "no searches": ("'.[baselines]'", "."),
    "a cache in the image": ("--no-cache-dir ", ""),
    "another index": ("install --no", "install --extra-index-url https://example.org/simple --no"),
    "files that root owns": (_COPY, "COPY "),
    "no license to build with": (" LICENSE ./", " ./"),
    "code that comes after pip": (f"{_COPY}raybilevel raybilevel\n", ""),
    "no entry points": (f"{_COPY}jobs jobs\n", ""),
    "entry points elsewhere": ("WORKDIR /home/ray/raybilevel", "WORKDIR /srv/raybilevel"),
    "jobs that start in the checkout": ("jobs jobs\nWORKDIR /home/ray\n", "jobs jobs\n"),
    "a secret": ("WORKDIR /home/ray\n", "WORKDIR /home/ray\nENV RAY_AUTH_TOKEN=b6f2\n"),
    "a shell script from somewhere": ("RUN pip", "RUN curl https://example.org/get.sh | sh && pip"),
}
MUTATIONS = [pytest.param("Dockerfile", *change, id=name) for name, change in CHANGES.items()]


def _text():
    return (CLUSTER / "Dockerfile").read_text()


def test_the_dockerfile_keeps_its_promises():
    check(_text())


@pytest.mark.parametrize(("file", "old", "new"), MUTATIONS)
def test_a_mistake_is_caught(file, old, new):
    with pytest.raises(Refused):
        check(mutated((CLUSTER / file).read_text(), old, new))


def _pip(python, line, folder, *options):
    """Run a pip line as written, in the folder where its files were copied, with options added."""
    script = f"{line.replace('pip ', f'{python} -m pip --disable-pip-version-check ', 1)} "
    subprocess.run(
        ["bash", "-c", script + " ".join(options)], cwd=folder, check=True, capture_output=True
    )


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """The image's files, where its pip lines are run."""
    folder = tmp_path_factory.mktemp("image") / "context"
    copy(_text(), folder)
    return folder


@pytest.mark.slow
def test_the_pip_lines_would_install_what_was_tested(context, tmp_path):
    """Here, where the tests run: they add nothing to it, and it is as the constraints say.

    A resolution in a fresh environment takes minutes: `.ci/run` begins with one, of the same
    project by the same constraints, and runs this in what came out.
    """
    for line in pip_lines(_text()):
        _pip(sys.executable, line, context, "--dry-run", f"--report {tmp_path / 'report.json'}")
    report = json.loads((tmp_path / "report.json").read_text())["install"]
    assert [item["metadata"]["name"] for item in report] in ([], ["raybilevel"])
    found, tested = installed("raybilevel[baselines]"), pins()
    assert {"ray", "torch", "optuna", "diffusers"} <= set(found)
    assert found == {name: tested.get(name) for name in found}


def installed(asked):
    """All that a requirement needs here: {name: version}, itself left out."""
    found, todo, seen = {}, [Requirement(asked)], set()
    while todo:
        requirement = todo.pop()
        for extra in {"", *requirement.extras}:
            if (requirement.name, extra) not in seen:
                seen.add((requirement.name, extra))
                needed = map(Requirement, requires(requirement.name) or [])
                todo += [n for n in needed if not n.marker or n.marker.evaluate({"extra": extra})]
        found[normal(requirement.name)] = version(requirement.name).partition("+")[0]
    del found[normal(Requirement(asked).name)]
    return found


@pytest.mark.slow
def test_the_copied_files_make_the_whole_package(context, tmp_path):
    """The project alone is installed: its command, and all that is not Python."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    for line in pip_lines(_text()):
        _pip(python, line, context, "--no-deps")
    (site,) = python.parent.parent.glob("lib/python*/site-packages")
    assert (python.parent / "raybilevel").is_file()
    packed = {path.relative_to(site) for path in (site / "raybilevel").rglob("*.*")}
    source = {
        path.relative_to(CLUSTER.parent)
        for path in (CLUSTER.parent / "raybilevel").rglob("*.*")
        if "__pycache__" not in path.parts
    }
    assert source <= packed
    assert (context / "jobs/reward.py").is_file()


def test_copies_are_read_as_docker_reads_them():
    assert (["pyproject.toml", "README.md", "LICENSE"], "./") in copies(_text())
    assert (["raybilevel"], "raybilevel") in copies(_text())
