"""What stands in the tutorials, and in the how-to pages, works as a reader would type it.

Those of text models are in test_text_tutorials.py.
"""

import re

import pytest
import yaml
from pages import DOCS, execute, pages, work_through

from raybilevel import config_file
from raybilevel.baselines.config import comparison_of

PROBLEMS = re.compile(r"```yaml(?: title=.+?)?\n(problem: .+?)```", re.DOTALL)
CONFIGURED = [page for page in sorted(DOCS.rglob("*.md")) if PROBLEMS.search(page.read_text())]


@pytest.mark.parametrize("page", pages("tutorials", text_models=False), ids=lambda page: page.stem)
def test_what_stands_in_a_tutorial_works(page, run_in, cluster, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster)  # a reader's Ray would be started by each command
    work_through(page, run_in)


@pytest.mark.parametrize("page", pages("how-to", text_models=False), ids=lambda page: page.stem)
def test_the_python_of_a_how_to_page_works(page, run_in):
    execute(page)


@pytest.mark.parametrize("page", CONFIGURED, ids=lambda page: page.stem)
def test_the_yaml_of_a_page_is_a_configuration(page):
    for text in PROBLEMS.findall(page.read_text()):
        tree = yaml.safe_load(text)
        read = comparison_of if "compare" in tree else config_file.build
        assert read(tree, page.name)
