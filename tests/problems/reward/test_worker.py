"""What a worker returns for each kind of shard."""

import numpy as np
import pytest
from reward_toys import tuning
from toys import bump, first, gaussian

from raybilevel.errors import RunError
from raybilevel.problems.reward.shards import DrawRewards, DrawSamples
from raybilevel.problems.user_code import UserCodeError

SEEDS = (3, 1, 2)


def test_rewards_come_as_rows_of_the_pool_in_the_order_of_the_seeds():
    output = tuning().worker("cpu").run(DrawRewards(SEEDS), {}, key=0)
    samples = gaussian(list(SEEDS))
    assert output.rows["pool/seed"].tolist() == list(SEEDS)
    np.testing.assert_array_equal(output.rows["pool/lower.lower"], first(samples).double())
    np.testing.assert_array_equal(output.rows["pool/upper"], bump(samples).double())
    assert output.nfe == 3


def test_samples_come_as_they_are_and_cost_as_much():
    output = tuning().worker("cpu").run(DrawSamples(SEEDS), {}, key=0)
    np.testing.assert_array_equal(output.rows["samples"], gaussian(list(SEEDS)))
    assert output.rows.keys() == {"samples"}
    assert output.nfe == 3


@pytest.mark.parametrize("kind", [DrawRewards, DrawSamples])
def test_a_sample_that_is_not_finite_is_named_by_its_seed(kind):
    def broken(seeds):
        return gaussian(seeds) / (0.0 if 1 in seeds else 1.0)

    worker = tuning(model=broken).worker("cpu")
    assert worker.run(kind((3,)), {}, key=0).nfe == 1
    with pytest.raises(RunError, match=r"the sampler gave -?(inf|nan) for the sample of seed 1;"):
        worker.run(kind((1,)), {}, key=0)


def raising(samples):
    raise ValueError(f"no\nscore for {len(samples)}")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"upper_reward": raising}, "reward 'upper'"),
        ({"lower_reward": {"a": first, "b": raising}}, "reward 'lower.b'"),
        ({"model": raising}, "the model"),
    ],
)
def test_users_code_that_raises_is_named_with_the_seeds_of_its_batch(changes, what):
    worker = tuning(**changes).worker("cpu")
    with pytest.raises(UserCodeError) as raised:
        worker.run(DrawRewards(SEEDS), {}, key=0)
    said = f"{what} failed on the seeds 3, 1, 2: ValueError: no score for 3 ({__file__}:"
    assert str(raised.value).startswith(said)
    with pytest.raises(UserCodeError, match="on the seeds 0, 1, 2, 3 and 60 more: ") as raised:
        worker.run(DrawRewards(tuple(range(64))), {}, key=0)
    assert raised.value.__notes__ == [f"the seeds of the batch: {list(range(64))}"]
