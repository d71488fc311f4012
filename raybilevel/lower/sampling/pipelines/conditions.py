"""Whether prompts or class labels are such as a pipeline reads: its tokenizers are asked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from raybilevel.errors import InputError
from raybilevel.lower.sampling.pipelines.description import PipelineDescription

_COUNTS = ("num_embeds_ada_norm", "num_class_embeds")
"""Where networks keep their number of classes."""


def check_conditions(
    described: PipelineDescription, conditions: Sequence[Any] | None, options: Mapping[str, Any]
) -> list[str]:
    """Refuse conditions that a pipeline needs and does not get, or cannot read.

    Parameters
    ----------
    options : `call_options`.

    Returns
    -------
    Remarks: prompts that some tokenizers cut while another reads them whole.

    Raises
    ------
    InputError
        Naming the prompt or label.
    """
    call, kind = described.call, described.kind
    if call.condition is None and conditions is not None:
        raise InputError(f"prompts are given, but {kind} takes none; leave them out")
    if conditions is None:
        if call.condition is None or _is_optional(described):
            return []
        what = "prompts" if call.condition == "prompt" else "class labels"
        raise InputError(f"{kind} draws from {what}, but prompts is missing; give some")
    if len(conditions) == 0:
        raise InputError("prompts is empty; give at least one")
    if call.condition == "class_labels":
        _check_labels(described, conditions)
        return []
    return _check_prompts(described, conditions, options)


def _is_optional(described: PipelineDescription) -> bool:
    """Whether a call can do without class labels, as its network knows no classes."""
    labels = described.call.parameters.get("class_labels")
    if labels is None or labels.default is labels.empty:
        return False
    return _number_of_classes(described) is None


def _check_labels(described: PipelineDescription, labels: Sequence[Any]) -> None:
    names, most = label_names(described.index), _number_of_classes(described)
    for label in (int(x) if isinstance(x, str) and x.isdecimal() else x for x in labels):
        if not (label in names if isinstance(label, str) else type(label) is int):
            some = f", or names such as '{next(iter(names))}'" if names else ""
            raise InputError(f"prompts has {label!r}, but {described.kind} takes numbers{some}")
        if not isinstance(label, str) and not 0 <= label < (most or math.inf):
            last = "" if most is None else f" to {most - 1}"
            raise InputError(f"prompts has {label}, but {described.kind} has classes from 0{last}")


def label_names(index: Mapping[str, Any]) -> dict[str, int]:
    """Class numbers by the names that a model's index has for them, as diffusers reads it."""
    table: Mapping[str, str] = index.get("id2label") or {}
    return {name.strip(): int(i) for i, names in table.items() for name in names.split(",")}


def _number_of_classes(described: PipelineDescription) -> int | None:
    configs = [described.config(part) or {} for part in described.parts]
    counts = [config[key] for config in configs for key in _COUNTS if config.get(key)]
    return int(counts[0]) if counts else None


def _check_prompts(
    described: PipelineDescription, prompts: Sequence[Any], options: Mapping[str, Any]
) -> list[str]:
    for i, prompt in enumerate(prompts):
        if not isinstance(prompt, str):
            raise InputError(f"prompts has {prompt!r}, but {described.kind} draws from text")
        if not prompt.strip():
            raise InputError(f"the prompt at place {i + 1} is empty; give words, or drop it")
    tokenizers = _tokenizers(described, options)
    cut = [_cut_by(prompt, tokenizers, described.kind) for prompt in dict.fromkeys(prompts)]
    parts = sorted(set().union(*cut))
    if not parts:
        return []
    number = sum(map(bool, cut))
    verb = "cuts" if len(parts) == 1 else "cut"
    return [f"{', '.join(parts)} {verb} {number} of the prompts, which another part reads whole"]


def _cut_by(prompt: str, tokenizers: Mapping[str, tuple[Any, int]], kind: str) -> set[str]:
    """Tokenizers that do not read a prompt to its end; refused where none does."""
    lengths = {
        part: len(read(prompt, verbose=False)["input_ids"])
        for part, (read, _) in tokenizers.items()
    }
    cut = {part for part, (_, most) in tokenizers.items() if lengths[part] > most}
    if tokenizers and len(cut) == len(tokenizers):
        part = max(tokenizers, key=lambda part: tokenizers[part][1])
        said = prompt if len(prompt) <= 40 else f"{prompt[:40]}..."
        raise InputError(
            f"prompts has '{said}', which is {lengths[part]} tokens long, but the {part} of {kind} "
            f"reads {tokenizers[part][1]}; shorten it"
        )
    return cut


def _tokenizers(
    described: PipelineDescription, options: Mapping[str, Any]
) -> dict[str, tuple[Any, int]]:
    """Tokenizers by their part, each with the most tokens that the pipeline lets it read."""
    taken = described.call.parameters.get("max_sequence_length")
    asked = options.get("max_sequence_length", taken.default if taken is not None else math.inf)
    found = {}
    for part in described.parts:
        if "tokenizer" in part:
            read = described.tokenizer(part)
            found[part] = (read, int(min(read.model_max_length, asked)))
    return found
