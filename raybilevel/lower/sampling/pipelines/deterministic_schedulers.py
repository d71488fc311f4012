"""Schedulers that could stand in for one that draws noise of its own, found by trying them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


def deterministic_schedulers(scheduler: Any) -> Iterator[str]:
    """Schedulers that draw no noise when a pipeline passes them no generator.

    They are looked for among those that diffusers calls compatible, and the scheduler itself with
    each of its switches off that is on.

    Yields
    ------
    Each as it is written in a configuration: `{class: DDIMScheduler}`.
    """
    config, own = scheduler.config, type(scheduler)
    switches = [k for k, v in config.items() if v is True and not k.startswith("_")]
    tried = [(own, {switch: False}) for switch in switches]
    tried += [(other, {}) for other in scheduler.compatibles if other is not own]
    tried.sort(key=lambda choice: choice[0].__name__ not in ("DDIMScheduler", own.__name__))
    return (_said(c, options) for c, options in tried if _draws_nothing(c, config, options))


def adds_noise(scheduler: Any) -> bool:
    """Whether two runs of steps on the same input differ, with its switches as they are."""
    still = {"use_dynamic_shifting": False} if "use_dynamic_shifting" in scheduler.config else {}
    return not _repeats(type(scheduler), scheduler.config, still)


def _said(scheduler_class: type, options: dict[str, bool]) -> str:
    more = ", ".join(f"{name}: false" for name in options)
    name = scheduler_class.__name__
    return f"{{class: {name}, options: {{{more}}}}}" if options else f"{{class: {name}}}"


def _draws_nothing(scheduler_class: Any, config: Any, options: dict[str, bool]) -> bool:
    try:
        return _repeats(scheduler_class, config, options)
    except Exception:  # a scheduler that cannot be made or run like this is no choice
        return False


def _repeats(scheduler_class: Any, config: Any, options: dict[str, bool]) -> bool:
    """Whether two runs of steps on the same input give the same."""
    first, second = (_stepped(scheduler_class.from_config(config, **options)) for _ in range(2))
    return torch.equal(first, second)


def _stepped(scheduler: Any, steps: int = 3) -> torch.Tensor:
    scheduler.set_timesteps(steps)
    x = torch.ones(1, 1, 4, 4)
    for t in scheduler.timesteps[:steps]:
        x = scheduler.step(0.1 * x, t, x).prev_sample
    return x
