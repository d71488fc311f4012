"""Types, bounds and defaults of settings, in the words of YAML."""

from __future__ import annotations

import collections.abc
import types
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic_core import PydanticUndefined

from raybilevel.config.settings import Settings
from raybilevel.upper.variables import Variable

_BOUNDS = {Ge: ("ge", "at least"), Gt: ("gt", "above"), Le: ("le", "at most"), Lt: ("lt", "below")}
_NAMED = {
    bool: "true or false", float: "number", int: "whole number", str: "text", type(None): "null",
    Any: "anything",
}  # fmt: skip


def bounded(annotation: Any, metadata: Sequence[Any]) -> str:
    """A type and its bounds, such as "whole number, at least 1"."""
    known = [(*_BOUNDS[type(one)], one) for one in metadata if type(one) in _BOUNDS]
    bounds = [f"{words} {getattr(one, attribute):g}" for attribute, words, one in known]
    return ", ".join([type_of(annotation), *bounds])


def default(value: Any) -> str:
    """Such as "default 4096", or "has to be given"."""
    if value is PydanticUndefined:
        return "has to be given"
    if isinstance(value, Variable):
        return (
            f"default from {value.low:g} to {value.high:g}, {value.scale}, from {value.init:g} on"
        )
    if isinstance(value, Settings):
        return "default as below"
    if value in (None, (), {}):
        return "default none"
    shown = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else None
    return f"default {shown or (list(value) if isinstance(value, tuple) else value)}"


def type_of(annotation: Any) -> str:
    """A type in the words of YAML."""
    origin = get_origin(annotation)
    if origin in _COMPOSED:
        return _COMPOSED[origin](get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, (Settings, Variable)):
        return "variable" if annotation is Variable else "group"
    return _NAMED.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _either(inside: tuple[Any, ...]) -> str:
    return " or ".join(dict.fromkeys(type_of(one) for one in inside if one is not type(None)))


def _several(inside: tuple[Any, ...]) -> str:
    if inside[-1] is Ellipsis:
        return f"list of {type_of(inside[0])}"
    return f"[{', '.join(type_of(one) for one in inside)}]"


_COMPOSED: dict[Any, Callable[[tuple[Any, ...]], str]] = {
    Annotated: lambda inside: bounded(inside[0], inside[1:]),
    Literal: lambda inside: " or ".join(f"`{one}`" for one in inside),
    Union: _either,
    types.UnionType: _either,
    tuple: _several,
    dict: lambda inside: f"mapping of {type_of(inside[1])}",
    collections.abc.Callable: lambda inside: "callable",
}
