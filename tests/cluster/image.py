"""Checks of the Dockerfile: what it builds on, what it copies, what its pip lines install."""

import re
import shlex
import shutil
from typing import NamedTuple

from cluster.common import ROOT, check_pip, check_text, demand, pins

_WORDS = ["FROM", "WORKDIR", "COPY", "RUN"]
_NEEDED = {"pyproject.toml", "README.md", "LICENSE", "raybilevel", "cluster/constraints.txt"}


class Step(NamedTuple):
    word: str
    rest: str


def steps(text):
    """The instructions, with continued lines joined and comments dropped."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [Step(*line.split(None, 1)) for line in joined.splitlines()]


def copies(text):
    """[(sources, target)] in their order."""
    found = []
    for step in steps(text):
        if step.word == "COPY":
            *sources, target = [w for w in shlex.split(step.rest) if not w.startswith("--")]
            found.append((sources, target))
    return found


def pip_lines(text):
    """The pip commands, in their order."""
    return [s.rest for s in steps(text) if s.word == "RUN" and re.match(r"pip\d? ", s.rest)]


def copy(text, to):
    """Do the copies as `docker build` would, relative to the working directory `to`."""
    for sources, target in copies(text):
        for source in sources:
            place = to / target / source if target == "./" else to / target
            place.parent.mkdir(parents=True, exist_ok=True)
            at = ROOT / source
            if at.is_dir():
                shutil.copytree(at, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(at, place)


def check(text):
    """`Refused` unless every promise holds."""
    check_text(text)
    order = steps(text)
    demand(all(step.word in _WORDS for step in order), f"only {', '.join(_WORDS)}")
    demand([s.word == "FROM" for s in order] == [True] + [False] * (len(order) - 1), "one base")
    demand(
        order[0].rest == f"rayproject/ray:{pins()['ray']}-py311-gpu",
        "the base is the tested Ray, with the tested Python and CUDA",
    )
    work = [step.rest for step in order if step.word == "WORKDIR"]
    demand(work[:1] == ["/home/ray/raybilevel"], "the checkout is where manifests look for it")
    demand(work[-1] == "/home/ray", "a job does not start inside the checkout")
    _check_copies(order, text)
    _check_installs(text)


def _check_copies(order, text):
    for step in order:
        if step.word == "COPY":
            demand("--chown=ray:users" in step.rest, "Ray's user owns what is copied")
    copied = {source for sources, _ in copies(text) for source in sources}
    demand(copied == _NEEDED | {"jobs"}, f"copied: {', '.join(sorted(_NEEDED))} and jobs")
    demand(all((ROOT / source).exists() for source in copied), "what is copied is there")
    install = next(i for i, s in enumerate(order) if s.word == "RUN")
    later = " ".join(s.rest for s in order[install:] if s.word == "COPY")
    demand(not any(re.search(rf"\s{re.escape(n)}\s", later) for n in _NEEDED), "pip comes after")


def _check_installs(text):
    runs = [step.rest for step in steps(text) if step.word == "RUN"]
    demand(len(runs) == len(pip_lines(text)) > 0, "only pip runs")
    for line in runs:
        check_pip(line)
        demand("--no-cache-dir" in line, "no cache swells the image")
        demand("index-url" not in line, "packages come from PyPI")
    demand(any("'.[baselines]'" in line for line in runs), "the project, with Ray Tune's searches")
