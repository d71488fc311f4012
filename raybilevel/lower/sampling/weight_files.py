"""A part's weights as `save_pretrained` leaves them: in variants, in one file or in several."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from raybilevel.errors import InputError
from raybilevel.lower.sampling.json_config import read_config

STEMS = ("diffusion_pytorch_model", "model")
"""How names of weights begin that diffusers saves, and that transformers saves."""

_PATTERNS = (
    r"{stem}(?:\.([^.]+)(?<!-of-\d{{5}}))?\.safetensors",
    r"{stem}\.safetensors\.([^.]+)\.index\.json",  # of older diffusers
    r"{stem}\.safetensors\.index(?:\.([^.]+))?\.json",
)
"""Names of a file of weights and of indices of several, with their variant; the last wins."""


@dataclass(frozen=True)
class Weights:
    """One variant of a part's weights.

    Attributes
    ----------
    variant : its name; None for the weights that have none.
    path : the file, or the index of several, which lie beside it.
    beside : names of all files in its folder: there, or on the hub.
    stem : one of `STEMS`.
    """

    variant: str | None
    path: Path
    beside: frozenset[str]
    stem: str = STEMS[0]

    def files(self, named: str) -> dict[str, Path]:
        """All files by the names under which they can be loaded without naming a variant.

        An index names its files, so that these keep their names.

        Raises
        ------
        InputError
            If a file that the index names is not there.
        """
        plain = f"{self.stem}.safetensors"
        if self.path.suffix != ".json":
            return {plain: self.path}
        names = sorted(set(read_config(self.path, named).get("weight_map", {}).values()))
        for name in names:
            if name not in self.beside:
                raise InputError(
                    f"{named} is not whole: {self.path.name} names {name}, which is not beside it; "
                    "download or copy it again"
                )
        shards = {name: self.path.parent / name for name in names}
        return {f"{plain}.index.json": self.path, **shards}


def names_in(folder: Path) -> frozenset[str]:
    """Names of the files in a folder."""
    return frozenset(path.name for path in folder.iterdir() if path.is_file())


def choose_weights(
    folder: Path,
    variant: str | None,
    named: str,
    *,
    beside: frozenset[str] | None = None,
    stem: str = STEMS[0],
    what: str = "weights",
) -> Weights:
    """The weights in a folder: of the variant that is asked for, else the plain, else the only.

    Parameters
    ----------
    beside : names of the files in it; None for those that are there.
    stem : of the names, one of `STEMS`.
    what : has these weights, in a sentence.

    Raises
    ------
    InputError
        If there are none, not that variant, or several and none is asked for.
    """
    beside = names_in(folder) if beside is None else beside
    found = variants(beside, stem)
    if not found:
        raise InputError(_none_in(folder, beside, stem, named))
    if variant is not None and variant not in found:
        raise InputError(
            f"model_options.variant is '{variant}', but {named} has {said_variants(found, what)}"
        )
    if variant is None and None not in found:
        if len(found) > 1:
            raise InputError(
                f"{named} has {said_variants(found, what)}; choose one, such as model_options: "
                f"{{variant: {min(map(str, found))}}}"
            )
        (variant,) = found
    return Weights(variant, folder / found[variant], beside, stem)


def variants(names: Iterable[str], stem: str = STEMS[0]) -> dict[str | None, str]:
    """Files of weights among names, or indices of several, by variant."""
    found: dict[str | None, str] = {}
    for pattern in _PATTERNS:
        compiled = re.compile(pattern.format(stem=stem))
        for name in sorted(names):
            if match := compiled.fullmatch(name):
                found[match[1]] = name
    return found


def _none_in(folder: Path, beside: frozenset[str], stem: str, named: str) -> str:
    if any(name.endswith(".safetensors") for name in beside):
        return (
            f"{named} is not whole: {folder.name}/ has neither {stem}.safetensors nor an index of "
            "several files; download or copy it again"
        )
    return f"{named} has no safetensors in {folder.name}/; save it with safe_serialization=True"


def said_variants(found: Mapping[str | None, str], what: str = "weights") -> str:
    """In which variants something `has` its weights, for a sentence."""
    names = [f"'{name}'" for name in sorted(filter(None, found))]
    if not names:
        return f"its {what} without a variant alone"
    said = f"its {what} in the variant{'s'[: len(names) > 1]} {' and '.join(names)}"
    return f"{said}, and without one" if None in found else f"{said} alone"
