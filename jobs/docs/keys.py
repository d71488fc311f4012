"""The page of all keys of the configuration, from the classes that read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass
from dataclasses import fields as dataclass_fields
from inspect import cleandoc
from typing import get_type_hints

from griffe import Docstring, DocstringSectionKind
from pydantic_core import PydanticUndefined
from words import bounded, default, type_of

from raybilevel.baselines.config import CompareConfig
from raybilevel.config.settings import RunConfig, ScalingConfig, Settings
from raybilevel.problems.model_options import ModelOptions
from raybilevel.problems.reward.settings import RewardSettings
from raybilevel.problems.reward.targets.target import Target
from raybilevel.problems.schedule.problem import ScheduleProblem
from raybilevel.problems.schedule.real_images.options import DataOptions
from raybilevel.problems.schedule.sampling_schedule import SamplingSchedule
from raybilevel.problems.schedule.settings import (
    ComparisonSettings,
    Estimation,
    OptimizerSettings,
)
from raybilevel.problems.schedule.teacher.schedule_settings import TeacherScheduleSettings
from raybilevel.problems.schedule.teacher.settings import (
    GaussNewtonSettings,
    PairedEstimation,
    TeacherComparison,
    TeacherOptions,
)
from raybilevel.problems.schedule.training.problem import TrainingSchedule
from raybilevel.problems.schedule.training.settings import Penalty, TrainingSettings
from raybilevel.upper.variables import Variable

_HEAD = """# Configuration

Every key, from the code. A YAML file has the keys of one problem at its top level, with `problem:`
for its name, and `scaling:`, `run:` and, for `raybilevel compare`, `compare:` below it. In Python
the same names are the arguments of `RewardTuning`, `SamplingSchedule`, `TrainingSchedule`,
`ScalingConfig` and `RunConfig`. On the command line it is `key=value` behind the file, with dots
inside a group: `run.seed=3`.
"""


@dataclass(frozen=True)
class Part:
    """A heading of the page, and the class whose keys stand below it."""

    heading: str
    settings: type
    about: str = ""
    inherited: type | None = None

    @property
    def anchor(self) -> str:
        """What links to the heading end in."""
        return re.sub(r"[^a-z_]+", "-", self.heading.lower())


PARTS = (
    Part("problem: reward", RewardSettings),
    Part("A variable", Variable, "A number that is tuned, wherever a `Variable` may be given."),
    Part("target", Target),
    Part("model_options", ModelOptions),
    Part("problem: sampling_schedule", SamplingSchedule,
         "By data: an unconditional model in pixel space.", ScheduleProblem),
    Part("problem: training_schedule", TrainingSchedule,
         "Besides the keys of a sampling schedule, but for `model`:"),
    Part("data_options", DataOptions),
    Part("estimation", Estimation),
    Part("optimizer", OptimizerSettings),
    Part("comparison", ComparisonSettings),
    Part("training", TrainingSettings),
    Part("penalty", Penalty),
    Part("problem: sampling_schedule, objective: teacher", TeacherScheduleSettings,
         "Of any diffusers pipeline, for the distance to a teacher, a reward, FID or KID."),
    Part("teacher", TeacherOptions),
    Part("estimation, with a teacher", PairedEstimation),
    Part("optimizer, with a teacher", GaussNewtonSettings),
    Part("comparison, with a teacher", TeacherComparison),
    Part("scaling", ScalingConfig),
    Part("run", RunConfig),
    Part("compare", CompareConfig),
)  # fmt: skip


def page() -> str:
    """The page, in markdown."""
    return "\n".join([_HEAD, *(_section(part) for part in PARTS)])


def _section(part: Part) -> str:
    first = (part.settings.__doc__ or "").strip().split("\n\n")[0]
    about = part.about or " ".join(first.split())
    classes = [part.settings] + ([part.inherited] if part.inherited else [])
    entries = [entry for cls in classes for entry in _entries(cls)]
    return "\n".join([f"## {part.heading} {{ #{part.anchor} }}\n", f"{about}\n", *entries])


def _entries(settings: type) -> Iterator[str]:
    """Each entry of a docstring, with the types and defaults of the keys that it names."""
    fields = dict(_fields(settings))
    said: set[str] = set()
    for names, meaning in _meanings(settings):
        assert fields.keys() >= set(names), f"{settings.__name__} has no {names}"
        said |= set(names)
        types_ = [f"`{name}`{{ #{settings.__name__}.{name} }} *{fields[name]}*" for name in names]
        yield "\n".join(types_) + f"\n:   {meaning}\n"
    own = set(fields) & set(settings.__annotations__)
    assert own <= said, f"{settings.__name__} does not say what {own - said} mean"


def _meanings(settings: type) -> Iterator[tuple[list[str], str]]:
    """Names and meaning of each entry; names that stand together are one."""
    docstring = Docstring(cleandoc(settings.__doc__ or ""), parser="numpy")
    options = {"warn_unknown_params": False, "warn_missing_types": False}
    for section in docstring.parse(**options):
        if section.kind is DocstringSectionKind.parameters:
            together: list[str] = []
            for parameter, following in zip(section.value, [*section.value[1:], None], strict=True):
                together.append(parameter.name)
                if following is None or following.description != parameter.description:
                    yield together, " ".join(parameter.description.split())
                    together = []


def _fields(settings: type) -> Iterator[tuple[str, str]]:
    """Names, and their types and defaults in words."""
    if issubclass(settings, Settings):
        for name, field in settings.model_fields.items():
            value = None if field.default_factory is not None else field.default
            yield name, f"{bounded(field.annotation, field.metadata)}; {default(value)}"
    else:
        hints = get_type_hints(settings)
        for one in dataclass_fields(settings):
            value = PydanticUndefined if one.default is MISSING else one.default
            yield one.name, f"{type_of(hints[one.name])}; {default(value)}"
