"""Reference statistics are read as pytorch-fid and EDM write them, and checked."""

import numpy as np
import pytest

from raybilevel.errors import InputError
from raybilevel.metrics.fid_kid import FrechetTo, Moments
from raybilevel.metrics.reference_statistics import is_statistics, read_statistics


@pytest.fixture
def real():
    return np.random.default_rng(0).normal(2.0, 1.0, (50, 6)) @ np.diag([1, 2, 3, 0.5, 0.1, 0])


def written(folder, **arrays):
    np.savez_compressed(folder / "s.npz", **arrays)
    return str(folder / "s.npz")


def as_pytorch_fid_does(folder, features, **more):
    mu, sigma = np.mean(features, axis=0), np.cov(features, rowvar=False)
    return written(folder, mu=mu, sigma=sigma, **more)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_fid_to_statistics_is_that_to_the_images_they_are_of(real, tmp_path, kind):
    path = as_pytorch_fid_does(tmp_path, real.astype(kind))
    assert is_statistics(path)
    samples = Moments.of(np.random.default_rng(1).normal(2.0, 1.5, (40, 6)))
    to_images = FrechetTo(Moments.of(real))(samples)
    rounding = {"rel": 1e-9} if kind is np.float64 else {"rel": 1e-4}
    assert FrechetTo(read_statistics(path))(samples) == pytest.approx(to_images, **rounding)


def test_a_file_with_images_too_is_one_of_images(real, tmp_path):
    images = np.zeros((4, 8, 8), np.uint8)
    assert not is_statistics(as_pytorch_fid_does(tmp_path, real, arr_0=images))
    assert not is_statistics(written(tmp_path, images=images))
    (tmp_path / "text.npz").write_text("mu sigma")
    for other in ("text.npz", "nowhere.npz", ""):
        assert not is_statistics(str(tmp_path / other))


@pytest.mark.parametrize(
    ("mu", "sigma", "said"),
    [
        (np.zeros(3), np.eye(4), r"mu of shape \(3,\) and sigma of \(4, 4\), but .* mu \(F,\)"),
        (np.zeros((3, 1)), np.eye(3), r"mu of shape \(3, 1\)"),
        (np.zeros(0), np.eye(0), r"mu of shape \(0,\)"),
        (np.array([0, np.nan]), np.eye(2), "numbers in mu that are not finite"),
        (np.zeros(2), np.full((2, 2), np.inf), "numbers in sigma that are not finite"),
        (np.zeros(2), np.array([[1, 0.5], [0, 1]]), "sigma that is not symmetric"),
        (np.zeros(2), np.array([[1, 2], [2, 1]]), "eigenvalue of -1, but a covariance has none"),
        (np.array(["a"]), np.eye(1), "array 'mu' must be whole and of plain numbers"),
        (np.zeros(2) + 1j, np.eye(2), "array 'mu' must be whole and of plain numbers"),
        (np.array([{}], object), np.eye(1), "nothing is unpickled"),
    ],
    ids=lambda value: value[:22] if isinstance(value, str) else "",
)
def test_what_is_no_mean_and_covariance_is_refused(mu, sigma, said, tmp_path):
    with pytest.raises(InputError, match=said) as refused:
        read_statistics(written(tmp_path, mu=mu, sigma=sigma))
    assert "\n" not in str(refused.value)


def test_a_damaged_file_is_refused(real, tmp_path):
    path = as_pytorch_fid_does(tmp_path, real)
    content = bytearray((tmp_path / "s.npz").read_bytes())
    content[60:90] = bytes(30)
    (tmp_path / "s.npz").write_bytes(content)
    with pytest.raises(InputError, match="must be whole"):
        read_statistics(path)
