"""A CLIP model as its files describe it: what can be refused before its weights are read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from raybilevel.errors import InputError
from raybilevel.rewards.clip.hub import folder_of, has_file
from raybilevel.rewards.clip.pixels import PixelSettings

_CONFIG = "config.json"
_IMAGES = ("preprocessor_config.json", "processor_config.json")
_TOKENIZERS = ("tokenizer.json", "vocab.json")
_JSON = (_CONFIG, *_IMAGES, *_TOKENIZERS, "tokenizer_config.json", "special_tokens_map.json",
         "added_tokens.json", "merges.txt")  # fmt: skip
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_SHARDS = "model-*-of-*.safetensors"


@dataclass(frozen=True)
class ClipFiles:
    """What is known of a CLIP without its weights.

    Attributes
    ----------
    model : the directory or hub name.
    config : what its `config.json` holds.
    tokenizer : the folder of its tokenizer.
    pixels : how it wants images.
    where : the argument that holds the model, for sentences.
    """

    model: str
    config: dict[str, Any]
    tokenizer: Path
    pixels: PixelSettings
    where: str

    @property
    def width(self) -> int:
        """Dimensions of its features."""
        return int(self.config.get("projection_dim", 512))

    @property
    def longest_prompt(self) -> int:
        """Tokens that it reads."""
        return int(self.config.get("text_config", {}).get("max_position_embeddings", 77))

    def weights(self) -> Path:
        """The folder of its weights, which are fetched now where they are not there yet."""
        files = (_CONFIG, _WEIGHTS, _INDEX, _SHARDS)
        return folder_of(self.model, files, (_WEIGHTS, _INDEX), self.where)


def read_files(model: str, processor: str | None, where: str) -> ClipFiles:
    """Read a CLIP's JSON files.

    Parameters
    ----------
    model : a directory or hub name.
    processor : that of its tokenizer and image settings; None for the same.
    where : the argument that holds the model, for the error's sentence.

    Raises
    ------
    InputError
        If transformers is not installed, there is no such model, or it is no CLIP with safetensors,
        a tokenizer and image settings that fit.
    """
    if find_spec("transformers") is None:
        raise InputError(
            f"{where} is '{model}', which needs transformers, and that is not installed; "
            "pip install 'raybilevel[text]'"
        )
    folder = folder_of(model, _JSON, [_CONFIG], where)
    named = f"{where} '{model}'"
    config = _read(folder / _CONFIG, named)
    if config.get("model_type") != "clip":
        raise InputError(f"{named} is a {config.get('model_type')}; give a model that is a clip")
    _check_weights(model, folder, where)
    if processor is not None:
        named = f"processor '{processor}'"
        folder = folder_of(processor, _JSON, _IMAGES, "processor")
    pixels = _pixels(folder, named)
    _check_tokenizer(folder, named)
    _check_size(pixels, config, named)
    return ClipFiles(model, config, folder, pixels, where)


def _check_weights(model: str, folder: Path, where: str) -> None:
    if _has_weights(folder) or any(has_file(model, file, where) for file in (_WEIGHTS, _INDEX)):
        return
    raise InputError(
        f"{where} '{model}' has no {_WEIGHTS}, and weights in other files would have to be "
        "unpickled; save it by save_pretrained, or give a model that has it"
    )


def _pixels(folder: Path, named: str) -> PixelSettings:
    for name in _IMAGES:
        if (folder / name).is_file():
            settings = _read(folder / name, named)
            return PixelSettings.read(settings.get("image_processor", settings), named)
    raise InputError(f"{named} has no {_IMAGES[0]}; give processor a model that has it")


def _check_tokenizer(folder: Path, named: str) -> None:
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise InputError(f"{named} has no {_TOKENIZERS[0]}; give processor a model that has it")


def _check_size(pixels: PixelSettings, config: dict[str, Any], named: str) -> None:
    wanted = config.get("vision_config", {}).get("image_size")
    if wanted is not None and pixels.square is not None and pixels.square != wanted:
        raise InputError(
            f"{named} makes images {pixels.square} pixels wide, but the model reads {wanted}; give "
            "processor a model that makes those"
        )


def _has_weights(folder: Path) -> bool:
    if (folder / _INDEX).is_file():
        shards = set(_read(folder / _INDEX, str(folder)).get("weight_map", {}).values())
        return all((folder / shard).is_file() for shard in shards)
    return (folder / _WEIGHTS).is_file()


def _read(path: Path, named: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{named} has no {path.name}; give a model that has it") from error
    except ValueError as error:  # no JSON, or no text
        raise InputError(f"{named} is damaged: {path} is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{named} is damaged: {path} holds no mapping of names to values")
    return content
