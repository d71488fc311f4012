import pytest
import torch

from raybilevel.data import load
from raybilevel.errors import InputError


def test_digits_are_all_there_with_shapes_types_and_range():
    digits = load("digits")
    assert digits.images.shape == (1797, 1, 8, 8)
    assert digits.images.dtype == torch.float32
    assert digits.images.min() == 0
    assert digits.images.max() == 1
    assert digits.labels.dtype == torch.int64
    assert torch.bincount(digits.labels).min() >= 170


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="'cats', but must be one of: digits"):
        load("cats")
