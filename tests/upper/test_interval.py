"""Sandwich intervals are right where the answer is known, and notice a flat objective."""

import numpy as np
import pytest
from scipy.stats import norm, t

from raybilevel.upper.interval import carriers, degrees_of_carriers, sandwich


def mean_model(data, curvature):
    """Estimating a mean: influence H (z - u), so Cov(z*) = Cov(u) / n."""

    def influence(z):
        psi = (z - data) @ curvature
        return psi - psi.mean(axis=0)

    return influence


def test_the_interval_of_a_mean_is_the_textbooks():
    data = np.random.default_rng(0).normal(size=(500, 2)) @ np.array([[1.0, 0.5], [0.0, 2.0]])
    curvature = np.array([[2.0, 0.3], [0.3, 1.0]])
    found = sandwich(mean_model(data, curvature), data.mean(axis=0), curvature)
    np.testing.assert_allclose(found.se, data.std(axis=0) / np.sqrt(500), rtol=1e-6)
    np.testing.assert_allclose(found.high - found.low, 2 * 1.959964 * found.se, rtol=1e-6)
    np.testing.assert_allclose((found.high + found.low) / 2, data.mean(axis=0))


def test_a_higher_confidence_is_a_wider_interval():
    data = np.random.default_rng(0).normal(size=(500, 1))
    model = mean_model(data, np.eye(1))
    narrow, wide = (sandwich(model, data.mean(axis=0), np.eye(1), c) for c in (0.5, 0.99))
    assert (wide.high - wide.low)[0] / (narrow.high - narrow.low)[0] == pytest.approx(3.819, 1e-3)


def random_curvature(curvatures):
    """Each sample has its own slope: the Hessian is their mean, its error their spread."""

    def influence(z):
        psi = curvatures[:, None] * z
        return psi - psi.mean(axis=0)

    return influence


def mean_hessian(curvatures):
    return np.array([[curvatures.mean()]])


def test_curvature_z_is_the_curvature_over_its_standard_error():
    curvatures = np.random.default_rng(0).normal(0.3, 1.0, 400)
    found = sandwich(random_curvature(curvatures), np.zeros(1), mean_hessian(curvatures))
    expected = curvatures.mean() / (curvatures.std() / 20)
    assert found.curvature_z == pytest.approx(expected, rel=1e-9)


def test_a_maximum_has_negative_curvature_z():
    curvatures = np.random.default_rng(0).normal(-3.0, 1.0, 400)
    assert (
        sandwich(random_curvature(curvatures), np.zeros(1), mean_hessian(curvatures)).curvature_z
        < -10
    )


def test_the_flattest_direction_decides():
    steep = np.random.default_rng(0).normal([3.0, 0.1], 1.0, (400, 2))

    def influence(z):
        psi = steep * z
        return psi - psi.mean(axis=0)

    found = sandwich(influence, np.zeros(2), np.diag(steep.mean(axis=0))).curvature_z
    assert found == pytest.approx(steep[:, 1].mean() / steep[:, 1].std() * 20, rel=1e-9)


def test_where_few_samples_carry_the_variance_the_interval_is_students():
    """Of 400 samples 8 carry the variance: (8 - 1) / 2 degrees of freedom."""
    data = np.zeros((400, 1))
    data[:8, 0] = np.tile([-1.0, 1.0], 4)
    model = mean_model(data, np.eye(1))
    normal, student = (
        sandwich(model, np.zeros(1), np.eye(1), df=df) for df in (np.inf, degrees_of_carriers)
    )
    ratio = (student.high - student.low) / (normal.high - normal.low)
    assert ratio[0] == pytest.approx(t.ppf(0.975, 3.5) / norm.ppf(0.975), rel=1e-6)
    one = sandwich(model, np.zeros(1), np.eye(1), df=1)
    assert one.high[0] == pytest.approx(t.ppf(0.975, 1) * normal.se[0], rel=1e-6)


def test_carriers_are_counted_by_column():
    influence = np.zeros((100, 3))
    influence[:20, 0], influence[0, 1] = 1.0, 5.0
    np.testing.assert_allclose(carriers(influence), [20.0, 1.0, 100.0])
