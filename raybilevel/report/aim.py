"""What a reward run is about, as its table and picture say it: an upper loss, or a target."""

from __future__ import annotations

from dataclasses import dataclass

from raybilevel.report.table import Line, with_error
from raybilevel.result import Result


@dataclass(frozen=True)
class Aim:
    """A number of the history and of `curve.parquet`.

    Attributes
    ----------
    column : its name there.
    named, unit : in words.
    found : what the lambda is called where it is found.
    level : what is aimed at, for a target.
    """

    column: str
    named: str
    unit: str = ""
    found: str = "optimum"
    level: float | None = None

    @property
    def axis(self) -> str:
        """For the picture."""
        if self.level is None:
            return f"{self.named} (minus the upper reward)"
        return f"{self.named} ({self.unit})" if self.unit else self.named

    def line(self, result: Result) -> Line:
        """For the table."""
        return self.named, f"{with_error(result.metrics, self.column)} {self.unit}".strip()


def aim_of(result: Result) -> Aim:
    """By the run's configuration."""
    target = result.config.get("target")
    if not target:
        return Aim("upper_loss", "upper loss")
    if target.get("kl") is not None:
        return Aim("target", "KL", "nats", "reached", target["kl"])
    return Aim("target", f"reward {target['reward']}", "", "reached", target["at_least"])
