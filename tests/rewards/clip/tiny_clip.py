"""A CLIP of the real classes with tiny random weights, as `save_pretrained` writes it."""
# ruff: noqa: E402 - what follows needs transformers

import pytest
import torch

transformers = pytest.importorskip(
    "transformers", reason="text models need the extra 'text', with which CI runs these tests apart"
)

from lower.sampling.pipelines.tiny_pipelines import clip_tokenizer

EDGE = 32
FEATURES = 12
LONGEST = 16


def clip_model():
    """Scores that differ: weights much larger than those that trainings begin with."""
    tower = {
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "initializer_factor": 8.0,
    }  # fmt: skip
    text = {
        "vocab_size": 64, "max_position_embeddings": LONGEST,
        "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1,
    }  # fmt: skip
    config = transformers.CLIPConfig(
        text_config=tower | text,
        vision_config=tower | {"image_size": EDGE, "patch_size": 8},
        projection_dim=FEATURES,
        initializer_factor=8.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.CLIPModel(config).eval()


def image_processor(**more):
    size = {"size": {"shortest_edge": EDGE}, "crop_size": {"height": EDGE, "width": EDGE}}
    return transformers.CLIPImageProcessorPil(**(size | more))


def save_clip(directory):
    clip_model().save_pretrained(directory)
    clip_tokenizer(LONGEST).save_pretrained(directory)
    image_processor().save_pretrained(directory)
    return directory
