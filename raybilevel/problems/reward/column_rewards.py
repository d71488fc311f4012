"""Rewards that a table holds already: `column:NAME`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raybilevel.errors import InputError

_PREFIX = "column:"


def column_names(rewards: Mapping[str, Any]) -> dict[str, str]:
    """The table's column of each reward, by column of the pool."""
    return {column: spec.removeprefix(_PREFIX) for column, spec in rewards.items()}


def check_kind(rewards: Mapping[str, Any], pool: str | None) -> None:
    """Refuse columns without a table, and with one all else.

    Parameters
    ----------
    rewards : specs, by column of the pool.

    Raises
    ------
    InputError
        Naming the reward.
    """
    for column, spec in rewards.items():
        of_table = isinstance(spec, str) and spec.startswith(_PREFIX)
        if of_table and pool is None:
            raise InputError(
                f"reward '{column}' is '{spec}', but there is no table; give pool, or a reward of "
                "samples"
            )
        if pool is not None and (not of_table or spec == _PREFIX):
            shown = f"'{spec}'" if isinstance(spec, str) else "a function"
            raise InputError(
                f"reward '{column}' is {shown}, but pool '{pool}' has numbers alone; name one of "
                "its columns, 'column:NAME'"
            )
