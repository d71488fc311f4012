import numpy as np
import pytest
import torch
from packages import register, write_module

from raybilevel.config import registry
from raybilevel.errors import InputError
from raybilevel.rewards import evaluate, load_reward, reads

HERE = "lower_reward"
IMAGES = torch.arange(3.0)[:, None, None, None].expand(3, 1, 2, 2) / 4
PROMPTS = ["a", "bb", "cccc"]
METADATA = [{"bonus": 10}, {"bonus": 20}, {"bonus": 30}]

THEIRS = """
import numpy as np
import torch

def prompt_length(device):
    return lambda images, prompts: ([float(len(prompt)) for prompt in prompts], {"cached": True})

def bonus(device):
    return lambda images, metadata: torch.tensor([[float(row["bonus"])] for row in metadata])

def brightest(device):
    return lambda images: np.asarray(images).max((1, 2, 3))

def words(device):
    return lambda images: ["good"] * len(images)
"""


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A package that registers rewards of all kinds."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_looked_up", {})
    write_module(tmp_path, "their_scores", THEIRS)
    for name in ("prompt_length", "bonus", "brightest", "words"):
        register(tmp_path, f"their-{name}", "rewards", name, f"their_scores:{name}")


@pytest.mark.parametrize(
    ("spec", "read"),
    [
        ("ink", ("images",)),
        ("brightest - 0.5 * ink", ("images",)),
        ("prompt_length - 0.5 * ink", ("images", "prompts")),
        ("ink + bonus", ("images", "metadata")),
        ("bonus + ink - 2 * prompt_length", ("images", "prompts", "metadata")),
    ],
)
def test_a_sum_reads_what_its_terms_read(spec, read, theirs):
    assert reads(load_reward(spec, HERE)) == read


def test_a_sum_gives_its_terms_what_they_read_and_adds_their_scores_alone(theirs):
    reward = load_reward("2 * prompt_length + bonus - ink + 4 * brightest", HERE)
    found = evaluate(reward, IMAGES, HERE, PROMPTS, METADATA)
    np.testing.assert_allclose(found, [12, 24 + 0.75, 38 + 1.5])


def test_a_sum_passes_a_gradient_to_the_pixels(theirs):
    images = IMAGES.clone().requires_grad_()
    load_reward("prompt_length + 2 * ink", HERE)(images, PROMPTS).sum().backward()
    np.testing.assert_array_equal(images.grad, np.full((3, 1, 2, 2), 0.5))


def test_a_sum_without_what_a_term_reads_is_refused(theirs):
    with pytest.raises(InputError, match=f"^{HERE} reads prompts, but the model draws from none"):
        evaluate(load_reward("ink + prompt_length", HERE), IMAGES, HERE)


def test_a_term_that_returns_no_numbers_is_named(theirs):
    with pytest.raises(InputError, match=r"^the reward 'words' returned something that is no arr"):
        evaluate(load_reward("ink + words", HERE), IMAGES, HERE)


def test_a_sum_of_arrays_is_an_array(theirs):
    reward = load_reward("2 * brightest - 0.5 * brightest", HERE)
    found = reward(IMAGES.numpy())
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, [0, 0.375, 0.75])
