"""A diffusers pipeline as a user names it: described, loaded and exported, wherever it lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybilevel.imports import resolve
from raybilevel.lower.pretrained import pipeline_directory
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings

if TYPE_CHECKING:
    from raybilevel.lower.sampling.pipelines.description import PipelineDescription

DRAWN_IN = "drawn_in_"
"""How keys of a state begin that say the dtype that workers drew samples in."""


@dataclass(frozen=True)
class NamedPipeline:
    """A pipeline that is not loaded yet. Picklable.

    Parameters
    ----------
    spec : a directory, the name of one that comes along or of one of the hub; or a function without
        arguments that returns it, or its import path.
    settings : how it is loaded and called.
    on_hub : whether `spec` names a model of the hub: decided once, whatever lies on other nodes.
    """

    spec: str | Callable[..., Any]
    settings: PipelineSettings
    on_hub: bool = False

    @property
    def files(self) -> Path | str | None:
        """Its directory, or its name on the hub as a text; None where a function returns it."""
        if not isinstance(self.spec, str) or ":" in self.spec:
            return None
        return self.spec if self.on_hub else pipeline_directory(self.spec)

    @property
    def function(self) -> Any:
        """What returns it."""
        return resolve(self.spec, "model") if isinstance(self.spec, str) else self.spec

    def described(self) -> PipelineDescription | None:
        """What its JSON says of it; None where a function returns it.

        Raises
        ------
        InputError
            What `describe_source` raises.
        """
        from raybilevel.lower.sampling.pipelines.source import describe_source

        return None if self.files is None else describe_source(self.files, self.settings)

    def check(self, named: str, conditions: Sequence[Any] | None) -> tuple[str, ...]:
        """Refuse what its JSON and its tokenizers tell; returns what a user should know.

        A function's pipeline is checked where the function is called, on a worker.

        Parameters
        ----------
        named : what sentences call it.
        conditions : prompts or class labels, as the run will give them.

        Raises
        ------
        InputError
            What `check_stock_pipeline` raises.
        """
        from raybilevel.lower.sampling.pipelines.callables import check_is_function
        from raybilevel.lower.sampling.pipelines.check import check_stock_pipeline

        described = self.described()
        if described is None:
            check_is_function(self.function, named)
            return ()
        return tuple(check_stock_pipeline(described, self.settings, conditions))

    def loaded(
        self, device: str, conditions: Sequence[Any] | None
    ) -> tuple[Any, list[str], str | None]:
        """The pipeline on the CPU, remarks on it, and the dtype that was left to the device.

        Raises
        ------
        InputError
            What `source.loaded` raises.
        """
        from raybilevel.lower.sampling.pipelines.source import dtype_of, loaded

        files, dtype = self.files, None
        source = self.spec if files is None else files
        pipeline, remarks = loaded(source, self.settings, device, conditions)
        if files is not None and self.settings.dtype == "auto":
            dtype = dtype_of(files, self.settings, device)
        return pipeline, remarks, dtype

    def export(self, directory: Path, *, export_weights: bool) -> None:
        """Write it as stock, or what of a model of the hub is not there: `pipeline/`."""
        from raybilevel.lower.sampling.pipelines.export import export_pipeline

        if self.files is not None:
            target = directory / "pipeline"
            export_pipeline(self.files, self.settings, target, export_weights=export_weights)
