"""`CompareConfig`: what is compared with what, at which budget."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from raybilevel import config_file
from raybilevel.config import registry
from raybilevel.config.settings import Settings
from raybilevel.config_file import Config
from raybilevel.errors import InputError

POOLED = ("pool-grid", "pool-tpe")
"""Searches on one shared pool, by reweighting: for the reward problem."""

STAGED = ("asha", "pbt", "pb2")
"""Those that live on results before a trial's end."""

RivalName = Literal["best_of_n", "guidance", "fk_steering"]

_OPTUNA = ("tpe", "gp", "pool-tpe")


class CompareConfig(Settings):
    """What `raybilevel compare` does beside following the gradient.

    What the bilevel method may spend is in `run.max_nfe`, and else what its arguments say.

    Parameters
    ----------
    searches
        Names: "default", the problem's initial values untuned; Ray Tune's "grid", "random",
        Optuna's "tpe" and "gp", "asha" over random points, "pbt", "pb2"; those that other packages
        register; for the reward problem "pool-grid" and "pool-tpe", which share one pool by
        reweighting.
    seeds
        Every method runs with as many seeds, from `run.seed` on.
    trials, budget
        What each search may spend, upper level, warm-ups and stopped trials included: as many whole
        trials, or so many NFE. One of the two; on a table, which costs nothing, neither.
    grid_points
        Points of "grid" and "pool-grid" along each variable; None for as many as the budget holds
        trials, and `evaluations`.
    evaluations
        Of "pool-grid", at most, and of "pool-tpe": on each pool.
    score_samples
        Fresh samples that what every method found is scored on; nobody is charged for them. May
        change where a comparison goes on. On a table methods see one half of each prompt's rows,
        and are scored on the other.
    rivals
        Other ways to draw by the lower reward, of the reward problem, where the bilevel method has
        ended with its first seed: "best_of_n" samples of p0, "guidance" alone as in the paper,
        "fk_steering". Each may spend as many NFE as that has; rewards and KL are told of each. May
        change where a comparison goes on.
    rival_images
        Images that each of them delivers, at least.
    bilevel
        Arguments of the problem that the bilevel method has in place of the searches', such as
        {training: {rounds: 50}} to make it cost as much as one of their trials, upper level
        included. Of a group it keeps what is not named.
    """

    searches: tuple[str, ...]
    seeds: int = Field(default=3, ge=1)
    trials: int | None = Field(default=None, ge=1)
    budget: int | None = Field(default=None, ge=1)
    grid_points: int | None = Field(default=None, ge=2)
    evaluations: int = Field(default=300, ge=1)
    score_samples: int = Field(default=4096, ge=4)
    rivals: tuple[RivalName, ...] = ()
    rival_images: int = Field(default=256, ge=2)
    bilevel: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name in self.searches:
            if name not in POOLED and registry.find("searches", name) is None:
                known = ", ".join((*registry.names("searches"), *POOLED))
                raise InputError(f"compare.searches has '{name}'; the known are {known}")
        return self

    def check_budget(self) -> None:
        """Refuse two budgets, or none, where the lower level costs something."""
        if (self.trials is None) == (self.budget is None):
            raise InputError(
                "compare needs either trials, what each search may spend in whole trials, or "
                "budget, the same in NFE"
            )

    def check_packages(self) -> None:
        """Refuse searches whose packages are not there, or cannot be imported."""
        for name in self.searches:
            entry = registry.find("searches", name)
            if entry is not None and not entry.ours:
                entry.load()
            if name in _OPTUNA and find_spec("optuna") is None:
                raise InputError(
                    f"compare.searches has '{name}', which needs optuna: pip install "
                    "'raybilevel[baselines]'"
                )


def comparison_of(tree: Mapping[str, Any], where: str) -> tuple[Config, CompareConfig]:
    """The comparison that a mapping with a `compare` block describes.

    Raises
    ------
    InputError
        What `config_file.build` raises; and if the block is missing.
    """
    arguments = dict(tree)
    block = arguments.pop("compare", None)
    if not isinstance(block, dict):
        raise InputError(
            f"{where} has no compare block; add one, such as "
            "'compare: {searches: [random, tpe], trials: 8}'"
        )
    return config_file.build(arguments, where), CompareConfig(**block)
