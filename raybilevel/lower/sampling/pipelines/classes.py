"""The classes of diffusers that an index or a configuration names; code of a model's is not run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from raybilevel.errors import InputError
from raybilevel.lower.sampling.progress_bars import without_advice


def pipeline_class(name: Any, named: str) -> type:
    """The class that a model's index names.

    Raises
    ------
    InputError
        If diffusers has none of that name (one that comes with its own code is not run), or lacks
        a package that it needs.
    """
    import diffusers

    with without_advice():
        found = getattr(diffusers, name, None) if isinstance(name, str) else None
    if isinstance(found, diffusers.utils.DummyObject):
        raise InputError(
            f"{named} is a {name}, which needs {', '.join(found._backends)}, and one of them is "
            "not installed; pip install 'raybilevel[text]' for text models"
        )
    if not isinstance(found, type) or not issubclass(found, diffusers.DiffusionPipeline):
        raise InputError(
            f"{named} is a {name}, which diffusers {diffusers.__version__} does not have, and code "
            "that comes with a model is not run; give a model of a class that diffusers has"
        )
    return found


def scheduler_class(scheduler: Mapping[str, Any]) -> Any:
    """The class that `scheduler` names, which takes its options.

    Raises
    ------
    InputError
        If there is none of that name, or it takes no such option.
    """
    import diffusers

    unknown = scheduler.keys() - {"class", "options"}
    options = scheduler.get("options") or {}
    if unknown or not isinstance(options, Mapping):
        raise InputError(
            f"scheduler is {dict(scheduler)}, but it is written {{class: NAME, options: {{...}}}}"
        )
    name = scheduler.get("class")
    found = getattr(diffusers, name, None) if isinstance(name, str) else None
    if not isinstance(found, type) or not issubclass(found, diffusers.SchedulerMixin):
        raise InputError(
            f"scheduler.class is {name!r}, but diffusers {diffusers.__version__} has no scheduler "
            "of that name; give one such as DPMSolverMultistepScheduler"
        )
    taken = list(inspect.signature(found).parameters)
    for option in options:
        if option not in taken:
            raise InputError(
                f"scheduler.options has '{option}', but {name} takes {', '.join(taken)}"
            )
    return found
