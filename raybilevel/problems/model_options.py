"""`model_options`: which of a model's files are loaded, and how they are kept in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import field_validator, model_validator

from raybilevel.config.settings import Settings
from raybilevel.errors import InputError
from raybilevel.lower.hub import commit_of, is_commit, is_hub_name
from raybilevel.lower.pretrained import PRETRAINED
from raybilevel.lower.sampling.pipeline_files import find_files
from raybilevel.lower.sampling.pipelines.settings import Offload, Slicing


class ModelOptions(Settings):
    """What of a pipeline is loaded, and how.

    A part of the pipeline is left out by its name, as null: `text_encoder_3: null`.

    Parameters
    ----------
    variant
        Of the weights, such as "fp16" for `diffusion_pytorch_model.fp16.safetensors`; None for
        those without one, or else the only one.
    revision
        A branch, tag or commit of a model of the hub; None for the main branch.
    commit
        What the revision named when the run began: a run stores it, and goes on with it.
    without
        Parts that are left out, which null says too.
    offload
        "model" or "sequential": diffusers' `enable_model_cpu_offload` or
        `enable_sequential_cpu_offload`, for models that are larger than a GPU's memory.
    slicing
        Any of "attention", "vae", "vae_tiling": diffusers' switches that compute these piece by
        piece, for less memory.
    """

    said_as: ClassVar[str | None] = "model_options"

    variant: str | None = None
    revision: str | None = None
    commit: str | None = None
    without: tuple[str, ...] | None = None
    offload: Offload | None = None
    slicing: tuple[Slicing, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        others = {name: value for name, value in given.items() if name not in cls.model_fields}
        unknown = [repr(name) for name, value in others.items() if value is not None]
        if unknown:
            raise InputError(
                f"model_options has {min(unknown)}, but what is known is "
                f"{', '.join(n for n in cls.model_fields if n != 'commit')}, and as null each part "
                "of the model"
            )
        if not others:
            return given
        known = {name: value for name, value in given.items() if name not in others}
        without = known.get("without") or ()
        if isinstance(without, str):
            raise InputError(f"model_options.without is '{without}', but it is a list of parts")
        return {**known, "without": (*without, *others)}

    @field_validator("commit")
    @classmethod
    def _whole(cls, commit: str | None) -> str | None:
        if commit is not None and not is_commit(commit):
            raise InputError(
                f"model_options.commit is '{commit}', but it is what a run stores, of 40 digits; "
                "give revision"
            )
        return commit

    @property
    def given(self) -> dict[str, Any]:
        """As `PipelineSettings` takes them: the commit as revision, parts left out by name."""
        others = ("without", "commit")
        own = {name: getattr(self, name) for name in type(self).model_fields if name not in others}
        return {
            **own,
            "revision": self.commit or self.revision,
            **dict.fromkeys(self.without or ()),
        }

    def remarks_on(self, model: Any) -> list[str]:
        """Which files of a directory of an unconditional pixel-space pipeline are used."""
        if not isinstance(model, str) or ":" in model or model in PRETRAINED:
            return []
        return list(find_files(model, variant=self.variant).remarks)

    def check_variant_alone(self, what: str) -> None:
        """Refuse all but the variant, which is all that `what` takes."""
        others = {n: getattr(self, n) for n in type(self).model_fields if n != "variant"}
        refuse_options(others, f"{what} takes a variant alone")


def refuse_options(options: Mapping[str, Any], reason: str) -> None:
    """Refuse the first that is given, of those that are of no use.

    Parameters
    ----------
    options : by name; texts, or lists of them.
    """
    for name, value in options.items():
        if value:
            said = f"'{value}'" if isinstance(value, str) else ", ".join(value)
            raise InputError(f"model_options.{name} is {said}, but {reason}; leave it out")


def pinned_options(
    model: Any, options: ModelOptions, before: Mapping[str, Any] | None = None
) -> ModelOptions:
    """The options with a hub's model named by its commit, which a branch does not for long.

    Parameters
    ----------
    model : as `RewardTuning` takes it.
    before : `model_options` as the run that goes on has stored them, whose commit is kept whatever
        the branch names by now. Another revision is left for `check_same` to refuse.

    Raises
    ------
    InputError
        What `commit_of` raises.
    """
    if not isinstance(model, str) or model in PRETRAINED or not is_hub_name(model):
        return options
    if options.commit is not None:
        return options
    stored = before or {}
    if "commit" not in stored and is_commit(stored.get("revision")):  # as runs were stored before
        return options if is_commit(options.revision) else options.but(revision=stored["revision"])
    kept = stored.get("commit")
    commit = kept if is_commit(kept) else commit_of(model, options.revision)
    return options.but(commit=commit)
