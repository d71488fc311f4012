"""Rewards on a CLIP's features: they pass a gradient to the pixels, and read weights when asked."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING

from raybilevel.errors import InputError
from raybilevel.rewards.builtin import Reward
from raybilevel.rewards.clip.aesthetic_head import aesthetic_head
from raybilevel.rewards.clip.encoder import ClipEncoder, clip_encoder
from raybilevel.rewards.clip.hub import pinned_file, pinned_model
from raybilevel.rewards.spec import Term

if TYPE_CHECKING:
    from torch import Tensor

_CLIP = "openai/clip-vit-large-patch14"
_PICKSCORE = "yuvalkirstain/PickScore_v1"
_PICKSCORE_PROCESSOR = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
_AESTHETIC_HEAD = "trl-lib/ddpo-aesthetic-predictor/aesthetic-model.pth"


def clip_similarity(
    device: str, model: str = _CLIP, batch_size: int = 32, dtype: str = "float32"
) -> Reward:
    """Cosine of a CLIP's features of the image and of its prompt, in [-1, 1].

    CLIPScore is this, times 2.5 (or 100), and at least 0: Hessel et al., CLIPScore: A
    Reference-free Evaluation Metric for Image Captioning, arXiv 2104.08718.

    Parameters
    ----------
    model : a directory, or a hub name `owner/name` or `owner/name@revision`.
    batch_size : images that are encoded at once.
    dtype : of the weights, "float32", "bfloat16" or "float16".

    Raises
    ------
    InputError
        If there is no such model, it is no CLIP in safetensors, or transformers is not installed.
    """
    _check_batch_size(batch_size, "clip_similarity")
    clip = clip_encoder(model, None, dtype, device, "clip_similarity's model")

    def reward(images: Tensor, prompts: Sequence[str]) -> Tensor:
        return _cosine(clip, images, prompts, batch_size).to(images.device)

    return reward


def pickscore(
    device: str,
    model: str = _PICKSCORE,
    processor: str | None = None,
    batch_size: int = 32,
    dtype: str = "float32",
) -> Reward:
    """How much people prefer the image for its prompt: 100 times a cosine, mostly from 15 to 25.

    The cosine of the features times exp(logit_scale), as published: Kirstain et al., Pick-a-Pic: An
    Open Dataset of User Preferences for Text-to-Image Generation, arXiv 2305.01569, and
    github.com/yuvalkirstain/PickScore. flow_grpo divides it by 26.

    Parameters
    ----------
    processor : the model whose tokenizer and image settings are used; None for the published one's,
        or for those of `model` where another is given.
    model, batch_size, dtype : as in `clip_similarity`.

    Raises
    ------
    InputError
        As `clip_similarity`.
    """
    _check_batch_size(batch_size, "pickscore")
    clip = clip_encoder(model, _processor(model, processor), dtype, device, "pickscore's model")

    def reward(images: Tensor, prompts: Sequence[str]) -> Tensor:
        cosine = _cosine(clip, images, prompts, batch_size)
        return (clip.network.logit_scale.float().exp() * cosine).to(images.device)

    return reward


def aesthetic(
    device: str,
    head: str = _AESTHETIC_HEAD,
    model: str = _CLIP,
    batch_size: int = 32,
    dtype: str = "float32",
) -> Reward:
    """LAION's aesthetic score, mostly from 1 to 10: a head on a CLIP's features of length 1.

    Source: Schuhmann, github.com/christophschuhmann/improved-aesthetic-predictor; used as a reward
    in Black et al., Training Diffusion Models with Reinforcement Learning, arXiv 2305.13301 (DDPO),
    whose head on the hub is the one that is used if none is given.

    Parameters
    ----------
    head : a file of weights, or one on the hub `owner/name/file`: a linear layer, or LAION's
        perceptron; safetensors, or a torch file of tensors alone.
    model, batch_size, dtype : as in `clip_similarity`; the head is in float32.

    Raises
    ------
    InputError
        As `clip_similarity`, or if the head is none for features of this model.
    """
    _check_batch_size(batch_size, "aesthetic")
    clip = clip_encoder(model, None, dtype, device, "aesthetic's model")
    network = aesthetic_head(head, clip.files.width, device)

    def reward(images: Tensor) -> Tensor:
        return network(clip.image_features(images, batch_size))[:, 0].to(images.device)

    return reward


def pinned_arguments(term: Term, before: Term | None) -> dict[str, str]:
    """What of a reward of this file may be on the hub, by its commits; of other rewards nothing.

    By argument, also of those that are not given.

    Parameters
    ----------
    before : the same reward as it was pinned before.
    """
    stored = {} if before is None else _of_hub(before)
    return {
        argument: (pinned_file if argument == "head" else pinned_model)(
            model, f"{term.name}'s {argument}", stored.get(argument)
        )
        for argument, model in _of_hub(term).items()
    }


def _of_hub(term: Term) -> dict[str, str]:
    """Arguments that may name what is on the hub."""
    factory = term.factory
    if factory not in (clip_similarity, pickscore, aesthetic):
        return {}
    defaults = {p.name: p.default for p in inspect.signature(factory).parameters.values()}
    arguments = defaults | term.arguments
    if factory is pickscore:
        arguments["processor"] = _processor(arguments["model"], arguments["processor"])
    named = {name: arguments.get(name) for name in ("model", "processor", "head")}
    return {name: model for name, model in named.items() if isinstance(model, str)}


def _processor(model: str, given: str | None) -> str | None:
    """The published model comes without one of its own."""
    if given is None and str(model).partition("@")[0] == _PICKSCORE:
        return _PICKSCORE_PROCESSOR
    return given


def _check_batch_size(batch_size: int, name: str) -> None:
    if not (type(batch_size) is int and batch_size >= 1):
        raise InputError(f"{name} has batch_size {batch_size!r}, but it must be at least 1")


def _cosine(clip: ClipEncoder, images: Tensor, prompts: Sequence[str], batch_size: int) -> Tensor:
    return (clip.image_features(images, batch_size) * clip.prompt_features(prompts)).sum(1)
