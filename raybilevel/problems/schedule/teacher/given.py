"""What a user gives a schedule of a pipeline, looked at before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from raybilevel.errors import InputError
from raybilevel.problems.schedule.real_images.objective import ObjectiveName

TEACHER = "teacher"
HELD_AGAINST_DATA = get_args(ObjectiveName)

OF_DATA = ("data", "data_options", "extractor", "second_extractor")
"""Arguments that only those need."""

_OF_TRAINING = ("network", "conditioning", "prediction_type", "training", "penalty")


def check_untrained(given: Mapping[str, Any], where: str) -> None:
    """Refuse what a schedule has whose network is trained.

    Parameters
    ----------
    where : the middle of the sentence: of what nothing is trained.
    """
    for name in _OF_TRAINING:
        if name in given:
            raise InputError(
                f"{name} is given, but {where} nothing is trained; leave it out, or take "
                "TrainingSchedule"
            )


def whole_numbers(given: Any) -> Any:
    """A number of steps, or some; `InputError` for anything else."""
    each = given if isinstance(given, (list, tuple)) else [given]
    if each and all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in each):
        return given
    raise InputError(
        f"sampling_steps is {given}; it must be a whole number, at least 1, or a list of such "
        "numbers"
    )


def named_or_made(given: Any) -> Any:
    """An objective's name, or a function; `InputError` for anything else."""
    if isinstance(given, str) or callable(given):
        return given
    raise InputError(
        f"objective is {given!r}; it must be 'teacher', a reward, or with data 'fid' or 'kid'"
    )


def check_trains_nothing(given: Any) -> Any:
    """Refuse what a schedule of a network in pixel space has, or one that is trained."""
    if not isinstance(given, Mapping):
        return given
    check_untrained(given, f"with objective {given.get('objective')!r}")
    if "mixed_precision" in given:
        raise InputError(
            f"mixed_precision is given, but model {given.get('model')!r} is drawn from in dtype; "
            "give that"
        )
    return given


def check_data(objective: Any, data: str | None, more: Mapping[str, Any]) -> None:
    """Refuse an objective without the data that it is taken to, and data that nobody looks at.

    Parameters
    ----------
    more : what else is said of data, where it is not the default.
    """
    if objective in HELD_AGAINST_DATA:
        if data is None:
            raise InputError(
                f"objective is '{objective}', which is taken to real images; give data, or "
                "objective 'teacher', which needs none"
            )
        return
    for name in [*(["data"] if data is not None else []), *more]:
        raise InputError(
            f"{name} is given, but with objective {objective!r} no data are looked at and nothing "
            "is trained; leave it out, or give objective fid or kid"
        )
