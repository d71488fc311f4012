"""What stands in the tutorials, and in the how-to pages, works as a reader would type it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

pytest.importorskip(
    "transformers", reason="text models need the extra 'text', with which CI runs these tests apart"
)

from raybilevel import config_file
from raybilevel.baselines.config import comparison_of

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
HOW_TO = sorted((DOCS / "how-to").glob("*.md"))
FILES = re.compile(r'```yaml title="(.+?)"\n(.+?)```', re.DOTALL)
PROBLEMS = re.compile(r"```yaml(?: title=.+?)?\n(problem: .+?)```", re.DOTALL)


def in_a_shell(example):
    """A command of a tutorial, with the `raybilevel` of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-euo", "pipefail", "-c", example.parsed]
    done = subprocess.run(
        command, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def execute(page, *parsers):
    """The Python of a page, and what other parsers find, in one namespace."""
    document = Sybil([PythonCodeBlockParser(), SkipParser(), *parsers], path=str(DOCS)).parse(page)
    document.namespace["__name__"] = "__main__"
    for example in document.examples():
        example.evaluate()


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_what_stands_in_a_tutorial_works(page, run_in, cluster, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster)  # a reader's Ray would be started by each command
    for name, text in FILES.findall(page.read_text()):
        (run_in / name).write_text(text)
    execute(page, CodeBlockParser("bash", in_a_shell))


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_the_python_of_a_how_to_page_works(page, run_in):
    execute(page)


@pytest.mark.parametrize("page", [*TUTORIALS, *HOW_TO], ids=lambda page: page.stem)
def test_the_yaml_of_a_page_is_a_configuration(page):
    for text in PROBLEMS.findall(page.read_text()):
        tree = yaml.safe_load(text)
        read = comparison_of if "compare" in tree else config_file.build
        assert read(tree, page.name)
