import pytest
import torch

from raybilevel.data import load
from raybilevel.errors import InputError
from raybilevel.rewards.asked_digit import (
    DIGITS,
    asked_digit,
    digit_asked,
    held_out_asked_digit,
    proxy_asked_digit,
)


@pytest.fixture(scope="module")
def written():
    """Handwritten digits of all ten kinds, and prompts that ask for them."""
    data = load("mnist5k")
    rows = torch.arange(0, 5000, 25)
    images = torch.nn.functional.pad(data.images[rows], (2, 2, 2, 2))
    return images, [f"a thin {DIGITS[label]}, to the left" for label in data.labels[rows]]


@pytest.mark.parametrize("factory", [asked_digit, held_out_asked_digit, proxy_asked_digit])
def test_the_digit_asked_for_scores_higher_than_another(factory, written):
    images, prompts = written
    reward = factory("cpu")
    others = prompts[20:] + prompts[:20]  # the next digit's
    scores, wrong = reward(images, prompts), reward(images, others)
    assert scores.shape == (len(prompts),)
    assert (scores > wrong).double().mean() > 0.95
    alone = reward(images[:1], prompts[:1])
    torch.testing.assert_close(alone, scores[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factory", [asked_digit, held_out_asked_digit])
def test_judges_give_log_probabilities(factory, written):
    images, _ = written
    each = torch.stack([factory("cpu")(images[:4], [word] * 4) for word in DIGITS])
    torch.testing.assert_close(each.exp().sum(0), torch.ones(4))


def test_the_three_judges_are_not_the_same(written):
    good, held_out, proxy = (f("cpu")(*written) for f in (asked_digit, held_out_asked_digit,
                                                          proxy_asked_digit))  # fmt: skip
    assert (good - held_out).abs().mean() > 0.01
    assert (good - proxy).abs().mean() > 0.01


def test_loading_a_judge_leaves_the_global_generator_alone():
    state = torch.random.get_rng_state()
    asked_digit("cpu")
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_digit_asked_for_is_the_one_that_is_named():
    assert [digit_asked(f"A thick {word.upper()}, small") for word in DIGITS] == list(range(10))


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [("a cat", "names no digits"), ("one or two", "names 2 digits"), ("nobody's", "names no")],
)
def test_a_prompt_without_one_digit_is_refused(prompt, sentence):
    with pytest.raises(
        InputError, match=f"^asked_digit was given the prompt '{prompt}'.*{sentence}"
    ):
        asked_digit("cpu")(torch.zeros(1, 1, 32, 32), [prompt])


def test_images_of_another_shape_are_refused():
    with pytest.raises(InputError, match=r"shape \(1, 32, 32\), as 'mnist-sd' .* \(3, 32, 32\)"):
        asked_digit("cpu")(torch.zeros(1, 3, 32, 32), ["a two"])
