"""A pipeline as its JSON describes it, with the class that it names: no weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from raybilevel.imports import said_in_a_sentence
from raybilevel.lower.sampling.json_config import read_config
from raybilevel.lower.sampling.pipeline_folders import find_root
from raybilevel.lower.sampling.pipelines.call import PipelineCall
from raybilevel.lower.sampling.pipelines.classes import pipeline_class

INDEX = "model_index.json"


@dataclass(frozen=True)
class PipelineDescription:
    """What a pipeline's files say of it.

    Attributes
    ----------
    directory : where its JSON files and tokenizers lie.
    index : what its `model_index.json` holds.
    made : its class.
    call : what that takes.
    named : what sentences call it.
    names : of all its files, such as "unet/config.json": in the directory, or on the hub.
    """

    directory: Path
    index: Mapping[str, Any]
    made: type
    call: PipelineCall
    named: str
    names: frozenset[str]

    @property
    def kind(self) -> str:
        """What sentences call it where its class matters."""
        return f"{self.named}, a {self.made.__name__},"

    @property
    def parts(self) -> dict[str, str]:
        """Class names by part, of the parts that it has."""
        pairs = {name: value for name, value in self.index.items() if is_part(value)}
        return {part: names[1] for part, names in pairs.items() if names[1] is not None}

    @property
    def is_loaded(self) -> bool:
        """Whether its weights were chosen and read already."""
        return False

    def leaving_out(self, parts: Collection[str]) -> Self:
        """The same without some parts."""
        return replace(self, index={k: v for k, v in self.index.items() if k not in parts})

    def folder(self, part: str) -> str:
        """Where a part lies: the pipeline's own folder where parts have none, as the oldest."""
        return f"{part}/" if any(name.startswith(f"{part}/") for name in self.names) else ""

    def config(self, part: str, name: str = "config.json") -> Mapping[str, Any] | None:
        """A JSON file of a part; None where it has none."""
        path = self.directory / self.folder(part) / name
        return read_config(path, self.named) if path.is_file() else None

    def tokenizer(self, part: str) -> Any:
        """A tokenizer, loaded; `InputError` where transformers cannot."""
        import transformers

        made = getattr(transformers, self.parts[part], transformers.AutoTokenizer)
        with said_in_a_sentence(self.named, f"loading its {part}"):
            return made.from_pretrained(
                str(self.directory / self.folder(part)), local_files_only=True
            )


def describe(
    directory: Path | str,
    where: str = "model",
    *,
    named: str | None = None,
    names: frozenset[str] | None = None,
) -> PipelineDescription:
    """Read what a directory holds.

    Parameters
    ----------
    directory : what `save_pretrained` writes, or a folder of the hub's cache.
    where : the argument that holds the directory, for the error's sentence.
    named : what sentences call it; None for `where` and the directory.
    names : of its files where not all are there yet; None for those that are.

    Raises
    ------
    InputError
        If there is no such directory, it is no pipeline, or one of a class that diffusers lacks.
    """
    named = named or f"{where} '{directory}'"
    root = find_root(directory, named)
    index = read_config(root / INDEX, named)
    made = pipeline_class(index.get("_class_name"), named)
    names = _names_in(root) if names is None else names
    return PipelineDescription(root, index, made, PipelineCall.of(made), named, names)


def is_part(value: Any) -> bool:
    """Whether a value of an index is a part: its library and its class, null where it is absent."""
    return isinstance(value, (list, tuple)) and len(value) == 2


def _names_in(root: Path) -> frozenset[str]:
    """Names of files in a folder and one folder below."""
    paths = [path for pattern in ("*", "*/*") for path in root.glob(pattern) if path.is_file()]
    return frozenset(path.relative_to(root).as_posix() for path in paths)
