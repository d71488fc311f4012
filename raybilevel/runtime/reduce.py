"""Reduction of a stage's outputs over a fixed binary tree of shard indices.

Floating-point addition is not associative: only a tree that the number of shards alone decides
gives the same bits whatever the order in which the shards came back.
"""

from __future__ import annotations

import numpy as np

from raybilevel.problems.base import Arrays, Output


def add(left: Arrays, right: Arrays) -> Arrays:
    """Entry-wise sum of two outputs' sums, which have the same keys."""
    assert left.keys() == right.keys(), "the shards of a stage sum the same things"
    return {name: left[name] + right[name] for name in left}


class Tree:
    """Sums and rows of `size` shards, taken in any order, reduced in one.

    Level by level index 2i is added to 2i + 1; the odd one at the end moves up as it is. A node is
    added as soon as both of its children are there, so that what is held stays small.
    """

    def __init__(self, size: int) -> None:
        self._widths = [size]
        while self._widths[-1] > 1:
            self._widths.append((self._widths[-1] + 1) // 2)
        self._nodes: dict[tuple[int, int], Arrays] = {}
        self._rows: dict[int, Arrays] = {}
        self._nfe = 0

    def put(self, index: int, output: Output) -> None:
        """Take shard `index`'s output; each index once."""
        self._rows[index] = output.rows
        self._nfe += output.nfe
        self._rise(0, index, output.sums)

    def _rise(self, level: int, i: int, sums: Arrays) -> None:
        if self._widths[level] == 1:
            self._nodes[level, 0] = sums
        elif (i ^ 1) >= self._widths[level]:
            self._rise(level + 1, i // 2, sums)
        elif (sibling := self._nodes.pop((level, i ^ 1), None)) is None:
            self._nodes[level, i] = sums
        else:
            both = (sums, sibling) if i % 2 == 0 else (sibling, sums)
            self._rise(level + 1, i // 2, add(*both))

    def result(self) -> Output:
        """The stage's output, once every shard is in; empty for a stage of none."""
        if not self._rows:
            return Output()
        (sums,) = self._nodes.values()
        rows = [self._rows[i] for i in range(self._widths[0])]
        joined = {name: np.concatenate([r[name] for r in rows]) for name in rows[0]}
        return Output(sums, joined, self._nfe)
