"""A CLIP that all rewards of a process share: features of images and of prompts."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybilevel.errors import InputError
from raybilevel.rewards.clip.files import ClipFiles, read_files
from raybilevel.rewards.clip.last_images import LastImages

if TYPE_CHECKING:
    from torch import Tensor

DTYPES = ("float32", "bfloat16", "float16")
_CHANNELS = (1, 3)
_MOST_PROMPTS = 10_000

_shared: weakref.WeakValueDictionary[tuple[Any, ...], ClipEncoder] = weakref.WeakValueDictionary()


def clip_encoder(
    model: str, processor: str | None, dtype: str, device: str, where: str
) -> ClipEncoder:
    """The CLIP of that name, which all share that ask for the same while one of them is there.

    Parameters
    ----------
    model, processor : directories or hub names, as `read_files` takes them.
    dtype : of its weights, one of `DTYPES`.
    where : the argument that holds the model, for the error's sentence.

    Raises
    ------
    InputError
        What `read_files` raises, or if there is no such dtype.
    """
    if dtype not in DTYPES:
        raise InputError(f"{where} has dtype {dtype!r}, but it is one of {', '.join(DTYPES)}")
    key = (_absolute(model), processor and _absolute(processor), dtype, device)
    found = _shared.get(key)
    if found is None:
        found = _shared[key] = ClipEncoder(read_files(model, processor, where), dtype, device)
    return found


def _absolute(model: str) -> str:
    return str(Path(model).resolve()) if Path(model).is_dir() else model


class ClipEncoder:
    """Unit vectors in the space that a CLIP has for images and texts; its weights are read late.

    Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision,
    arXiv 2103.00020, by transformers' CLIPModel.
    """

    def __init__(self, files: ClipFiles, dtype: str, device: str) -> None:
        self.files = files
        self._dtype, self._device = dtype, device
        self._last = LastImages()
        self._prompts: dict[str, Tensor] = {}

    @cached_property
    def network(self) -> Any:
        """The CLIPModel, on the device; no gradient of its weights."""
        import torch
        from transformers import CLIPModel

        with _quiet():
            network, info = CLIPModel.from_pretrained(
                str(self.files.weights()),
                local_files_only=True,
                use_safetensors=True,
                dtype=getattr(torch, self._dtype),
                output_loading_info=True,
            )
        if missing := sorted(info["missing_keys"]):
            raise InputError(
                f"{self.files.where} '{self.files.model}' lacks weights, such as {missing[0]}; "
                "give one that is a whole CLIPModel"
            )
        return network.to(self._device).eval().requires_grad_(False)

    def image_features(self, images: Tensor, batch_size: int) -> Tensor:
        """Features (N, D) float32 of length 1, on the device, with a gradient to the pixels.

        Those of the last images are kept while no gradient is asked for, so that several rewards of
        the same tensor compute them once.

        Parameters
        ----------
        images : (N, 1 or 3, H, W) in [0, 1].
        batch_size : images that are encoded at once.

        Raises
        ------
        InputError
            If the images have another shape.
        """
        if images.dim() != 4 or images.shape[1] not in _CHANNELS:
            raise InputError(
                f"{self.files.where} reads images (N, 1 or 3, height, width), not "
                f"{tuple(images.shape)}"
            )
        return self._last.get(images, batch_size, lambda: self._encoded(images, batch_size))

    def prompt_features(self, prompts: Sequence[str]) -> Tensor:
        """Features (N, D) float32 of length 1, on the device, of prompts cut at their end.

        Each is encoded alone, and kept: so they do not depend on what else is asked for.
        """
        import torch

        if len(self._prompts) > _MOST_PROMPTS:
            self._prompts.clear()
        for prompt in dict.fromkeys(prompts):
            if prompt not in self._prompts:
                self._prompts[prompt] = self._encoded_prompt(prompt)
        return torch.stack([self._prompts[prompt] for prompt in prompts])

    def _encoded(self, images: Tensor, batch_size: int) -> Tensor:
        import torch

        network, prepare = self.network, self.files.pixels.prepare
        batches = []
        for batch in images.split(batch_size):
            pixels = prepare(batch.to(self._device)).to(network.dtype)
            pooled = network.vision_model(pixel_values=pixels).pooler_output
            batches.append(_unit(network.visual_projection(pooled)))
        return torch.cat(batches)

    def _encoded_prompt(self, prompt: str) -> Tensor:
        import torch

        most = min(self.files.longest_prompt, self._tokenizer.model_max_length)
        tokens = self._tokenizer([prompt], truncation=True, max_length=most, return_tensors="pt")
        given = {name: tokens[name].to(self._device) for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            pooled = self.network.text_model(**given).pooler_output
            return _unit(self.network.text_projection(pooled))[0]

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(str(self.files.tokenizer), local_files_only=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bars and warnings: what is amiss is said in a sentence of ours."""
    from transformers.utils import logging

    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _unit(features: Tensor) -> Tensor:
    """Vectors of length 1, in float32 whatever they were computed in."""
    features = features.float()
    return features / features.norm(dim=-1, keepdim=True)
