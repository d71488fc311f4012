import numpy as np
import pytest
import torch

from raybilevel.errors import InputError
from raybilevel.rewards import evaluate

HERE = "lower_reward"


def run(returned, n):
    return evaluate(lambda images: returned, torch.zeros(n, 1, 2, 2), HERE)


@pytest.mark.parametrize("info", [{}, {"strict": [1.0]}, None, "cached", [1, 2]], ids=repr)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_what_trainers_return_beside_the_scores_is_left_out(n, info):
    want = np.arange(n) / 2
    for scores in (
        torch.tensor(want),
        torch.tensor(want, dtype=torch.bfloat16)[:, None],
        want,
        want.tolist(),
        [[value] for value in want],
    ):
        np.testing.assert_array_equal(run((scores, info), n), want)


@pytest.mark.parametrize(
    "two",
    [
        (0.25, 0.5),
        (torch.tensor(0.25), torch.tensor(0.5)),
        (np.float32(0.25), np.float32(0.5)),
        ([0.25], [0.5]),
        (torch.tensor([0.25]), torch.tensor([0.5])),
        [0.25, 0.5],
        [[0.25], [0.5]],
    ],
    ids=repr,
)
def test_the_scores_of_two_images_are_no_scores_with_info(two):
    np.testing.assert_array_equal(run(two, 2), [0.25, 0.5])


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (
            {"avg": [1.0] * 4, "clip": [2.0] * 4},
            r"scores by name \(avg, clip\); it must return 4 n",
        ),
        (
            ({"avg": [1.0] * 4}, {}),
            r"scores by name \(avg\); it must return 4 numbers, such as one",
        ),
        (([1.0] * 3, {}), r"numbers of shape \(3,\) for images \(4, 1, 2, 2\)"),
        ((["good"] * 4, {}), r"something that is no array of numbers"),
        (torch.zeros(4, dtype=torch.complex64), r"something that is no array of numbers"),
    ],
    ids=["a dict", "a dict with info", "three", "words", "complex"],
)
def test_what_are_no_scores_is_refused(returned, said):
    with pytest.raises(InputError, match=f"^{HERE} returned {said}"):
        run(returned, 4)
