"""The little language of built-in rewards: `legibility + 0.5 * novelty - class_log_prob(3)`."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass, replace
from typing import Any

from raybilevel.errors import InputError
from raybilevel.rewards.builtin import BUILT_IN, Reward


@dataclass(frozen=True)
class Term:
    """A built-in reward with its arguments, times a weight."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()
    weight: float = 1.0

    def make(self, device: str) -> Reward:
        """Build the reward, without its weight."""
        return BUILT_IN[self.name](device, *self.args, **dict(self.kwargs))


def parse(spec: str, where: str) -> list[Term]:
    """Read a weighted sum of built-in rewards; arguments and weights are Python literals.

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
    if term.name not in BUILT_IN:
        raise InputError(
            f"{named}, but there is no built-in '{term.name}', only {', '.join(BUILT_IN)}; "
            "a reward of your own is written 'package.module:name'"
        )
    signature = inspect.signature(BUILT_IN[term.name])
    try:
        signature.bind("cpu", *term.args, **dict(term.kwargs))
    except TypeError as error:
        usage = ", ".join(map(_shown, list(signature.parameters.values())[1:]))
        raise InputError(f"{named}, but it is used as {term.name}({usage})") from error


def _shown(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return parameter.name
    return f"{parameter.name}={parameter.default}"
