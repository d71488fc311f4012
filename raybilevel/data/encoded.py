"""Images as files or tables hold them: encoded, and decoded where rows are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raybilevel.data.framing import Frame, Shape
from raybilevel.data.images import StoredImages
from raybilevel.data.pictures import decoded, shape_of
from raybilevel.errors import InputError

_AT_ONCE = 1024  # rows whose encoded bytes are held

Content = bytes | Path


@dataclass(frozen=True, eq=False)
class Cells:
    """Where encoded images are.

    Attributes
    ----------
    count : of the images.
    read : rows to what each of them holds.
    name : a row to what a sentence calls it.
    """

    count: int
    read: Callable[[Sequence[int]], list[Content]]
    name: Callable[[int], str]

    @cached_property
    def shapes(self) -> NDArray[np.int64]:
        """(N, 3) C, H, W of each image, by its header alone; damage below it is not seen."""
        found = np.empty((self.count, 3), np.int64)
        for start in range(0, self.count, _AT_ONCE):
            rows = range(start, min(start + _AT_ONCE, self.count))
            for row, content in zip(rows, self.read(rows), strict=True):
                found[row] = shape_of(content, self.name(row))
        return found

    @cached_property
    def found(self) -> Counter[Shape]:
        """How many images there are of each shape."""
        shapes, counts = np.unique(self.shapes, axis=0, return_counts=True)
        pairs = zip(shapes.tolist(), counts.tolist(), strict=True)
        return Counter({(c, h, w): count for (c, h, w), count in pairs})

    def first(self, shape: Shape) -> str:
        """What a sentence calls the first image of a shape."""
        return self.name(int((self.shapes == shape).all(axis=1).argmax()))


class Encoded(StoredImages):
    """Encoded images, all brought to one shape.

    Parameters
    ----------
    cells : where they are.
    frame : their shape; None for the size that all have, RGB if any is.
    """

    def __init__(self, cells: Cells, frame: Frame | None = None) -> None:
        self.cells, self._given = cells, frame

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W); `InputError` if no frame is given and images differ in size."""
        return (self.cells.count, *self.frame.shape)

    @cached_property
    def frame(self) -> Frame:
        """What they are brought to."""
        return self._given or Frame(self.channels, *self.size)

    @property
    def channels(self) -> int:
        """3 if any image has colours, else 1."""
        return max(channels for channels, *_ in self.cells.found)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of all images; `InputError` if they differ."""
        sizes = list({shape[1:]: shape for shape in self.cells.found}.values())
        if len(sizes) > 1:
            one, other = (f"{self.cells.first(s)} is {s[1]} x {s[2]}" for s in sizes[:2])
            raise InputError(
                f"{one} and {other} (height x width), but all images must have one size: set it "
                "by data_options.resolution"
            )
        return sizes[0][1:]

    def found(self) -> Counter[Shape]:
        """How many there are of each shape."""
        return self.cells.found

    def named(self, shape: Shape) -> str:
        """Where one of a shape is."""
        return self.cells.first(shape)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Decode some rows; `InputError` names one that is damaged or does not fit."""
        out = np.empty((len(rows), *self.frame.shape), np.uint8)
        chosen = rows.tolist()
        for place, row, content in zip(out, chosen, self.cells.read(chosen), strict=True):
            place[:] = decoded(content, self.cells.name(row), self.frame)  # grey is repeated
        return out
