"""What every run is configured with, and how a bad value is said in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from raybilevel.errors import InputError

_NEAR = 0.75  # of a misspelt name to the one that was meant


def one_sentence(error: ValidationError, where: str, known: Collection[str] = ()) -> str:
    """The first complaint of a pydantic error, as one sentence that names the place.

    Parameters
    ----------
    known : names that there are, of which one may have been meant.
    """
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")  # before missing
    place = ".".join([where, *(str(part) for part in first["loc"])])
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        name, *below = first["loc"]
        near = [] if below else get_close_matches(str(name), known, 1, _NEAR)
        meant = f"did you mean {near[0]}?" if near else "look for a misspelt name"
        return f"{place} is not known; {meant}"
    if first["type"] == "missing":
        return f"{place} is missing"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return message
    return f"{place} is {first['input']!r}: {message[0].lower()}{message[1:]}"


class Settings(BaseModel):
    """A frozen group of named settings; `InputError` with one sentence where one is wrong.

    A pydantic model: fields are annotated class attributes, checks are pydantic validators that
    raise `InputError` or `ValueError`. The fields of a problem are what YAML names and what a run
    directory stores, so they are numbers, strings, `Variable`s, lists and mappings of them, or
    callables, which are never stored and asked for again where a run goes on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    #: what a sentence about a wrong setting calls the group; None for the name of the class
    said_as: ClassVar[str | None] = None

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            where = self.said_as or type(self).__name__
            raise InputError(one_sentence(error, where, type(self).model_fields)) from None

    def but(self, **changes: Any) -> Self:
        """The same with other settings, checked anew: a copy would keep what was cached.

        A mapping in place of a group changes what it names, and leaves the rest of the group.
        """
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        changed = {name: _changed(fields.get(name), value) for name, value in changes.items()}
        return type(self)(**fields | changed)


def _changed(before: Any, change: Any) -> Any:
    if isinstance(before, Settings) and isinstance(change, Mapping):
        return before.but(**change)
    return change


class ScalingConfig(Settings):
    """How much of the cluster a run asks for.

    Parameters
    ----------
    num_workers
        (min, max): the run asks Ray for max, starts when min are ready, and takes what comes. One
        number means both.
    use_gpu
        `gpus_per_worker` of a GPU a worker.
    gpus_per_worker
        1, or a fraction: workers that share a GPU have to share its memory, which nothing divides.
    cpus_per_worker
        CPUs and threads a worker. The bits of a run depend on it.
    min_workers_timeout_s
        Seconds for which fewer than min workers may be there; then the run stops, with all rounds
        saved. Time enough for a cluster to grow, or for a bad night on the spot market.
    """

    num_workers: tuple[int, int] = (1, 8)
    use_gpu: bool = False
    gpus_per_worker: float = Field(default=1.0, gt=0, le=1)
    cpus_per_worker: int = Field(default=1, ge=1)
    min_workers_timeout_s: float = Field(default=1800.0, gt=0)

    @property
    def gpus(self) -> float:
        """GPUs a worker asks Ray for."""
        return self.gpus_per_worker if self.use_gpu else 0

    @field_validator("num_workers", mode="before")
    @classmethod
    def _both(cls, value: Any) -> Any:
        return (value, value) if isinstance(value, int) else value

    @field_validator("num_workers")
    @classmethod
    def _ordered(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= value[0] <= value[1]:
            raise ValueError(
                f"num_workers is {value}, but it must be (min, max) with 1 <= min <= max"
            )
        return value


class RunConfig(Settings):
    """What a run is called, where it writes, and when it must stop.

    Parameters
    ----------
    name
        The run directory's name; None takes the problem's name and the time.
    storage_path
        Where run directories go: a local path, `s3://...` or `gs://...`.
    seed
        All randomness of the run comes from it.
    max_rounds, max_nfe
        Budgets: the run stops after the round in which one is reached. None is no limit.
    detach
        The driver belongs to the cluster, not to the process that started it: it goes on when that
        ends. Starting the run again then shows it; `raybilevel stop` ends it.
    storage_timeout_s
        Seconds for which the storage may refuse or not answer, while the run tries again; then it
        stops with what is safe.
    callbacks
        What hears of each round, in the driver: "tensorboard" (event files in the run directory),
        "mlflow" (where `MLFLOW_TRACKING_URI` says), any callable that takes the history's row as a
        dict, or its import path "package.module:name". One that fails is left out, and the user
        told. After a driver's death rounds may come again, with the same `training_iteration`.
    """

    name: str | None = None
    storage_path: str = "runs"
    seed: int = Field(default=0, ge=0)
    max_rounds: int | None = Field(default=None, ge=1)
    max_nfe: int | None = Field(default=None, ge=1)
    detach: bool = False
    storage_timeout_s: float = Field(default=300.0, gt=0)
    callbacks: tuple[str | Callable[..., Any], ...] = ()

    @field_validator("callbacks", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) or callable(value) else value

    @field_validator("name")
    @classmethod
    def _one_folder(cls, value: str | None) -> str | None:
        if value is not None and (not value or "/" in value or value.startswith(".")):
            raise ValueError(
                f"run.name is '{value}', but it names a folder: no '/' and no leading '.'"
            )
        return value

    def with_name(self, default: str) -> Self:
        """The same with a name."""
        return self if self.name else self.model_copy(update={"name": default})
