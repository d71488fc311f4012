"""Reduction of a stage's outputs: sums over a fixed binary tree of shard indices, rows by index.

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
    """Sums of `size` shards, taken in any order, added in one.

    Level by level index 2i is added to 2i + 1; the odd one at the end moves up as it is. A node is
    added as soon as both of its children are there, so that what is held stays small.
    """

    def __init__(self, size: int) -> None:
        self._widths = [size]
        while self._widths[-1] > 1:
            self._widths.append((self._widths[-1] + 1) // 2)
        self._nodes: dict[tuple[int, int], Arrays] = {}

    def put(self, index: int, sums: Arrays) -> None:
        """Take shard `index`'s sums; each index once."""
        self._rise(0, index, sums)

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

    def result(self) -> Arrays:
        """The whole sum, once every shard is in; empty for a stage of none."""
        if not self._nodes:
            return {}
        (sums,) = self._nodes.values()
        return sums


class Rows:
    """Rows and NFE of shards, taken in any order, a second time if need be."""

    def __init__(self) -> None:
        self._rows: dict[int, Arrays] = {}
        self._nfe: dict[int, int] = {}

    def put(self, index: int, rows: Arrays, nfe: int) -> None:
        """Take what shard `index` returned beside its sums."""
        self._rows[index], self._nfe[index] = rows, nfe

    def nfe(self, index: int) -> int:
        """What shard `index` cost."""
        return self._nfe[index]

    def result(self, sums: Arrays) -> Output:
        """The stage's output, once every shard is in."""
        rows = [self._rows[i] for i in sorted(self._rows)]
        names = rows[0] if rows else {}
        joined = {name: np.concatenate([r[name] for r in rows]) for name in names}
        return Output(sums, joined, sum(self._nfe.values()))


class Reduction:
    """Outputs of `size` shards in one process, taken in any order."""

    def __init__(self, size: int) -> None:
        self._tree, self._rows = Tree(size), Rows()

    def put(self, index: int, output: Output) -> None:
        """Take shard `index`'s output; each index once."""
        self._tree.put(index, output.sums)
        self._rows.put(index, output.rows, output.nfe)

    def result(self) -> Output:
        """The stage's output, once every shard is in; empty for a stage of none."""
        return self._rows.result(self._tree.result())
