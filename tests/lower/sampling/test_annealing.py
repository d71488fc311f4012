"""Moves in a sampler's noise: their bits, and the law that they keep."""

import numpy as np
import torch

from raybilevel.lower.sampling.annealing import Lineage, accepts, proposed, replayed
from raybilevel.lower.sampling.noise import normal_noise


def noise(seeds):
    return normal_noise(seeds, (3, 4, 4))


def test_a_lineage_is_replayed_to_the_bit_whatever_is_replayed_beside_it():
    z = noise([1, 2, 3])
    there = proposed(z, noise([7, 8, 9]), [0.3, 0.7, 1.0])
    further = proposed(there[[1]], noise([5]), [0.123])
    lineages = [Lineage((1, 7), (0.3,)), Lineage((2, 8, 5), (0.7, 0.123)), Lineage((3,))]
    again = replayed(noise, lineages)
    torch.testing.assert_close(again, torch.stack([there[0], further[0], z[2]]), rtol=0, atol=0)
    assert torch.equal(replayed(noise, lineages[1:2])[0], further[0])


def test_a_move_keeps_the_law_of_noise_and_at_rho_of_one_nothing_of_where_it_was():
    z, xi = torch.full((2, 4000), 5.0), normal_noise([1, 2], (4000,))
    moved = proposed(z, xi, [0.6, 1.0])
    assert torch.equal(moved[1], xi[1])
    torch.testing.assert_close(moved[0], 0.8 * z[0] + 0.6 * xi[0])


def test_moves_are_accepted_with_the_probability_of_metropolis_decided_by_their_seeds():
    seeds, n, lower = list(range(4000)), 4000, np.log(0.3)
    up = accepts(np.zeros(n), np.full(n, 0.5), seeds)
    down = accepts(np.zeros(n), np.full(n, lower), seeds)
    assert up.all()
    assert abs(down.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / n)
    again, others = (accepts(np.zeros(n), np.full(n, lower), s) for s in (seeds, [*seeds[1:], n]))
    np.testing.assert_array_equal(down, again)
    assert abs(np.mean(down & others) - 0.09) < 4 * np.sqrt(0.09 * 0.91 / n)


def test_acceptance_does_not_know_what_was_proposed():
    seeds = list(range(2000))
    accepted = accepts(np.zeros(2000), np.full(2000, np.log(0.5)), seeds)
    xi = normal_noise(seeds, (1,)).numpy()[:, 0]
    assert abs(np.corrcoef(accepted, xi)[0, 1]) < 4 / np.sqrt(2000)
