"""Pages of the documentation, executed as a reader would type them."""

import os
import re
import subprocess
import sys
from pathlib import Path

from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

DOCS = Path(__file__).parents[1] / "docs"
FILES = re.compile(r'```yaml title="(.+?)"\n(.+?)```', re.DOTALL)
PYTHON = re.compile(r"```python\n(.+?)```", re.DOTALL)


def pages(folder, text_models):
    """Those of a folder of `docs/` whose Python has a text model, or those whose has none."""
    return [p for p in sorted((DOCS / folder).glob("*.md")) if has_a_text_model(p) == text_models]


def has_a_text_model(page):
    """Whether a page's Python names the one that comes along."""
    return any("mnist-sd" in code for code in PYTHON.findall(page.read_text()))


def in_a_shell(example):
    """A command of a tutorial, with the `raybilevel` of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-euo", "pipefail", "-c", example.parsed]
    done = subprocess.run(
        command, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def execute(page, *parsers):
    """The Python of a page, and what more parsers find, in one namespace."""
    document = Sybil([PythonCodeBlockParser(), SkipParser(), *parsers], path=str(DOCS)).parse(page)
    document.namespace["__name__"] = "__main__"
    for example in document.examples():
        example.evaluate()


def work_through(page, folder):
    """All of a page, beside the files that it shows; `folder` is the current one."""
    for name, text in FILES.findall(page.read_text()):
        (folder / name).write_text(text)
    execute(page, CodeBlockParser("bash", in_a_shell))
