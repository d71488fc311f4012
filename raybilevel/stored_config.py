"""`config.yaml` in a run directory: what a run or a comparison was begun with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raybilevel import config_file
from raybilevel.config_file import Config, leaves, to_tree
from raybilevel.errors import InputError
from raybilevel.runtime.storage import RunDirectory

_FREE = {
    "scaling.num_workers", "scaling.min_workers_timeout_s", "run.max_rounds", "run.max_nfe",
    "run.name", "run.storage_path", "run.storage_timeout_s", "run.detach", "run.callbacks",
}  # fmt: skip

_FIRST_FORMAT = 1  # whose directories do not say it


def stored_config(directory: RunDirectory) -> dict[str, Any]:
    """The configuration that a run directory was begun with, as a mapping.

    Raises
    ------
    InputError
        If the directory holds no run, or one of another format.
    """
    if not directory.exists():
        raise InputError(f"{directory.path} is no run directory: it has no config.yaml")
    where = f"{directory.path}/config.yaml"
    tree = config_file.parse(directory.read("config.yaml").decode(), where)
    config_file.check_format(tree.pop("format", _FIRST_FORMAT), directory.path)
    return tree


def check_same(old: Mapping[str, Any], new: Config, where: str) -> None:
    """Refuse to go on with a run under another configuration than it was begun with.

    What no earlier round depends on may change: the number of workers, budgets, and what the
    problem calls resumable.

    Raises
    ------
    InputError
        Naming the first key that differs.
    """
    free = _FREE | new.problem.resumable.keys()
    before, now = dict(leaves(old)), dict(leaves(to_tree(new)))
    for key in sorted(before.keys() | now.keys()):
        if key not in free and before.get(key) != now.get(key):
            raise InputError(
                f"{key} is {now.get(key)!r}, but the run in {where} was begun with "
                f"{before.get(key)!r}; put it back or give another run.name"
            )
