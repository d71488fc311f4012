"""A pipeline directory as its JSON describes it, with the class that it names: no weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybilevel.errors import InputError
from raybilevel.lower.sampling.json_config import read_config
from raybilevel.lower.sampling.pipelines.call import PipelineCall
from raybilevel.lower.sampling.pipelines.loading import pipeline_class


@dataclass(frozen=True)
class PipelineDescription:
    """What a pipeline's files say of it.

    Attributes
    ----------
    index : what its `model_index.json` holds.
    made : its class.
    call : what that takes.
    named : what sentences call it.
    """

    directory: Path
    index: Mapping[str, Any]
    made: type
    call: PipelineCall
    named: str

    @property
    def kind(self) -> str:
        """What sentences call it where its class matters."""
        return f"{self.named}, a {self.made.__name__},"

    @property
    def parts(self) -> dict[str, str]:
        """Class names by part, of the parts that it has."""
        lists = {k: v for k, v in self.index.items() if isinstance(v, list) and len(v) == 2}
        return {part: names[1] for part, names in lists.items() if names[1] is not None}

    def config(self, part: str, name: str = "config.json") -> dict[str, Any] | None:
        """A JSON file of a part; None where it has none."""
        path = self.directory / part / name
        return read_config(path, self.named) if path.is_file() else None


def describe(directory: Path | str, where: str = "model") -> PipelineDescription:
    """Read what a directory holds.

    Parameters
    ----------
    where : the argument that holds the directory, for the error's sentence.

    Raises
    ------
    InputError
        If there is no such directory, it is no pipeline, or one of a class that diffusers lacks.
    """
    directory, named = Path(directory), f"{where} '{directory}'"
    if not directory.is_dir():
        raise InputError(f"{named} is not a directory; give one that holds a diffusers pipeline")
    index = read_config(directory / "model_index.json", named)
    made = pipeline_class(index.get("_class_name"), named)
    return PipelineDescription(directory, index, made, PipelineCall.of(made), named)
