"""What a user says of a schedule that is found by a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from raybilevel.config.settings import Settings
from raybilevel.errors import InputError
from raybilevel.lower.sampling.solvers import CLASSES
from raybilevel.problems.schedule.teacher.plan import FEWEST_CHUNKS

Distance = Literal["latents", "pixels"]
Rivals = Literal["some", "all"]

CHUNKS = 16
"""Of the noises of FID and KID: what a jackknife leaves out, one at a time."""

_FEWEST_COMPARED = 16


class TeacherOptions(Settings):
    """What samples are to come near to: the same noise and prompt, through many steps.

    Parameters
    ----------
    steps
        Of the teacher.
    scheduler
        {class, options} of the teacher's, made from the config of the model's own; None for
        DPM-Solver++ (DPMSolverMultistepScheduler with trailing timesteps), or, of flow matching,
        the model's own.
    distance
        Where: "latents", or "pixels", of images in [0, 1].
    """

    said_as: ClassVar[str | None] = "teacher"

    steps: int = Field(default=50, ge=2)
    scheduler: dict[str, Any] | None = None
    distance: Distance = "latents"


class PairedEstimation(Settings):
    """On how many noises the objective is estimated.

    Parameters
    ----------
    samples
        Noises that an update has at most.
    first_samples
        Noises to begin with; they are kept, and doubled where an update's gain is not sure.
    shard_size
        Noises that a worker draws at once.
    images, first_images
        Noises of FID and KID, at most and to begin with; they are cut into 16 shards, which are
        drawn in batches of `batch_size`, or of `shard_size`.
    """

    said_as: ClassVar[str | None] = "estimation"

    samples: int = Field(default=64, ge=2)
    first_samples: int = Field(default=16, ge=2)
    shard_size: int = Field(default=8, ge=1)
    images: int = Field(default=1024, ge=2 * CHUNKS)
    first_images: int = Field(default=256, ge=2 * CHUNKS)

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.samples < self.first_samples:
            raise InputError(
                f"estimation.samples is {self.samples}, below first_samples {self.first_samples}; "
                "it must be at least that"
            )
        if self.images < self.first_images:
            raise InputError(
                f"estimation.images is {self.images}, below first_images {self.first_images}; it "
                "must be at least that"
            )
        if self.first_samples < FEWEST_CHUNKS * self.shard_size:
            raise InputError(
                f"estimation.shard_size is {self.shard_size}, but errors come from "
                f"{FEWEST_CHUNKS} shards at least of first_samples {self.first_samples}; give less"
            )
        return self


class GaussNewtonSettings(Settings):
    """How the levels are moved.

    Parameters
    ----------
    updates
        At most; it ends before where nothing is gained any more.
    """

    said_as: ClassVar[str | None] = "optimizer"

    updates: int = Field(default=8, ge=1)


class TeacherComparison(Settings):
    """The comparison at the end, on noises that nothing was tuned on.

    Parameters
    ----------
    samples
        Noises; None for 64, or 256 for FID and KID, which are judged of 128 at least; 0 for no
        comparison.
    rivals
        Stock samplers at as many evaluations: "all" of them with each spacing, or "some", where all
        but the first have one.
    steps
        Numbers of steps that the model's own scheduler is given besides.
    """

    said_as: ClassVar[str | None] = "comparison"

    samples: int | None = Field(default=None, ge=0)
    rivals: Rivals = "some"
    steps: tuple[Annotated[int, Field(ge=1)], ...] = ()

    @model_validator(mode="after")
    def _enough_compared(self) -> Self:
        if self.samples and self.samples < _FEWEST_COMPARED:
            raise InputError(
                f"comparison.samples is {self.samples}; it must be at least {_FEWEST_COMPARED}, "
                "or 0"
            )
        return self


def scheduler_of(solver: Any, objective: Any) -> dict[str, Any] | None:
    """The scheduler {class, options} that a solver's name or mapping stands for.

    Raises
    ------
    InputError
        If it is neither.
    """
    if solver is None or isinstance(solver, Mapping):
        return None if solver is None else dict(solver)
    classes = {name: made for made, name in CLASSES.items()}
    if solver in classes:
        return {"class": classes[solver]}
    raise InputError(
        f"solver is {solver!r}, but with objective {objective!r} it is {{class, options}} of a "
        f"scheduler of diffusers', or one of {', '.join(classes)}"
    )
