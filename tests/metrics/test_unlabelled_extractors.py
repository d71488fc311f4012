"""Extractors that need no labels: FID in them rises as images get worse, and they are two."""

import numpy as np
import pytest
import torch
from worse_images import judges

from raybilevel.data import Dataset, folds, load
from raybilevel.metrics.extractor_choice import UNLABELLED
from raybilevel.metrics.extractors import features, load_extractor, passes_gradients
from raybilevel.metrics.unlabelled_extractors import unlabelled_extractor


@pytest.fixture(scope="module")
def digits():
    train, held_out = folds(load("digits"), seed=1)  # jobs/bench/extractors.py has seed 0
    return Dataset(train.images), Dataset(held_out.images)


@pytest.mark.parametrize("name", UNLABELLED)
def test_it_knows_bad_digits_from_good_ones(name, digits):
    train, held_out = digits
    judges(unlabelled_extractor(train, name), train, held_out)


def test_the_two_see_different_things(digits):
    train, held_out = digits
    first, second = (features(load_extractor(n, train), held_out.images) for n in UNLABELLED)
    assert first.shape == second.shape == (360, 64)
    bases = [np.linalg.qr(x - x.mean(axis=0))[0] for x in (first, second)]
    correlations = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    assert np.median(correlations) < 0.75


@pytest.mark.parametrize("name", UNLABELLED)
def test_the_same_images_give_the_same_weights_whatever_their_labels(name, monkeypatch, tmp_path):
    torch.manual_seed(3)
    few = torch.rand(30, 3, 4, 7)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first = unlabelled_extractor(Dataset(few), name)
    monkeypatch.setenv("RAYBILEVEL_CACHE", str(tmp_path))
    again = unlabelled_extractor(Dataset(few, torch.arange(30)), name)
    assert np.array_equal(features(again, few), features(first, few))
    assert len(list(tmp_path.glob(f"extractor-{name}-*.safetensors"))) == 1
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not again.training
    assert not any(p.requires_grad for p in again.parameters())
    assert passes_gradients(again, few[:2])
