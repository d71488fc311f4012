"""Rewards as a run stores them: with the models of the hub that they use by their commits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain, repeat
from typing import Any

from raybilevel.errors import InputError
from raybilevel.rewards.spec import Term, is_import_path, parse


def pinned(reward: Any, before: Any = None) -> Any:
    """The same with each model of the hub named by its commit, which a branch does not for long.

    Parameters
    ----------
    reward : as `load_reward` takes it, or several by their names.
    before : what a run that goes on has stored of it: of a model of the same name and branch the
        commit is kept, whatever the branch names by now.

    Raises
    ------
    InputError
        What `commit_of` raises.
    """
    if isinstance(reward, Mapping):
        stored = before if isinstance(before, Mapping) else {}
        return {name: pinned(each, stored.get(name)) for name, each in reward.items()}
    if reward == before:  # also of a run that has stored no commits
        return reward
    terms, olds = _terms(reward), chain(_terms(before), repeat(None))
    found = [_pinned(term, old) for term, old in zip(terms, olds, strict=False)]
    return reward if found == terms else " + ".join(map(str, found))


def _terms(reward: Any) -> list[Term]:
    """Of a sum of rewards by name; none of anything else, which is refused where it is loaded."""
    if not isinstance(reward, str) or is_import_path(reward):
        return []
    try:
        return parse(reward, "reward")
    except InputError:
        return []


def _pinned(term: Term, before: Term | None) -> Term:
    from raybilevel.rewards.clip.rewards import pinned_arguments

    old = before if before is not None and before.name == term.name else None
    given = term.arguments
    found = given | pinned_arguments(term, old)
    return term if found == given else replace(term, args=(), kwargs=tuple(found.items()))
