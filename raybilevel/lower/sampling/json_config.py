"""JSON files of a pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from raybilevel.errors import InputError


def read_config(path: Path, named: str) -> dict[str, Any]:
    """A JSON file of the pipeline `named`; `InputError` where there is none, or it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{named} is no diffusers pipeline, it has no {path.parent.name}/{path.name}; "
            "give a directory written by save_pretrained"
        ) from error
    except ValueError as error:  # no JSON, or no text
        raise InputError(f"{named} is damaged: {path} is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{named} is damaged: {path} holds no mapping of names to values")
    return content
