"""A stage's sums: many large ones are added where they are, so that the driver receives one.

A block of siblings of the fixed tree is a tree of its own: what it adds up to is the same bits as
the driver's `Tree` gives, wherever and whenever that happens.
"""

from __future__ import annotations

from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from raybilevel.errors import RunError
from raybilevel.problems.base import Arrays
from raybilevel.runtime.reduce import Tree

_BLOCK = 8  # siblings that are added at a time: a power of 2, so that a block is a subtree
_INLINE = 100_000  # bytes, up to which Ray sends an answer with the news of it


@ray.remote(num_cpus=0, num_returns=2)  # type: ignore[untyped-decorator]
def _tree_sum(*sums: Arrays) -> tuple[None, Arrays]:
    """Nothing, which tells the driver that all went well, and the sum, which stays here."""
    tree = Tree(len(sums))
    for i, each in enumerate(sums):
        tree.put(i, each)
    return None, tree.result()


class DistributedTree:
    """Sums of `size` shards that stay in Ray's object store, added block by block by Ray tasks.

    What is lost with a node is put again: all shards below the addition that missed it.
    """

    def __init__(self, size: int) -> None:
        self._sizes = [size]
        while self._sizes[-1] > 1:
            self._sizes.append(-(-self._sizes[-1] // _BLOCK))
        self._parts: dict[tuple[int, int], dict[int, Any]] = {}
        self._tasks: dict[Any, tuple[int, int, Any]] = {}
        self._root: Any = None

    @property
    def waiting(self) -> list[Any]:
        """References that have an answer once an addition is done."""
        return list(self._tasks)

    def put(self, index: int, reference: Any) -> None:
        """Take the reference to shard `index`'s sums."""
        self._rise(0, index, reference)

    def _rise(self, level: int, i: int, reference: Any) -> None:
        if self._sizes[level] == 1:
            self._root = reference
            return
        block = i // _BLOCK
        parts = self._parts.setdefault((level, block), {})
        parts[i] = reference
        if len(parts) == min(_BLOCK, self._sizes[level] - block * _BLOCK):
            del self._parts[level, block]
            done, sums = _tree_sum.remote(*(parts[j] for j in sorted(parts)))
            self._tasks[done] = (level + 1, block, sums)

    def take(self, done: Any) -> range:
        """Take an addition that has ended; returns the shards that are to be put again."""
        level, block, sums = self._tasks.pop(done)
        try:
            ray.get(done)
        except RayError as error:
            if isinstance(error, RayTaskError) and not isinstance(error.cause, RayError):
                raise RunError(f"adding sums failed: {error.cause}") from error
            return self._below(level, block)
        self._rise(level, block, sums)
        return range(0)

    def _below(self, level: int, block: int) -> range:
        width = _BLOCK**level
        return range(block * width, min((block + 1) * width, self._sizes[0]))

    def result(self) -> Arrays | None:
        """The whole sum; None where it was lost with its node, and every shard is to be put again.

        To be asked for once all shards are put and nothing is waiting.
        """
        return _get(self._root)


def _get(reference: Any) -> Arrays | None:
    try:
        sums: Arrays = ray.get(reference)
    except RayError:
        return None
    return sums


class Sums:
    """The sums of a stage of `size` shards: added where they are if many and large, else here.

    The bits are the same; the driver's memory and time are not.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._tree, self._distributed = Tree(size), DistributedTree(size)
        self._large = False

    @property
    def waiting(self) -> list[Any]:
        """References of additions that are under way."""
        return self._distributed.waiting

    def put(self, index: int, reference: Any, size_bytes: int) -> range:
        """Take a shard's sums; returns the shards that are to be put again."""
        self._large = size_bytes > _INLINE and self._size > _BLOCK
        if self._large:
            self._distributed.put(index, reference)
            return range(0)
        sums = _get(reference)
        if sums is None:
            return range(index, index + 1)
        self._tree.put(index, sums)
        return range(0)

    def take(self, done: Any) -> range:
        """Take an addition that has ended; returns the shards that are to be put again."""
        return self._distributed.take(done)

    def result(self) -> Arrays | None:
        """The whole sum; None where it is lost and every shard is to be put again."""
        return self._distributed.result() if self._large else self._tree.result()
