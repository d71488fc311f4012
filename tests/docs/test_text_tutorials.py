"""What stands in the pages that use a text model works as a reader would type it."""

import pytest
from pages import execute, pages, work_through

pytest.importorskip(
    "transformers", reason="text models need the extra 'text', with which CI runs these tests apart"
)


@pytest.mark.parametrize("page", pages("tutorials", text_models=True), ids=lambda page: page.stem)
def test_what_stands_in_a_tutorial_works(page, run_in, cluster, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    work_through(page, run_in)


@pytest.mark.parametrize("page", pages("how-to", text_models=True), ids=lambda page: page.stem)
def test_the_python_of_a_how_to_page_works(page, run_in):
    execute(page)
