"""Ray Tune's searches by name, each as `TuneConfig` wants it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining
from ray.tune.search.basic_variant import BasicVariantGenerator

from raybilevel.baselines.budget import BudgetedRandom
from raybilevel.baselines.space import grid_axes, initial, tune_space
from raybilevel.baselines.trial import METRIC
from raybilevel.problems.base import Cost
from raybilevel.upper.variables import Variable

POPULATIONS = ("pbt", "pb2")
"""Searches whose trials take up each other's checkpoints."""

_REDUCTION = 3  # of ASHA's rungs
_FEWEST, _MOST = 4, 10  # random points that Optuna begins with, a quarter of the trials


@dataclass(frozen=True)
class Ask:
    """What a search is made from.

    Attributes
    ----------
    variables : the space.
    seed : of what is random in the search.
    budget, cost : NFE of the search, and of a trial.
    grid_points : along each variable.
    """

    variables: Sequence[Variable]
    seed: int
    budget: int
    cost: Cost
    grid_points: int

    @property
    def trials(self) -> int:
        """Whole ones that the budget holds."""
        return self.budget // self.cost.whole

    @property
    def results(self) -> int:
        """Known values of the objective in a whole trial."""
        return -(-self.cost.whole // self.cost.unit)


@dataclass(frozen=True)
class Search:
    """A search for `tune.TuneConfig`.

    Attributes
    ----------
    space : `param_space`; None where the searcher knows it.
    samples : `num_samples`, at most.
    search_alg, scheduler : None for Tune's own.
    """

    space: dict[str, Any] | None
    samples: int
    search_alg: Any = None
    scheduler: Any = None


def make_search(name: str, ask: Ask) -> Search:
    """The search `name` of `TUNED`, or "default"."""
    return _MAKE[name](ask)


def _default(ask: Ask) -> Search:
    return Search(initial(ask.variables), 1)


def _grid(ask: Ask) -> Search:
    axes = zip(ask.variables, grid_axes(ask.variables, ask.grid_points), strict=True)
    return Search({v.name: tune.grid_search(axis) for v, axis in axes}, 1)


def _random(ask: Ask) -> Search:
    return Search(None, ask.trials * ask.results, _points(ask))


def _points(ask: Ask) -> BudgetedRandom:
    return BudgetedRandom(
        tune_space(ask.variables), initial(ask.variables), ask.seed,
        budget=ask.budget, whole=ask.cost.whole,
    )  # fmt: skip


def _optuna(sampler: str) -> Callable[[Ask], Search]:
    def make(ask: Ask) -> Search:
        import optuna
        from ray.tune.search.optuna import OptunaSearch

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        begin = min(max(_FEWEST, ask.trials // 4), _MOST)
        chosen = getattr(optuna.samplers, sampler)(seed=ask.seed, n_startup_trials=begin)
        searcher = OptunaSearch(sampler=chosen, points_to_evaluate=[initial(ask.variables)])
        return Search(tune_space(ask.variables), ask.trials, searcher)

    return make


def _asha(ask: Ask) -> Search:
    scheduler = ASHAScheduler(max_t=ask.results, grace_period=1, reduction_factor=_REDUCTION)
    return Search(None, ask.trials * ask.results, _points(ask), scheduler)


def _pbt(ask: Ask) -> Search:
    space = tune_space(ask.variables)

    def inside(config: dict[str, Any]) -> dict[str, Any]:
        moved = {v.name: min(max(config[v.name], v.low), v.high) for v in ask.variables}
        return config | moved

    scheduler = PopulationBasedTraining(
        time_attr="training_iteration", perturbation_interval=1, hyperparam_mutations=space,
        custom_explore_fn=inside, synch=True,
    )  # fmt: skip
    return Search(space, ask.trials, _population(ask), scheduler)


def _pb2(ask: Ask) -> Search:
    from ray.tune.schedulers.pb2 import PB2

    scheduler = PB2(
        time_attr="training_iteration", perturbation_interval=1, synch=True,
        hyperparam_bounds={v.name: [v.low, v.high] for v in ask.variables},
    )  # fmt: skip
    return Search(tune_space(ask.variables), ask.trials, _population(ask), scheduler)


def _population(ask: Ask) -> BasicVariantGenerator:
    """All at once, paused in turn: the scheduler waits for the whole population."""
    first = [initial(ask.variables)]
    return BasicVariantGenerator(points_to_evaluate=first, random_state=ask.seed)


_MAKE: dict[str, Callable[[Ask], Search]] = {
    "default": _default,
    "grid": _grid,
    "random": _random,
    "tpe": _optuna("TPESampler"),
    "gp": _optuna("GPSampler"),
    "asha": _asha,
    "pbt": _pbt,
    "pb2": _pb2,
}


def tune_config(name: str, search: Search, concurrent: int) -> tune.TuneConfig:
    """For as many trials at once; a population is limited by the cluster alone."""
    limit = None if name in POPULATIONS else concurrent
    return tune.TuneConfig(
        metric=METRIC, mode="min", num_samples=search.samples, search_alg=search.search_alg,
        scheduler=search.scheduler, max_concurrent_trials=limit, reuse_actors=True,
    )  # fmt: skip
