"""Outputs are reduced over a tree that only the number of shards decides."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from raybilevel.problems.base import Output
from raybilevel.runtime.reduce import Reduction


def output(index):
    """Sums whose rounding tells one order of additions from another; a row that tells the index."""
    rng = np.random.default_rng(index)
    sums = {"s": rng.normal(size=64).astype(np.float32) * 10.0 ** rng.integers(-4, 4)}
    return Output(sums, {"index": np.array([index, index])}, nfe=index)


def recursively(outputs):
    """The tree as one would write it down: pair neighbours, and again."""
    while len(outputs) > 1:
        pairs = [outputs[i : i + 2] for i in range(0, len(outputs), 2)]
        outputs = [pair[0] + pair[1] if len(pair) == 2 else pair[0] for pair in pairs]
    return outputs[0]


orders = st.integers(1, 40).flatmap(lambda size: st.permutations(range(size)))


@given(orders)
def test_any_order_of_arrival_gives_the_bits_of_the_recursive_tree(order):
    tree = Reduction(len(order))
    for index in order:
        tree.put(index, output(index))
    sums = [output(i).sums["s"] for i in range(len(order))]
    assert tree.result().sums["s"].tobytes() == recursively(sums).tobytes()


def test_a_running_sum_would_give_other_bits():
    """So that the test above can fail."""
    sums = [output(i).sums["s"] for i in range(40)]
    running = sums[0]
    for one in sums[1:]:
        running = running + one
    assert running.tobytes() != recursively(sums).tobytes()


@given(orders)
def test_rows_come_by_index_and_costs_add_up(order):
    tree = Reduction(len(order))
    for index in order:
        tree.put(index, output(index))
    result = tree.result()
    assert result.rows["index"].tolist() == [i for i in range(len(order)) for _ in range(2)]
    assert result.nfe == sum(order)


def test_a_stage_without_shards_gives_an_empty_output():
    assert Reduction(0).result() == Output()
