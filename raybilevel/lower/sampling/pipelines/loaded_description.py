"""A loaded pipeline, described as its files would describe it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybilevel.lower.sampling.pipelines.call import PipelineCall
from raybilevel.lower.sampling.pipelines.description import PipelineDescription


@dataclass(frozen=True)
class LoadedDescription(PipelineDescription):
    """What a loaded pipeline says of itself; it lies in no directory.

    Attributes
    ----------
    pipeline : the pipeline.
    """

    pipeline: Any

    @property
    def is_loaded(self) -> bool:
        """It is."""
        return True

    def config(self, part: str, name: str = "config.json") -> Mapping[str, Any] | None:
        """What a part was made with; None where it does not say."""
        config: Any = getattr(getattr(self.pipeline, part, None), "config", None)
        return config.to_dict() if hasattr(config, "to_dict") else config

    def tokenizer(self, part: str) -> Any:
        """The pipeline's own."""
        return getattr(self.pipeline, part)


def described_pipeline(pipeline: Any, named: str) -> LoadedDescription:
    """What can be told of a loaded pipeline.

    Parameters
    ----------
    named : what sentences call it.
    """
    made = type(pipeline)
    index = {**pipeline.config, **_names_of_classes(pipeline)}
    return LoadedDescription(
        Path(), index, made, PipelineCall.of(made), named, frozenset(), pipeline
    )


def _names_of_classes(pipeline: Any) -> dict[str, dict[str, str]]:
    """The names of class labels, as an index has them; one number may have several."""
    names: dict[str, list[str]] = {}
    for name, number in getattr(pipeline, "labels", {}).items():
        names.setdefault(str(number), []).append(name)
    return {"id2label": {number: ", ".join(several) for number, several in names.items()}}
