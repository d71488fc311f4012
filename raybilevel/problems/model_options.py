"""`model_options`: what of a model's files is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import model_validator

from raybilevel.config.settings import Settings
from raybilevel.errors import InputError
from raybilevel.lower.pretrained import PRETRAINED
from raybilevel.lower.sampling.pipeline_files import find_files


class ModelOptions(Settings):
    """What `from_pretrained` is told of a pipeline directory.

    Parameters
    ----------
    variant
        Of the weights, such as "fp16" for `diffusion_pytorch_model.fp16.safetensors`; None for
        those without one, or else the only one. They are computed with in `mixed_precision`
        whatever type they are stored in.
    """

    said_as: ClassVar[str | None] = "model_options"

    variant: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        unknown = given.keys() - cls.model_fields if isinstance(given, Mapping) else ()
        if unknown:
            raise InputError(
                f"model_options has {min(map(repr, unknown))}, but what is known is "
                f"{', '.join(cls.model_fields)}"
            )
        return given

    def remarks_on(self, model: Any) -> list[str]:
        """Which files of a pipeline directory are used, where it leaves a choice."""
        if not isinstance(model, str) or ":" in model or model in PRETRAINED:
            return []
        return list(find_files(model, variant=self.variant).remarks)

    def check_for(self, model: Any) -> None:
        """Refuse what a model that is no pipeline directory would not use."""
        if self.variant is not None and (not isinstance(model, str) or ":" in model):
            raise InputError(
                f"model_options.variant is '{self.variant}', but the model is a callable, which "
                "loads its own weights; leave it out"
            )
