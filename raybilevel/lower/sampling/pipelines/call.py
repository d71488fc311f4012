"""What a diffusers pipeline's call takes: looked up in its signature, no class is listed here."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CONDITIONS = ("prompt", "class_labels")
"""Arguments that say what is drawn, one value a sample."""

Conditions = Sequence[str | int] | None
"""A prompt, a class's name or its number for each sample; None where nothing says what is drawn."""

OURS = {
    *CONDITIONS, "batch_size", "generator", "latents", "output_type", "return_dict",
    "num_images_per_prompt", "num_inference_steps", "callback", "callback_steps",
    "callback_on_step_end", "callback_on_step_end_tensor_inputs",
}  # fmt: skip
"""Arguments that the sampler gives, or that would change what a sample is."""

_REST = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


@dataclass(frozen=True)
class PipelineCall:
    """The arguments of a pipeline class's `__call__`.

    Attributes
    ----------
    parameters : by name, without `self` and `**kwargs`.
    """

    parameters: Mapping[str, inspect.Parameter]

    @classmethod
    def of(cls, pipeline_class: type) -> PipelineCall:
        """The call of a pipeline class, which need not be loaded."""
        call: Any = pipeline_class.__call__
        taken = list(inspect.signature(call).parameters.values())[1:]
        return cls({p.name: p for p in taken if p.kind not in _REST})

    @property
    def condition(self) -> str | None:
        """The argument that says what is drawn; None where nothing does."""
        return next((name for name in CONDITIONS if name in self.parameters), None)

    @property
    def options(self) -> list[str]:
        """What a user may give besides."""
        return [name for name in self.parameters if name not in OURS]

    @property
    def required(self) -> list[str]:
        """What has to be given, and the sampler does not give."""
        taken = self.parameters.values()
        return [p.name for p in taken if p.default is p.empty and p.name not in OURS]

    def arguments(
        self,
        count: int,
        conditions: Conditions,
        sampling_steps: int | None,
        options: Mapping[str, Any],
    ) -> dict[str, Any]:
        """All arguments of a call that draws `count` samples, but for their generators.

        Parameters
        ----------
        conditions : a prompt or a class label a sample, where the pipeline takes them.
        sampling_steps : None for the pipeline's own default.
        options : one value each, for all samples.
        """
        own: dict[str, Any] = {"output_type": "np"}  # in [0, 1]; some have "pt" in [-1, 1]
        if "batch_size" in self.parameters:
            own["batch_size"] = count
        if self.condition is not None and conditions is not None:
            own[self.condition] = list(conditions)
        if sampling_steps is not None:
            own["num_inference_steps"] = sampling_steps
        taken = {name: value for name, value in own.items() if name in self.parameters}
        return taken | {name: _repeated(name, v, count) for name, v in options.items()}


def is_text(name: str) -> bool:
    """Whether an argument is a prompt: `prompt`, `prompt_2`, `negative_prompt` and so on."""
    return name.removeprefix("negative_").rstrip("_0123456789") == "prompt"


def _repeated(name: str, value: Any, count: int) -> Any:
    """Further prompts are one a sample too: some pipelines want lists beside a list."""
    return [value] * count if is_text(name) and isinstance(value, str) else value
