"""Which files of a pipeline are loaded: of each part the JSON, and one variant of its weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from raybilevel.errors import InputError
from raybilevel.lower.sampling.pipelines.description import INDEX, PipelineDescription
from raybilevel.lower.sampling.weight_files import (
    STEMS,
    Weights,
    choose_weights,
    said_variants,
    variants,
)

_PICKLED = (".bin", ".ckpt", ".pt", ".pth")
_WEIGHTS = (
    *_PICKLED, ".safetensors", ".msgpack", ".h5", ".onnx", ".onnx_data", ".pb", ".xml", ".gguf",
    ".flashpack",
)  # fmt: skip
"""How names of weights end, of all frameworks that publish them beside each other."""

_WITHOUT_WEIGHTS = ("Tokenizer", "Processor", "Extractor")  # in names of classes


@dataclass(frozen=True)
class PartFiles:
    """What of a pipeline's files is loaded.

    Attributes
    ----------
    weights : by part.
    files : where the files lie by the names under which the stock call, told of no variant, finds
        them, such as "unet/diffusion_pytorch_model.safetensors".
    is_plain : whether that call takes the pipeline's directory as it is.
    remarks : what a user should know of the choice.
    """

    weights: Mapping[str, Weights]
    files: Mapping[str, Path]
    is_plain: bool
    remarks: tuple[str, ...]

    @property
    def variant(self) -> str | None:
        """What `from_pretrained` is told of it: some part has it, and the others have no other."""
        return next((w.variant for w in self.weights.values() if w.variant is not None), None)


def choose_files(
    described: PipelineDescription, variant: str | None, without: Collection[str] = ()
) -> PartFiles:
    """The files of each part.

    A part has the variant that is asked for, or, as diffusers has it, the plain weights if only
    others have that variant; asked for none, the plain weights, or else the only variant.

    Parameters
    ----------
    without : parts that are not loaded.

    Raises
    ------
    InputError
        If a part's weights are not all there, would have to be unpickled, or leave a choice.
    """
    parts = [part for part in described.parts if part not in without]
    found = {part: _variants(described, part) for part in parts if _has_weights(described, part)}
    every = {name: file for each in found.values() for name, file in each.items()}
    if variant is not None and every and variant not in every:
        said = said_variants(every)
        raise InputError(f"model_options.variant is '{variant}', but {described.named} has {said}")
    weights = {
        part: _choose(described, part, None if variant not in each and None in each else variant)
        for part, each in found.items()
    }
    files = {INDEX: described.directory / INDEX}
    for part in parts:
        files |= _files(described, part, weights.get(part))
    is_plain = all(path == described.directory / name for name, path in files.items())
    return PartFiles(weights, files, is_plain, _remarks(weights, variant, described.named))


def _has_weights(described: PipelineDescription, part: str) -> bool:
    """Tokenizers may have a config beside their own, but no weights."""
    named = described.parts[part]
    has_config = f"{described.folder(part)}config.json" in described.names
    return has_config and not any(word in named for word in _WITHOUT_WEIGHTS)


def _beside(described: PipelineDescription, part: str) -> frozenset[str]:
    """Names of a part's files, in its folder."""
    folder = described.folder(part)
    below = {name.removeprefix(folder) for name in described.names if name.startswith(folder)}
    return frozenset(name for name in below if "/" not in name)


def _stem(described: PipelineDescription, part: str) -> str:
    """How names of its weights begin: that of the library which made it goes first."""
    of_transformers = described.index[part][0] == "transformers"
    stems = STEMS[::-1] if of_transformers else STEMS
    beside = _beside(described, part)
    return next((stem for stem in stems if variants(beside, stem)), stems[0])


def _variants(described: PipelineDescription, part: str) -> dict[str | None, str]:
    return variants(_beside(described, part), _stem(described, part))


def _choose(described: PipelineDescription, part: str, variant: str | None) -> Weights:
    beside = _beside(described, part)
    pickled = sorted(name for name in beside if name.endswith(_PICKLED))
    if pickled and not any(name.endswith(".safetensors") for name in beside):
        raise InputError(
            f"{described.named} has no safetensors in {described.folder(part)}, and {pickled[0]} "
            "would have to be unpickled; save it with safe_serialization=True"
        )
    chosen = choose_weights(
        described.directory / described.folder(part), variant, described.named,
        beside=beside, stem=_stem(described, part), what=part,
    )  # fmt: skip
    chosen.files(described.named)  # all there
    return chosen


def _files(described: PipelineDescription, part: str, weights: Weights | None) -> dict[str, Path]:
    """Where a part's files lie, by the names that they are found by."""
    lies = described.directory / described.folder(part)
    files = {
        f"{part}/{name}": lies / name
        for name in sorted(_beside(described, part))
        if not is_of_weights(name) and f"{described.folder(part)}{name}" != INDEX
    }
    if weights is not None:
        found = weights.files(described.named)
        files |= {f"{part}/{name}": path for name, path in found.items()}
    return files


def is_of_weights(name: str) -> bool:
    """Whether a file of that name has weights, of whatever framework, or is an index of several."""
    return name.endswith(_WEIGHTS) or (name.endswith(".json") and ".index." in name)


def _remarks(weights: Mapping[str, Weights], asked: str | None, named: str) -> tuple[str, ...]:
    """Which parts have another variant than was asked for."""
    parts: dict[str | None, list[str]] = {}
    for part, chosen in weights.items():
        if chosen.variant != asked:
            parts.setdefault(chosen.variant, []).append(part)
    return tuple(_remark(v, parts[v], len(weights), asked, named) for v in parts)


def _remark(variant: str | None, parts: list[str], of: int, asked: str | None, named: str) -> str:
    what = "weights" if len(parts) == of else ", ".join(parts)
    if variant is None:
        return f"{named} has its {what} without the variant '{asked}'; the plain ones are used"
    return f"{named} has its {what} in the variant '{variant}' alone, which is used"
