"""Rows as TensorBoard scalars, in `tensorboard/` of the run directory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from raybilevel.callbacks.base import Row


@dataclass
class TensorBoard:
    """Writes event files by tensorboardX, which knows `s3://` and `gs://` too.

    Parameters
    ----------
    path : the run directory.
    """

    path: str
    name: str = "tensorboard"
    _writer: Any = field(default=None, init=False)

    def __call__(self, row: Row) -> None:
        """A scalar a column, at the round; later ones of an earlier life of the driver go."""
        from tensorboardX import SummaryWriter  # type: ignore[import-untyped]

        step = int(row["training_iteration"])
        if self._writer is None:
            self._writer = SummaryWriter(f"{self.path}/tensorboard", purge_step=step)
        for column, value in row.items():
            self._writer.add_scalar(column, value, step)
        self._writer.flush()

    def close(self, fine: bool) -> None:
        """End the event file."""
        if self._writer is not None:
            self._writer.close()
