"""In place of a model: samples that somebody has drawn already, of which a table has rewards."""

from __future__ import annotations

from pathlib import Path

from raybilevel.errors import InputError
from raybilevel.problems.prompts.prompt_list import PromptList
from raybilevel.problems.reward.models.base import Model, Sampler


class TableModel(Model):
    """What drew a table's samples: nothing is known of it, and nothing can be drawn."""

    def __init__(self, named: str, prompts: PromptList | None) -> None:
        self._named, self.prompts = named, prompts

    @property
    def named(self) -> str:
        """The table."""
        return self._named

    def check(self) -> None:
        """The table was checked when it was read."""

    def sampler(self, device: str) -> Sampler:
        """None: raises `InputError`."""
        raise InputError(
            f"{self._named} is a table, and has no samples to draw; weights.parquet in the run's "
            "directory says how much each of its rows counts"
        )

    @property
    def nfe_per_sample(self) -> int:
        """They are there."""
        return 0

    def export(self, directory: Path) -> None:
        """Nothing of it is there to take away."""
