"""Particles that a worker moves: the law they keep, and that their lineages lead back to them."""

import numpy as np
import pytest
import torch
from reward_toys import tuning
from toys import first, second

from raybilevel.errors import RunError
from raybilevel.lower.sampling.annealing import Lineage
from raybilevel.problems.reward.shards import DrawRewards, DrawSamples, MoveParticles

S = 1.5


def doubled(noise):
    """A sampler of noise: N(0, 4) in two dimensions."""
    return 2 * noise


doubled.noise_shape = (2,)


def told(noise, prompts):
    """The same, shifted by the number that a prompt is."""
    return 2 * noise + torch.tensor([[float(prompt)] for prompt in prompts])


told.noise_shape = (2,)


def start(worker, seeds, prompts=None):
    rows = worker.run(DrawRewards(tuple(seeds), prompts), {}, key=0).rows
    columns = (name for name in rows if name not in ("pool/seed", "pool/prompt"))
    return {name.removeprefix("pool/"): tuple(rows[name]) for name in columns}


def moves(worker, n, count, rho=0.6, prompts=None, scale=(S,)):
    seeds = np.arange(n, n * (count + 1)).reshape(count, n)
    lineages = tuple(Lineage((i,)) for i in range(n))
    rewards = start(worker, range(n), prompts)
    return MoveParticles(
        lineages, rewards, (scale,) * n, (rho,) * n, tuple(map(tuple, seeds.tolist())), prompts
    )


def lineages_after(shard, rows):
    """Each particle's lineage once its accepted moves are appended."""
    n = len(shard.lineages)
    accepted, after = rows["pool/accepted"].reshape(-1, n), []
    for i, lineage in enumerate(shard.lineages):
        seeds = [move[i] for move, yes in zip(shard.seeds, accepted, strict=True) if yes[i]]
        rhos = (shard.rhos[i],) * len(seeds)
        after.append(Lineage((*lineage.seeds, *seeds), (*lineage.rhos, *rhos)))
    return tuple(after)


def test_chains_keep_the_tilted_law():
    worker = tuning(model=doubled).worker("cpu")
    shard = moves(worker, 500, 30, scale=(S / 4,))  # p_s = N(S, 4) in the first dimension
    rows = worker.run(shard, {}, key=0).rows
    last = rows["pool/lower.lower"][-500:]
    assert 0.3 < rows["pool/accepted"].mean() < 0.95
    assert abs(last.mean() - S) < 4 * 2 / np.sqrt(500)
    assert abs(last.std() - 2) < 4 * 2 / np.sqrt(2 * 500)


def test_all_states_come_as_rows_and_their_lineages_draw_them_again_to_the_bit():
    worker = tuning(model=doubled).worker("cpu")
    shard = moves(worker, 6, 4)
    output = worker.run(shard, {}, key=0)
    rows = output.rows
    assert rows["pool/seed"].tolist() == list(range(6, 30))
    assert 0 < rows["pool/accepted"].sum() < 24
    assert output.nfe == 24
    again = DrawSamples(tuple(rows["pool/seed"][-6:]), None, lineages_after(shard, rows))
    samples = worker.run(again, {}, key=0).rows["samples"]
    np.testing.assert_array_equal(samples[:, 0].astype(float), rows["pool/lower.lower"][-6:])
    held = rows["pool/lower.lower"].reshape(4, 6)
    before = np.concatenate([[shard.rewards["lower.lower"]], held[:-1]])
    stayed = ~rows["pool/accepted"].reshape(4, 6)
    np.testing.assert_array_equal(held[stayed], before[stayed])


def test_moving_in_two_shards_is_moving_in_one():
    worker = tuning(model=doubled).worker("cpu")
    whole = moves(worker, 5, 4)
    rows = worker.run(whole, {}, key=0).rows
    parts = whole.seeds[:2], whole.seeds[2:]
    begun = MoveParticles(whole.lineages, whole.rewards, whole.scales, whole.rhos, parts[0])
    half = worker.run(begun, {}, key=0).rows
    then = {column: tuple(half[f"pool/{column}"][-5:]) for column in whole.rewards}
    gone_on = MoveParticles(lineages_after(begun, half), then, whole.scales, whole.rhos, parts[1])
    rest = worker.run(gone_on, {}, key=0).rows
    for column, values in rows.items():
        np.testing.assert_array_equal(values, np.concatenate([half[column], rest[column]]))


def test_each_lower_reward_has_a_scale_of_its_own_and_each_particle_its_prompt():
    lower = {"a": first, "b": second}
    worker = tuning(model=told, lower_reward=lower, prompts=["0", "10"]).worker("cpu")
    prompts = (0, 1) * 150
    rows = worker.run(moves(worker, 300, 20, prompts=prompts, scale=(0.0, -0.5)), {}, key=0).rows
    assert rows["pool/prompt"].tolist() == list(prompts) * 20
    a, b = (rows[f"pool/lower.{name}"][-300:].reshape(-1, 2).mean(0) for name in "ab")
    np.testing.assert_allclose(a, [0, 10], atol=4 * 2 / np.sqrt(150))
    np.testing.assert_allclose(b, [-2, 8], atol=4 * 2 / np.sqrt(150))


def test_samples_that_were_not_moved_are_drawn_by_their_seeds_beside_those_that_were():
    worker = tuning(model=doubled).worker("cpu")
    lineages = (Lineage((1, 9), (0.5,)), Lineage((2,)), Lineage((3, 8), (0.5,)))
    mixed = worker.run(DrawSamples((9, 2, 8), None, lineages), {}, key=0)
    plain = worker.run(DrawSamples((2,)), {}, key=0).rows["samples"]
    np.testing.assert_array_equal(mixed.rows["samples"][1:2], plain)
    alone = worker.run(DrawSamples((8,), None, lineages[2:]), {}, key=0).rows["samples"]
    np.testing.assert_array_equal(mixed.rows["samples"][2:], alone)
    assert mixed.nfe == 3


def test_a_moved_sample_that_is_not_finite_is_named_by_the_seed_of_its_move():
    def brittle(noise):
        return noise / (len(noise) != 3)

    brittle.noise_shape = (2,)
    worker = tuning(model=brittle).worker("cpu")
    rewards = dict.fromkeys(("lower.lower", "upper"), (0.0,) * 3)
    lineages = tuple(Lineage((i,)) for i in range(3))
    shard = MoveParticles(lineages, rewards, ((1.0,),) * 3, (0.5,) * 3, ((7, 8, 9),))
    with pytest.raises(RunError, match=r"the sampler gave -?(inf|nan) for the sample of seed 7;"):
        worker.run(shard, {}, key=0)


def test_samples_of_a_function_of_seeds_are_counted_as_fixed():
    sums = tuning().worker("cpu").run(DrawRewards((1, 2)), {}, key=0).sums
    assert sums == {"fixed": 2}
    assert tuning(model=doubled).worker("cpu").run(DrawRewards((1, 2)), {}, key=0).sums == {}
