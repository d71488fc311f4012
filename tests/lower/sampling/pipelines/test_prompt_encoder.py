import pytest
import torch

from raybilevel.lower.sampling.pipelines.prompt_encoder import PromptEncoder, RaggedPromptsError

CPU = torch.device("cpu")


class Encoder:
    """Encodes letters as families of pipelines do, and counts its calls."""

    def __init__(self):
        self.calls = 0

    def encode_prompt(self, prompt, device=None, negative_prompt=None, length=None):
        self.calls += 1
        longest = length or max(map(len, prompt))
        rows = [[float(ord(c)) for c in p.ljust(longest)] for p in prompt]
        embeds = torch.tensor(rows)
        layers = torch.stack([embeds, embeds + 1])  # the rows are the second axis
        positions = torch.zeros(longest, 3)  # no rows
        return embeds, layers, positions, list(embeds), negative_prompt and len(negative_prompt)


def test_a_batch_is_what_was_encoded_alone_joined_where_the_rows_are():
    encoder = PromptEncoder(Encoder().encode_prompt, CPU)
    embeds, layers, positions, listed, nothing = encoder(["abc", "xyz", "abc"])
    assert embeds.shape == (3, 3)
    assert layers.shape == (2, 3, 3)
    assert torch.equal(layers[1], embeds + 1)
    assert positions.shape == (3, 3)
    assert len(listed) == 3
    assert nothing is None


def test_prompts_of_different_lengths_are_no_batch_but_equal_ones_are():
    encoder = PromptEncoder(Encoder().encode_prompt, CPU)
    with pytest.raises(RaggedPromptsError):
        encoder(["abc", "wxyz"])
    assert encoder(["wxyz", "wxyz"])[0].shape == (2, 4)


def test_each_prompt_is_encoded_once_beside_each_negative_prompt_and_option():
    own = Encoder()
    encoder = PromptEncoder(own.encode_prompt, CPU)
    encoder(["abc", "xyz"], length=3)
    calls = own.calls
    encoder(["xyz", "abc", "xyz"], length=3)
    assert own.calls == calls
    encoder(["xyz"], length=4)
    encoder(["xyz"], negative_prompt=["no"], length=4)
    assert own.calls > calls + 1


def test_memory_is_made_free_after_encoding():
    freed = []
    encoder = PromptEncoder(Encoder().encode_prompt, CPU, lambda: freed.append(1))
    encoder(["abc"])
    assert freed
    freed.clear()
    encoder(["abc"])
    assert not freed


def test_what_was_not_asked_for_the_longest_is_forgotten_where_memory_ends():
    own = Encoder()
    encoder = PromptEncoder(own.encode_prompt, CPU, most_bytes=250)  # two of 84 bytes and no third
    for prompt in ("abc", "klm", "abc", "xyz"):
        encoder([prompt])
    calls = own.calls
    encoder(["abc", "xyz"])
    assert own.calls == calls
    encoder(["klm"])
    assert own.calls == calls + 1
