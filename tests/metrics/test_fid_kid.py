"""FID and KID against torchmetrics and closed forms; their errors against simulation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from raybilevel.errors import InputError
from raybilevel.metrics.fid_kid import (
    FrechetTo,
    Moments,
    few_samples_warning,
    fid,
    fid_floor,
    jackknife,
    kid,
    kid_difference,
)


def draws(seed, n, features=5, shift=0.0, scale=1.0):
    generator = np.random.default_rng(seed)
    mix = np.random.default_rng(7).normal(size=(features, features)) / np.sqrt(features)
    return generator.normal(size=(n, features)) * scale @ (np.eye(features) + mix) + shift


class Flat(nn.Module):
    """Images whose pixels are the features."""

    def forward(self, images):
        return images.flatten(1).double()


def as_images(features):
    return torch.as_tensor(features, dtype=torch.float64)[:, :, None, None]


# --- moments ---------------------------------------------------------------


def test_moments_are_mean_and_unbiased_covariance():
    x = draws(0, 40, shift=3.0)
    moments = Moments.of(x.astype(np.float32))
    assert moments.sum.dtype == moments.outer.dtype == np.float64
    np.testing.assert_allclose(moments.mean, x.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(moments.cov, np.cov(x, rowvar=False), rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(0, 1000))
def test_moments_of_shards_sum_to_the_moments_of_everything(sizes, seed):
    x = draws(seed, sum(sizes), shift=1.0)
    parts = [Moments.of(part) for part in np.split(x, np.cumsum(sizes)[:-1])]
    summed, whole = parts[0], Moments.of(x)
    for part in parts[1:]:
        summed = summed + part
    for left, right in ((summed, whole), (whole - parts[0] + parts[0], whole)):
        assert left.count == right.count
        np.testing.assert_allclose(left.sum, right.sum, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(left.outer, right.outer, rtol=1e-12, atol=1e-12)


# --- FID -------------------------------------------------------------------


def test_fid_is_that_of_torchmetrics():
    from torchmetrics.image.fid import FrechetInceptionDistance

    a, b = draws(0, 300, shift=0.4), draws(1, 200, scale=1.3)
    extractor = Flat()
    extractor.num_features = a.shape[1]
    judge = FrechetInceptionDistance(feature=extractor, normalize=True, input_img_size=(5, 1, 1))
    judge.set_dtype(torch.float64)
    judge.update(as_images(a), real=False)
    judge.update(as_images(b), real=True)
    assert fid(Moments.of(a), Moments.of(b)) == pytest.approx(judge.compute().item(), rel=1e-6)


def gaussian(mean, cov, n=10):
    """Moments with exactly this mean and covariance."""
    mean, cov = np.asarray(mean, float), np.asarray(cov, float)
    return Moments(n, n * mean, (n - 1) * cov + n * np.outer(mean, mean))


def test_fid_of_commuting_covariances_is_the_closed_form():
    turn, _ = np.linalg.qr(draws(0, 3, 3))
    first, second = np.array([1.0, 4.0, 9.0]), np.array([2.0, 0.5, 3.0])
    a = gaussian([1, 2, 3], turn * first @ turn.T)
    b = gaussian([1, 0, 3], turn * second @ turn.T)
    expected = 4 + np.sum((np.sqrt(first) - np.sqrt(second)) ** 2)
    assert fid(a, b) == pytest.approx(expected, rel=1e-12)


def test_fid_without_full_rank():
    a = gaussian([0, 0, 0], np.diag([4.0, 0, 0]))
    b = gaussian([0, 0, 0], np.diag([1.0, 1, 0]))
    assert fid(a, b) == pytest.approx(1 + 1, abs=1e-12)
    few, other = Moments.of(draws(0, 4, 20)), Moments.of(draws(1, 6, 20))
    assert np.isfinite(fid(few, other))
    assert fid(few, few) == pytest.approx(0, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 10.0))
def test_fid_is_a_distance_that_turns_and_scales_with_the_space(seed, scale):
    x, y = draws(seed, 30), draws(seed + 1, 25, shift=0.5)
    turn, _ = np.linalg.qr(draws(seed + 2, 5))
    distance = fid(Moments.of(x), Moments.of(y))
    assert distance > 0
    assert fid(Moments.of(y), Moments.of(x)) == pytest.approx(distance, rel=1e-8)
    assert fid(Moments.of(x), Moments.of(x)) == pytest.approx(0, abs=1e-8)
    moved = fid(Moments.of(scale * x @ turn + 2), Moments.of(scale * y @ turn + 2))
    assert moved == pytest.approx(scale**2 * distance, rel=1e-6)


def test_one_reference_serves_many_evaluations():
    reference = Moments.of(draws(0, 50))
    to = FrechetTo(reference)
    for seed in range(1, 4):
        a = Moments.of(draws(seed, 40))
        assert to(a) == fid(a, reference)


def test_too_few_samples_are_said():
    assert few_samples_warning(65, 64) is None
    assert "64 samples of 64 features" in few_samples_warning(64, 64)


def test_the_floor_is_above_zero_and_falls_with_the_number_of_samples():
    real = draws(0, 2000)
    small, spread = fid_floor(real, 100, 1000)
    large, _ = fid_floor(real, 1000)
    assert 0 < large < small
    assert 0 < spread < small
    assert fid_floor(real, 100, 1000) == (small, spread)
    with pytest.raises(InputError, match="cannot split 2000 samples into parts of 1500 and 501"):
        fid_floor(real, 1500, 501)


# --- KID -------------------------------------------------------------------


def test_kid_is_that_of_torchmetrics():
    from torchmetrics.image.kid import KernelInceptionDistance

    a, b = draws(0, 120, shift=0.4), draws(1, 120, scale=1.3)
    extractor = Flat()
    extractor.num_features = a.shape[1]
    judge = KernelInceptionDistance(feature=extractor, subsets=1, subset_size=120, normalize=True)
    judge.update(as_images(a), real=False)
    judge.update(as_images(b), real=True)
    assert kid(a, b).value == pytest.approx(judge.compute()[0].item(), rel=1e-9)


def test_kid_is_the_sum_over_different_samples():
    x, y = draws(0, 7), draws(1, 5, shift=1.0)
    k = lambda u, v: (u @ v / 5 + 1) ** 3  # noqa: E731
    pairs = lambda s: [k(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j]  # noqa: E731
    expected = np.mean(pairs(x)) + np.mean(pairs(y)) - 2 * np.mean([k(u, v) for u in x for v in y])
    assert kid(x, y).value == pytest.approx(expected, rel=1e-12)


def test_the_difference_of_kids_is_their_difference():
    a, b, real = draws(0, 50), draws(1, 50, shift=0.2), draws(2, 40)
    expected = kid(a, real).value - kid(b, real).value
    assert kid_difference(a, b, real).value == pytest.approx(expected, rel=1e-9)
    same = kid_difference(a, a, real)
    assert same.value == same.se == 0


def test_kid_of_too_few_is_refused():
    with pytest.raises(InputError, match="at least 4 samples on each side, but got 3"):
        kid(draws(0, 3), draws(1, 50))


# --- errors ----------------------------------------------------------------


def calibration(replications, measure):
    """Stated standard error (root mean square) over the spread, and the mean over its error."""
    measured = np.array([measure(3 * seed) for seed in range(replications)])
    values, errors = measured[:, 0], measured[:, 1]
    spread = values.std(ddof=1)
    return np.sqrt(np.mean(errors**2)) / spread, values.mean() / (spread / np.sqrt(replications))


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5])
@pytest.mark.parametrize(("n", "m"), [(80, 80), (60, 150)])
def test_the_error_of_kid_is_its_spread(shift, n, m):
    ratio, offset = calibration(
        600, lambda s: kid(draws(s, n, 64, shift=shift), draws(s + 1, m, 64))
    )
    assert 0.8 < ratio < 1.2
    assert shift > 0 or abs(offset) < 3.5  # unbiased


@pytest.mark.parametrize("gap", [0.0, 0.2])
def test_the_error_of_a_paired_difference_of_kids_is_its_spread(gap):
    def measure(seed):
        a = draws(seed, 80, 64, shift=0.3)
        noise = 0.1 * np.random.default_rng(seed + 2).normal(size=a.shape)
        return kid_difference(a, a + gap + noise, draws(seed + 1, 100, 64))

    ratio, _ = calibration(600, measure)
    assert 0.8 < ratio < 1.2


def test_pairing_is_what_makes_a_small_difference_visible():
    a, real = draws(0, 200, shift=0.3), draws(1, 200)
    paired = kid_difference(a, a + 0.05, real)
    alone = kid(a, real)
    assert paired.se < 0.3 * alone.se


def chunks_of(x, k=16):
    return [Moments.of(part) for part in np.array_split(x, k)]


def test_the_jackknife_of_a_mean_is_its_textbook_error():
    x = draws(0, 12)
    value, se = jackknife(lambda total: total / 12, list(x))
    np.testing.assert_allclose(value, x.mean(axis=0))
    value, se = jackknife(lambda moments: moments.mean, [Moments.of(row[None]) for row in x])
    np.testing.assert_allclose(se, x.std(axis=0, ddof=1) / np.sqrt(12))
    with pytest.raises(InputError, match="at least 2 chunks, but got 1"):
        jackknife(float, [1.0])


def test_the_jackknifed_error_of_fid_is_its_spread():
    to = FrechetTo(Moments.of(draws(1, 5000)))
    ratio, _ = calibration(300, lambda s: jackknife(to, chunks_of(draws(s, 400, shift=0.3))))
    assert 0.8 < ratio < 1.2


def test_the_jackknifed_error_of_a_paired_difference_of_fids_is_its_spread():
    to = FrechetTo(Moments.of(draws(1, 5000)))

    def measure(seed):
        a = draws(seed, 400, shift=0.3)
        noise = 0.1 * np.random.default_rng(seed + 2).normal(size=a.shape)
        pair = chunks_of(a), chunks_of(a + 0.1 + noise)
        return jackknife(lambda p, q: to(p) - to(q), *pair)

    ratio, _ = calibration(300, measure)
    assert 0.8 < ratio < 1.2


def test_the_corrected_jackknife_takes_the_bias_of_fid_off():
    """FID of 256 samples of the reference's own distribution is 0 but for its bias."""
    rng = np.random.default_rng(0)
    to = FrechetTo(Moments.of(rng.standard_normal((200_000, 16))))
    chunks = [[Moments.of(rng.standard_normal((32, 16))) for _ in range(8)] for _ in range(60)]
    plain = np.array([jackknife(to, c)[0] for c in chunks])
    corrected = np.array([jackknife(to, c, corrected=True)[0] for c in chunks])
    assert plain.mean() > 0.3
    assert abs(corrected.mean()) < 0.1 * plain.mean()
