"""Sums over samples, which add: those of other samples join them, or are taken away again."""

from __future__ import annotations

from collections.abc import Callable
from operator import add, sub
from typing import Any, ClassVar, Self


class SampleSums:
    """A dataclass whose fields all add."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __add__(self, other: Self) -> Self:
        return self._joined(other, add)

    def __sub__(self, other: Self) -> Self:
        return self._joined(other, sub)

    def _joined(self, other: Self, by: Callable[[Any, Any], Any]) -> Self:
        names = self.__dataclass_fields__
        return type(self)(*(by(getattr(self, name), getattr(other, name)) for name in names))
