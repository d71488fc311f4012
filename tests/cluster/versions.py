"""Checks of constraints.txt: exact, whole, what the project allows, and free of CUDA."""

import re
import tomllib

from cluster.common import ROOT, check_text, demand, normal, pins
from packaging.requirements import Requirement
from packaging.version import Version

_LINE = r"[A-Za-z0-9][\w.-]*==\d[\w.]*"


def check(text):
    """`Refused` unless every promise holds."""
    check_text(text)
    comment, *lines = text.splitlines()
    demand(comment.startswith("# "), "the first line says what they are for")
    for line in lines:
        demand(re.fullmatch(_LINE, line), f"'{line}' is name==version")
    names = [line.partition("==")[0] for line in lines]
    demand(names == sorted(names, key=str.lower), "in alphabetical order")
    pinned = pins(text)
    demand(len(pinned) == len(names), "each once")
    demand(
        not any(name.startswith(("nvidia-", "triton")) for name in pinned), "torch picks its CUDA"
    )
    for requirement in _asked():
        version = pinned.get(normal(requirement.name))
        demand(version, f"{requirement.name}, which pyproject.toml asks for, is pinned")
        demand(Version(version) in requirement.specifier, f"{requirement} allows {version}")


def _asked():
    """What pyproject.toml asks for, extras included, itself excluded."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    asked = [Requirement(line) for line in [*project["dependencies"], *extras]]
    return [requirement for requirement in asked if requirement.name != project["name"]]
