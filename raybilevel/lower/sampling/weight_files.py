"""A network's weights as `save_pretrained` leaves them: in variants, in one file or in several."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raybilevel.errors import InputError
from raybilevel.lower.sampling.json_config import read_config

PLAIN_FILE = "diffusion_pytorch_model.safetensors"
PLAIN_INDEX = f"{PLAIN_FILE}.index.json"

_NAMES = (
    re.compile(r"diffusion_pytorch_model(?:\.([^.]+)(?<!-of-\d{5}))?\.safetensors"),
    re.compile(r"diffusion_pytorch_model\.safetensors\.([^.]+)\.index\.json"),  # of older diffusers
    re.compile(r"diffusion_pytorch_model\.safetensors\.index(?:\.([^.]+))?\.json"),
)
"""Names of a file of weights and of indices of several, with their variant; the last wins."""


@dataclass(frozen=True)
class Weights:
    """One variant of a network's weights.

    Attributes
    ----------
    variant : its name; None for the weights that have none.
    path : the file, or the index of several, which lie beside it.
    """

    variant: str | None
    path: Path

    def files(self, named: str) -> dict[str, Path]:
        """All files by the names under which they can be loaded without naming a variant.

        An index names its files, so that these keep their names.

        Raises
        ------
        InputError
            If a file that the index names is not there.
        """
        if self.path.suffix != ".json":
            return {PLAIN_FILE: self.path}
        names = sorted(set(read_config(self.path, named).get("weight_map", {}).values()))
        for name in names:
            if Path(name).name != name or not (self.path.parent / name).is_file():
                raise InputError(
                    f"{named} is not whole: {self.path.name} names {name}, which is not beside it; "
                    "download or copy it again"
                )
        return {PLAIN_INDEX: self.path, **{name: self.path.parent / name for name in names}}


def choose_weights(folder: Path, variant: str | None, named: str) -> Weights:
    """The weights in a folder: of the variant that is asked for, else the plain, else the only.

    Raises
    ------
    InputError
        If there are none, not that variant, or several and none is asked for.
    """
    found = _variants(folder)
    if not found:
        raise InputError(_none_in(folder, named))
    if variant is not None and variant not in found:
        raise InputError(f"model_options.variant is '{variant}', but {named} has {_said(found)}")
    if variant is None and None not in found:
        if len(found) > 1:
            raise InputError(
                f"{named} has {_said(found)}; choose one, such as model_options: "
                f"{{variant: {min(map(str, found))}}}"
            )
        (variant,) = found
    return Weights(variant, found[variant])


def _variants(folder: Path) -> dict[str | None, Path]:
    """Files of weights, or their indices, by variant."""
    found: dict[str | None, Path] = {}
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for pattern in _NAMES:
        for path in files:
            if match := pattern.fullmatch(path.name):
                found[match[1]] = path
    return found


def _none_in(folder: Path, named: str) -> str:
    if any(folder.glob("*.safetensors")):
        return (
            f"{named} is not whole: {folder.name}/ has neither {PLAIN_FILE} nor an index of "
            "several files; download or copy it again"
        )
    return f"{named} has no safetensors in {folder.name}/; save it with safe_serialization=True"


def _said(found: Mapping[str | None, Path]) -> str:
    names = [f"'{name}'" for name in sorted(filter(None, found))]
    if not names:
        return "its weights without a variant alone"
    variants = f"its weights in the variant{'s'[: len(names) > 1]} {' and '.join(names)}"
    return f"{variants}, and without one" if None in found else f"{variants} alone"
