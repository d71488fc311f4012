"""A page that opens anywhere: nothing is fetched, and what it was given is never markup."""

import base64
import re

from raybilevel.report.page import Page, Picture, write_page
from raybilevel.report.table import Table
from raybilevel.runtime.storage import RunDirectory

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


def page(tmp_path, **parts):
    directory = RunDirectory(str(tmp_path), "run")
    directory.write("config.yaml", b"problem: <reward>\n")
    directory.write("pictures/there.png", PNG)
    given = {
        "title": "mine & yours", "items": [("status", "fine"), ("", "and so on")],
        "pictures": [Picture("pictures/there.png", "what it shows"), Picture("gone.png", "lost")],
        "words": [("NFE", "network evaluations")],
    }  # fmt: skip
    write_page(directory, Page(**given | parts))
    return directory.read("report.html").decode()


def test_everything_is_in_the_page(tmp_path):
    table = Table("methods", "lower is better", [("method", "score"), ("grid", "1.5")])
    html = page(tmp_path, items=[("status", "fine"), ("", "and so on"), table])
    for part in ("mine &amp; yours", "fine\nand so on", "what it shows", "<th>score</th>",
                 "<td>1.5</td>", "lower is better", "network evaluations",
                 "problem: &lt;reward&gt;"):  # fmt: skip
        assert part in html
    assert base64.b64encode(PNG).decode() in html
    assert "lost" not in html


def test_nothing_is_fetched_and_phones_are_thought_of(tmp_path):
    html = page(tmp_path)
    assert not re.findall(r"(?:src|href)=\"(?!data:)", html)
    assert "http" not in html
    assert 'name="viewport"' in html
    assert "<table" not in html


def test_what_to_do_next_comes_first(tmp_path):
    html = page(tmp_path, next_steps=[("paste", "pipe(sigmas=[1.0, 0.0])")])
    assert html.index("pipe(sigmas=[1.0, 0.0])") < html.index("fine")
    assert "What to do next" not in page(tmp_path)
