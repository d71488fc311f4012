"""How a stock pipeline is loaded and called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class PipelineSettings:
    """What a user says of a pipeline besides its directory.

    Parameters
    ----------
    sampling_steps : `num_inference_steps`; None for the pipeline's own default.
    call_options : further arguments of its call, the same for all samples.
    scheduler : {class, options}, made from the config of its own scheduler; None for that.
    dtype : one of `DTYPES`; "auto" is bfloat16 on a GPU and float32 on the CPU. Quantised parts
        keep their own.
    model_options : what else goes to `from_pretrained`; a part that is None is left out.
    """

    sampling_steps: int | None = None
    call_options: Mapping[str, Any] = field(default_factory=dict)
    scheduler: Mapping[str, Any] | None = None
    dtype: str = "auto"
    model_options: Mapping[str, Any] = field(default_factory=dict)
