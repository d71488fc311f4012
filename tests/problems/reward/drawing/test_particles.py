"""What a worker remembers of where particles are: never other numbers than a replay gives."""

import pytest
import torch

from raybilevel.lower.sampling.annealing import Lineage, proposed, replayed
from raybilevel.lower.sampling.noise import normal_noise
from raybilevel.problems.reward.drawing import particles as remembering
from raybilevel.problems.reward.drawing.particles import Particles

HERE = [Lineage((1,)).then(7, 0.3), Lineage((2,)).then(8, 0.7).then(5, 0.1), Lineage((3,))]


@pytest.fixture
def asked():
    return []


@pytest.fixture
def particles(asked):
    def noise(seeds):
        asked.extend(seeds)
        return normal_noise(seeds, (3, 4))

    return Particles(noise)


def moved():
    """Where the first two are, as they moved."""
    z = normal_noise([1, 2], (3, 4))
    first = proposed(z, normal_noise([7, 8], (3, 4)), [0.3, 0.7])
    return torch.stack([first[0], proposed(first[1:], normal_noise([5], (3, 4)), [0.1])[0]])


def test_remembered_particles_are_not_replayed_and_have_the_bits_of_a_replay(particles, asked):
    particles.remember(HERE[:2], moved())
    z = particles.at([HERE[1], HERE[2], HERE[0], HERE[1]])
    assert asked == [3]
    again = replayed(lambda seeds: normal_noise(seeds, (3, 4)), HERE)
    assert torch.equal(z, again[[1, 2, 0, 1]])


def test_a_move_of_the_same_seed_from_elsewhere_is_another_particle(particles):
    particles.remember(HERE[:2], moved())
    other = Lineage((2,)).then(7, 0.3)
    alone = replayed(lambda seeds: normal_noise(seeds, (3, 4)), [other])
    assert torch.equal(particles.at([other]), alone)


def test_those_used_least_lately_are_forgotten_and_replayed(particles, asked, monkeypatch):
    monkeypatch.setattr(remembering, "MOST_BYTES", 2 * 3 * 4 * 4)
    few = Particles(particles._noise)
    few.remember(HERE, torch.zeros(3, 3, 4))
    assert torch.equal(few.at(HERE[1:]), torch.zeros(2, 3, 4))
    assert asked == []
    few.at(HERE[:1])
    assert asked == [1, 7]
