import functools

import numpy as np
import pytest
import torch

from raybilevel.errors import InputError
from raybilevel.rewards import check_reads, evaluate, reads

HERE = "lower_reward"
IMAGES = torch.arange(3.0)[:, None, None, None].expand(3, 1, 2, 2)
PROMPTS = ["a", "bb", "cccc"]
METADATA = [{"bonus": 10}, {"bonus": 20}, {"bonus": 30}]

BOTH = ("images", "prompts")
ALL = ("images", "prompts", "metadata")


def ink(images):
    return images.flatten(1).mean(1)


def lengths(prompts):
    return torch.tensor([float(len(prompt)) for prompt in prompts])


def bonuses(metadata):
    return torch.tensor([float(row["bonus"]) for row in metadata])


def of_all(images, prompts, metadata):
    return ink(images) + lengths(prompts) + bonuses(metadata)


def under_other_names(x, y, z):
    return of_all(x, y, z)


def by_place_alone(x, y, /):
    return ink(x) + lengths(y)


def by_name_alone(images, *, prompts, metadata):
    return of_all(images, prompts, metadata)


def one_of_each(prompt, image):
    return ink(image) + lengths(prompt)


def metadata_alone(images, metadata):
    return ink(images) + bonuses(metadata)


def at_a_temperature(images, temperature=1.0):
    return ink(images) / temperature


def weighed(images, prompts, weight):
    return ink(images) + weight * lengths(prompts)


def if_there_are_any(images, prompts=None):
    return ink(images) + (0 if prompts is None else lengths(prompts))


def anything(*given, **named):
    (images,) = given
    assert not named
    return ink(images)


class Scorer:
    def __call__(self, images, prompts):
        return ink(images) + lengths(prompts)

    def score(self, images, prompts, metadata):
        return of_all(images, prompts, metadata)


class Judge(torch.nn.Module):
    def forward(self, images, prompts):
        return ink(images) + lengths(prompts)


@functools.wraps(of_all)
def wrapped(*args):
    return of_all(*args)


INK, LENGTHS, BONUSES = np.arange(3), np.array([1, 2, 4]), np.array([10, 20, 30])


@pytest.mark.parametrize(
    ("reward", "read", "scores"),
    [
        (ink, ("images",), INK),
        (of_all, ALL, INK + LENGTHS + BONUSES),
        (under_other_names, ALL, INK + LENGTHS + BONUSES),
        (by_place_alone, BOTH, INK + LENGTHS),
        (by_name_alone, ALL, INK + LENGTHS + BONUSES),
        (one_of_each, BOTH, INK + LENGTHS),
        (metadata_alone, ("images", "metadata"), INK + BONUSES),
        (at_a_temperature, ("images",), INK),
        (if_there_are_any, BOTH, INK + LENGTHS),
        (anything, ("images",), INK),
        (Scorer(), BOTH, INK + LENGTHS),
        (Scorer().score, ALL, INK + LENGTHS + BONUSES),
        (Judge(), BOTH, INK + LENGTHS),
        (wrapped, ALL, INK + LENGTHS + BONUSES),
        (functools.partial(weighed, weight=3), BOTH, INK + 3 * LENGTHS),
        (functools.partial(of_all, prompts=["zz"] * 3), ("images", "metadata"), INK + 2 + BONUSES),
        (lambda x: x.flatten(1).mean(1), ("images",), INK),
        (np.max, ("images",), None),
        (np.add.reduce, ("images",), None),
    ],
    ids=lambda value: getattr(value, "__qualname__", None) or type(value).__name__,
)
def test_a_reward_is_given_what_its_signature_reads(reward, read, scores):
    assert reads(reward) == read
    check_reads(reward, HERE, prompts=True, metadata=True)
    if scores is not None:
        found = evaluate(reward, IMAGES, HERE, PROMPTS, METADATA)
        np.testing.assert_array_equal(found, scores)


def test_a_callable_without_a_signature_is_given_images():
    assert reads(dict.fromkeys) == ("images",)
    np.testing.assert_array_equal(evaluate(torch.ravel, torch.arange(3.0), HERE, PROMPTS), INK)


def test_a_reward_that_can_do_without_prompts_is_not_refused():
    check_reads(if_there_are_any, HERE, prompts=False, metadata=False)
    np.testing.assert_array_equal(evaluate(if_there_are_any, IMAGES, HERE), INK)


@pytest.mark.parametrize(
    ("reward", "prompts", "said"),
    [
        (of_all, None, "reads prompts, but the model draws from none; give a reward of images "
         "alone, or a model that draws from prompts"),
        (metadata_alone, PROMPTS, "reads metadata, but the model draws from no prompts that could "
         "have any; give a reward of images alone, or a model that draws from prompts"),
        (weighed, PROMPTS, None),
        (lambda: 0, PROMPTS, "is used as (), but a reward is used as (images), (images, prompts) "
         "or (images, prompts, metadata)"),
        (lambda a, b, c, d: 0, PROMPTS, "is used as (a, b, c, d), but a reward"),
        (lambda images, *, scale: 0, PROMPTS, "is used as (images, *, scale), but a reward"),
    ],
)  # fmt: skip
def test_a_reward_that_wants_what_there_is_not_is_refused(reward, prompts, said):
    for refuse in (
        lambda: check_reads(reward, HERE, prompts is not None, metadata=False),
        lambda: evaluate(reward, IMAGES, HERE, prompts),
    ):
        with pytest.raises(InputError) as refused:
            refuse()
        assert str(refused.value).startswith(f"{HERE} {said or 'reads metadata, but'}")
