"""Two-point zeroth-order gradients: values at pairs of points, no derivative of anything.

Xiao et al. 2025, arXiv 2502.08808, section 3.2 (Algorithm 5); the estimator is that of Nesterov &
Spokoiny 2017, Found. Comput. Math. 17, 527-566, with central differences: of odd order in the
perturbation, so antithetic by itself. Both sides of a pair are to be evaluated with the same
random numbers, which is up to the caller. Legend: d variables, m directions, z scaled coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from raybilevel.errors import InputError
from raybilevel.upper.variables import Vector

Kind = Literal["orthogonal", "independent"]


def draw_directions(
    rng: np.random.Generator, m: int, d: int, kind: Kind = "orthogonal"
) -> np.ndarray:
    """Unit directions (m, d), uniform on the sphere.

    "orthogonal" ones are rows of a random rotation: with m = d they give the whole gradient.
    "independent" ones follow the 1/m law: their mean's variance falls like 1/m.

    Raises
    ------
    InputError
        If more orthogonal directions are asked for than there are variables.
    """
    if kind == "independent":
        rows = rng.standard_normal((m, d))
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)
    if m > d:
        raise InputError(f"{m} directions cannot be orthogonal among {d} variables; ask for {d}")
    q, r = np.linalg.qr(rng.standard_normal((d, d)))
    return (q * np.sign(np.diagonal(r))).T[:m]  # the signs make it uniform (Mezzadri 2007)


@dataclass(frozen=True, eq=False)
class Pairs:
    """The points of m central differences.

    Attributes
    ----------
    centre : (d,) scaled coordinates.
    directions : (m, d) unit vectors.
    delta : half the distance of a pair's points, in scaled coordinates.
    """

    centre: Vector
    directions: np.ndarray
    delta: float

    @classmethod
    def inside(
        cls, z: Vector, directions: np.ndarray, delta: float, low: Vector, high: Vector
    ) -> Pairs:
        """Pairs about `z`, moved inward where a point could leave the box [low, high].

        Clipping one side of a pair instead would bias it: the difference would be divided by a
        distance that it no longer has.
        """
        assert np.all(high - low >= 2 * delta), "a pair fits into the box"
        return cls(np.clip(z, low + delta, high - delta), directions, delta)

    @property
    def points(self) -> np.ndarray:
        """Scaled points (2m, d): centre + delta u_1, centre - delta u_1, centre + delta u_2, ..."""
        steps = self.delta * np.stack([self.directions, -self.directions], axis=1)
        return self.centre + steps.reshape(-1, steps.shape[-1])

    def gradient(self, values: np.ndarray) -> Vector:
        """Gradient (d,) in scaled coordinates from values (2m,) at the points.

        d/m sum_j (f(c + delta u_j) - f(c - delta u_j)) / (2 delta) u_j. On average over the
        directions it is that of f averaged over the ball of radius delta; with m = d orthogonal
        directions that sum is the same for every quadratic f, whatever the directions.
        """
        m, d = self.directions.shape
        slopes = (values[0::2] - values[1::2]) / (2 * self.delta)
        return d / m * slopes @ self.directions
