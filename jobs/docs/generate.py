"""Write the pages of the site that come from the code: configuration, commands, rewards; CSVs.

    python jobs/docs/generate.py

Needs the extra `docs`. CI writes them anew, and fails where one differs from what is committed.
"""

from __future__ import annotations

import csv
import html
import inspect
import re
import subprocess
import sys
from pathlib import Path

from keys import page as keys_page

from raybilevel.config import registry

ROOT = Path(__file__).parents[2]
REFERENCE, RESULTS = ROOT / "docs" / "reference", ROOT / "docs" / "results"
_OURS = "raybilevel"

_REWARDS = """# Rewards

Named in a configuration, alone or as a sum: `"legibility + 0.5 * novelty"`,
`"pickscore - 0.1 * jpeg_size"`. Images are (N, C, H, W) in [0, 1].

| reward | is |
| --- | --- |
"""
_MORE_ON_REWARDS = """
`legibility`, `proxy_legibility`, `novelty`, `realism`, `class_log_prob` and `proxy_logit` read 8x8
digits, `asked_digit`, `proxy_asked_digit` and `held_out_asked_digit` what `mnist-sd` draws.

`clip_similarity`, `pickscore` and `aesthetic` need `pip install 'raybilevel[text]'`, and take a
directory or a hub name (`owner/name`, or `owner/name@revision`, of which a run stores the commit),
in safetensors. They pass a gradient to the pixels, and those of one model share one network:
`"clip_similarity(model='openai/clip-vit-base-patch32', dtype='bfloat16')"`.

[Use your own](../how-to/reward.md), or [register one](../how-to/extend.md) under a name.
"""


def rewards_page() -> str:
    """The names of rewards that come along, their arguments, and what they are."""
    lines = []
    for name in registry.names("rewards"):
        entry = registry.find("rewards", name)
        assert entry is not None, "it was just named"
        if entry.ours:
            make = entry.load()
            given = list(inspect.signature(make).parameters.values())[1:]  # but for the device
            said = f"({', '.join(map(_argument, given))})" if given else ""
            lines.append(f"| `{name}{said}` | {_first_sentences(make)} |")
    return _REWARDS + "\n".join(lines) + "\n" + _MORE_ON_REWARDS


def _argument(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return parameter.name
    return f"{parameter.name}={parameter.default!r}"


def _first_sentences(make: object) -> str:
    documented = (inspect.getdoc(make) or "").split("\n\n")[0]
    return " ".join(documented.split()).rstrip(".")


def commands_page() -> str:
    """What `--help` says, as typer writes it."""
    done = subprocess.run(  # noqa: S603 - nothing of a user's is in it
        [sys.executable, "-m", "typer", "raybilevel.cli.main", "utils", "docs", "--name", _OURS],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    text = html.unescape(done.stdout).replace(f"# `{_OURS}`", "# Commands", 1)
    return text.strip() + "\n"


def tables(page: Path) -> list[list[list[str]]]:
    """The cells of each table of a page, heads first."""
    found = re.findall(r"(?:^\|.*\|$\n?)+", page.read_text(), re.MULTILINE)
    return [[_cells(line) for line in table.strip().splitlines()] for table in found]


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]


def write_data(page: Path) -> None:
    """Each table of a page of results as a CSV that the page links to."""
    text = page.read_text()
    for i, (heads, _, *rows) in enumerate(tables(page), start=1):
        assert f"](data/{page.stem}-{i}.csv)" in text, f"{page} links to no CSV of its table {i}"
        with (RESULTS / "data" / f"{page.stem}-{i}.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([heads, *rows])


def main() -> None:
    """Write all pages."""
    (REFERENCE / "configuration.md").write_text(keys_page())
    (REFERENCE / "commands.md").write_text(commands_page())
    (REFERENCE / "rewards.md").write_text(rewards_page())
    (RESULTS / "data").mkdir(exist_ok=True)
    for page in sorted(RESULTS.glob("*.md")):
        if page.stem != "index":
            write_data(page)


if __name__ == "__main__":
    main()
