"""The little language of rewards by name: `legibility + 0.5 * novelty - class_log_prob(3)`."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from raybilevel.config import registry
from raybilevel.errors import InputError
from raybilevel.rewards.builtin import Reward


@dataclass(frozen=True)
class Term:
    """A registered reward with its arguments, times a weight."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()
    weight: float = 1.0

    @property
    def factory(self) -> Callable[..., Reward]:
        """What makes the reward from a device and the arguments.

        Raises
        ------
        InputError
            If there is none of the name, or another package registers what cannot be called.
        """
        entry = registry.find("rewards", self.name)
        if entry is None:
            raise InputError(
                f"there is no built-in '{self.name}', only "
                f"{', '.join(registry.names('rewards'))}; a reward of your own is written "
                "'package.module:name'"
            )
        factory: Callable[..., Reward] = entry.load()
        if not callable(factory):
            raise InputError(f"{entry} is {factory!r}, but it must be make(device, ...) -> reward")
        return factory

    @property
    def arguments(self) -> dict[str, Any]:
        """What is given, by the names of its parameters."""
        bound = inspect.signature(self.factory).bind("cpu", *self.args, **dict(self.kwargs))
        return dict(list(bound.arguments.items())[1:])

    def __str__(self) -> str:
        given = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs)]
        called = f"{self.name}({', '.join(given)})" if given else self.name
        return called if self.weight == 1 else f"{self.weight!r} * {called}"

    def make(self, device: str) -> Reward:
        """Build the reward, without its weight."""
        reward = self.factory(device, *self.args, **dict(self.kwargs))
        if not callable(reward):
            raise InputError(
                f"the reward '{self.name}' was made as {reward!r}, but it must be a function of "
                "images"
            )
        return reward


def is_import_path(spec: str) -> bool:
    """Whether a spec is an import path, and no sum of rewards by name."""
    return ":" in spec.partition("(")[0]  # arguments may be paths with a colon


def parse(spec: str, where: str) -> list[Term]:
    """Read a weighted sum of registered rewards; arguments and weights are Python literals.

    Raises
    ------
    InputError
        If `spec` is no such sum, or names a reward or arguments that do not exist.
    """
    try:
        terms = _terms(ast.parse(spec.strip(), mode="eval").body)
    except (SyntaxError, ValueError, TypeError) as error:
        raise InputError(
            f"{where} is '{spec}', but a reward is written 'name', 'name(3)', "
            "'name + 0.5 * name(3)' or 'package.module:name'"
        ) from error
    for term in terms:
        _check(term, f"{where} is '{spec}'")
    return terms


def _terms(node: ast.expr) -> list[Term]:
    """Terms of a sum; raises what `ast.literal_eval` raises for anything else."""
    match node:
        case ast.BinOp(left, ast.Add(), right):
            return _terms(left) + _terms(right)
        case ast.BinOp(left, ast.Sub(), right):
            return _terms(left) + _scaled(-1.0, right)
        case ast.BinOp(left, ast.Mult(), right):
            return _scaled(float(ast.literal_eval(left)), right)
        case ast.UnaryOp(ast.USub(), operand):
            return _scaled(-1.0, operand)
        case ast.Name(name):
            return [Term(name)]
        case ast.Call(ast.Name(name), args, keywords):
            literals = tuple(ast.literal_eval(a) for a in args)
            named = tuple((str(k.arg), ast.literal_eval(k.value)) for k in keywords)
            return [Term(name, literals, named)]
    raise ValueError(ast.dump(node))


def _scaled(factor: float, node: ast.expr) -> list[Term]:
    return [replace(term, weight=factor * term.weight) for term in _terms(node)]


def _check(term: Term, named: str) -> None:
    try:
        factory = term.factory
    except InputError as error:
        raise InputError(f"{named}, but {error}") from error
    signature = inspect.signature(factory)
    try:
        signature.bind("cpu", *term.args, **dict(term.kwargs))
    except TypeError as error:
        usage = ", ".join(map(_shown, list(signature.parameters.values())[1:]))
        raise InputError(f"{named}, but it is used as {term.name}({usage})") from error


def _shown(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return parameter.name
    return f"{parameter.name}={parameter.default}"
