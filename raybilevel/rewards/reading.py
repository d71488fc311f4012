"""What a reward reads: images, and prompts and metadata if it asks for them, by its signature."""

from __future__ import annotations

import functools
import inspect
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature
from typing import Any

from raybilevel.errors import InputError

_READ = ("images", "prompts", "metadata")
_NAMES = {"images": "images", "image": "images", "prompts": "prompts", "prompt": "prompts",
          "metadata": "metadata"}  # fmt: skip
_BY_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_REST = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def reads(reward: Callable[..., Any]) -> tuple[str, ...]:
    """What a reward is given: "images", "prompts", "metadata", or some of them, in this order.

    A parameter takes what it is named after, `prompt` being `prompts`. Of those with other names
    the first takes images, and the next ones without a default the rest, as in trainers' rewards
    `f(images, prompts, metadata)`; so `f(images, temperature=1.0)` reads images alone. A callable
    without a signature reads images.
    """
    signature = _signature(reward)
    if signature is None:
        return ("images",)
    takers = _takers(reward, signature)
    return tuple(what for what in _READ if what in takers)


def check_reads(reward: Callable[..., Any], where: str, prompts: bool, metadata: bool) -> None:
    """Refuse a reward that cannot do without what there is not.

    Parameters
    ----------
    where : the argument that holds the reward, for the error's sentence.
    prompts, metadata : whether samples have a prompt, and whether a prompt has metadata.

    Raises
    ------
    InputError
        Where its parameter has no default, or where it takes no images, or more than rewards get.
    """
    signature = _signature(reward)
    if signature is not None:
        _check(reward, signature, where, prompts, metadata)


def _check(
    reward: Callable[..., Any], signature: Signature, where: str, prompts: bool, metadata: bool
) -> dict[str, Parameter]:
    """What `check_reads` does; gives which parameter takes what."""
    takers = _takers(reward, signature)
    _check_takers(reward, signature, takers, where)
    if not prompts and _is_required(takers.get("prompts")):
        raise InputError(
            f"{where} reads prompts, but the model draws from none; give a reward of images alone, "
            "or a model that draws from prompts"
        )
    if not metadata and _is_required(takers.get("metadata")):
        raise InputError(
            f"{where} reads metadata, but the model draws from no prompts that could have any; "
            "give a reward of images alone, or a model that draws from prompts"
        )
    return takers


def call(
    reward: Callable[..., Any],
    images: Any,
    prompts: Sequence[str] | None,
    metadata: Sequence[Mapping[str, Any]] | None,
    where: str,
) -> Any:
    """Call a reward with what it reads; what is None is left out.

    Raises
    ------
    InputError
        What `check_reads` raises.
    """
    signature = _signature(reward)
    if signature is None:
        return reward(images)
    takers = _check(reward, signature, where, prompts is not None, metadata is not None)
    given = {"images": images, "prompts": prompts, "metadata": metadata}
    bound = inspect.BoundArguments(signature, OrderedDict())
    for what, parameter in takers.items():
        if (value := given[what]) is not None:
            several = parameter.kind is Parameter.VAR_POSITIONAL
            bound.arguments[parameter.name] = (value,) if several else value
    return reward(*bound.args, **bound.kwargs)


def signature_of(reading: Sequence[str]) -> Signature:
    """The signature of a reward that reads these, for a callable that is made of others."""
    return Signature([Parameter(what, Parameter.POSITIONAL_OR_KEYWORD) for what in reading])


def _signature(reward: Callable[..., Any]) -> Signature | None:
    torch = sys.modules.get("torch")  # where it is not imported, nobody has a module of it
    if torch is not None and isinstance(reward, torch.nn.Module):
        reward = reward.forward  # its own call takes anything
    try:
        return inspect.signature(reward)
    except (TypeError, ValueError):
        return None


def _takers(reward: Callable[..., Any], signature: Signature) -> dict[str, Parameter]:
    """By what is read, the parameter that takes it."""
    free = _free(reward, signature)
    takers = {_NAMES[p.name]: p for p in free if p.name in _NAMES and p.kind not in _REST}
    others = [p for p in free if p not in takers.values() and p.kind in _BY_PLACE]
    anything = [p for p in free if p.kind is Parameter.VAR_POSITIONAL]
    if "images" not in takers and (others or anything):
        takers["images"] = others.pop(0) if others else anything[0]
    for what in _READ[1:]:
        if what not in takers and others and _is_required(others[0]):
            takers[what] = others.pop(0)
    return takers


def _free(reward: Callable[..., Any], signature: Signature) -> list[Parameter]:
    """Parameters that nobody has given yet."""
    given = reward.keywords if isinstance(reward, functools.partial) else {}
    return [p for p in signature.parameters.values() if p.name not in given]


def _is_required(parameter: Parameter | None) -> bool:
    return parameter is not None and parameter.default is Parameter.empty


def _check_takers(
    reward: Callable[..., Any], signature: Signature, takers: Mapping[str, Parameter], where: str
) -> None:
    taken = takers.values()
    others = [p for p in _free(reward, signature) if p not in taken and p.kind not in _REST]
    if "images" in takers and not any(map(_is_required, others)):
        return
    raise InputError(
        f"{where} is used as {signature}, but a reward is used as (images), (images, prompts) or "
        "(images, prompts, metadata)"
    )
