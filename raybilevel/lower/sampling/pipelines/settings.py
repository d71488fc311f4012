"""How a stock pipeline is loaded and called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Offload = Literal["model", "sequential"]
Slicing = Literal["attention", "vae", "vae_tiling"]
DTYPES, OFFLOADS, SLICINGS = get_args(Dtype), get_args(Offload), get_args(Slicing)
MODEL_OPTIONS = ("variant", "revision", "offload", "slicing")


@dataclass(frozen=True)
class PipelineSettings:
    """What a user says of a pipeline besides its directory.

    Parameters
    ----------
    sampling_steps : `num_inference_steps`; None for the pipeline's own default.
    call_options : further arguments of its call, the same for all samples.
    scheduler : {class, options}, made from the config of its own scheduler; None for that.
    dtype : one of `DTYPES`; "auto" is float32 on the CPU and 16 bits on a GPU, as `dtypes.py` says.
        Quantised parts keep their own.
    model_options : any of `MODEL_OPTIONS`, and by their names, as None, the parts that are left
        out.
    """

    sampling_steps: int | None = None
    call_options: Mapping[str, Any] = field(default_factory=dict)
    scheduler: Mapping[str, Any] | None = None
    dtype: str = "auto"
    model_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def variant(self) -> str | None:
        """Of the weights; None for the plain ones, or else the only one."""
        return self.model_options.get("variant")

    @property
    def revision(self) -> str | None:
        """A branch, tag or commit of a model of the hub; None for the main branch."""
        return self.model_options.get("revision")

    @property
    def offload(self) -> str | None:
        """One of `OFFLOADS`, or None."""
        return self.model_options.get("offload")

    @property
    def slicing(self) -> tuple[str, ...]:
        """Of `SLICINGS`."""
        return tuple(self.model_options.get("slicing") or ())

    @property
    def without(self) -> dict[str, None]:
        """Parts that are left out, as `from_pretrained` is told so."""
        given = self.model_options.items()
        return {n: None for n, value in given if value is None and n not in MODEL_OPTIONS}
