"""What reads prompts: CLIP's tokenizer, with a token for each of their words, and its model."""

from __future__ import annotations

import itertools
import string
from collections import Counter
from collections.abc import Iterable

from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

WIDTH = 64
_LENGTH = 16  # tokens of the longest prompt, 13, and some
_END = "</w>"


def tokenizer(prompts: Iterable[str]) -> CLIPTokenizer:
    """Byte pair encoding whose merges make each word of the prompts one token.

    Other words fall into letters, which nothing was learned about.
    """
    words = sorted({word for text in prompts for word in text.replace(",", " ,").split()})
    letters = string.ascii_lowercase + string.digits + string.punctuation
    pieces = [*letters, *(f"{letter}{_END}" for letter in letters)]
    merges = _merges(words)
    names = ["<|startoftext|>", "<|endoftext|>", *pieces, *("".join(pair) for pair in merges)]
    vocab = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=_LENGTH)


def _merges(words: list[str]) -> list[tuple[str, str]]:
    """The commonest pair first, until words are whole (Sennrich et al. 2016, arXiv 1508.07909)."""
    spelt = [[*word[:-1], word[-1] + _END] for word in words]
    merges = []
    while any(len(pieces) > 1 for pieces in spelt):
        pairs = Counter(pair for pieces in spelt for pair in itertools.pairwise(pieces))
        best = max(sorted(pairs), key=lambda pair: pairs[pair])
        merges.append(best)
        spelt = [_merged(pieces, best) for pieces in spelt]
    return merges


def _merged(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    done: list[str] = []
    for piece in pieces:
        if done and (done[-1], piece) == pair:
            done[-1] += piece
        else:
            done.append(piece)
    return done


def text_encoder(tokens: CLIPTokenizer) -> CLIPTextModel:
    """A small CLIP text model with its first weights."""
    config = CLIPTextConfig(
        vocab_size=len(tokens), hidden_size=WIDTH, intermediate_size=2 * WIDTH,
        projection_dim=WIDTH, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=_LENGTH, bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id, pad_token_id=tokens.pad_token_id,
    )  # fmt: skip
    return CLIPTextModel(config)
