"""Ray Tune's searches by name, each as `TuneConfig` wants it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining
from ray.tune.search.basic_variant import BasicVariantGenerator

from raybilevel.baselines.space import grid_axes, tune_space
from raybilevel.baselines.trial import METRIC
from raybilevel.upper.variables import Variable

_REDUCTION = 3  # of ASHA's rungs


@dataclass(frozen=True)
class Ask:
    """What a search is made from.

    Attributes
    ----------
    variables : the space.
    seed : of what is random in the search.
    trials : whole ones that the budget holds.
    results : known values of the objective in a whole trial.
    grid_points : along each variable.
    """

    variables: Sequence[Variable]
    seed: int
    trials: int
    results: int
    grid_points: int


@dataclass(frozen=True)
class Search:
    """A search for `tune.TuneConfig`.

    Attributes
    ----------
    space : `param_space`.
    samples : `num_samples`; more than whole trials where they may end early.
    search_alg, scheduler : None for Tune's own.
    """

    space: dict[str, Any]
    samples: int
    search_alg: Any = None
    scheduler: Any = None


def make_search(name: str, ask: Ask) -> Search:
    """The search `name` of `TUNED`."""
    return _MAKE[name](ask)


def _default(ask: Ask) -> Search:
    return Search({v.name: v.init for v in ask.variables}, 1)


def _grid(ask: Ask) -> Search:
    axes = zip(ask.variables, grid_axes(ask.variables, ask.grid_points), strict=True)
    return Search({v.name: tune.grid_search(axis) for v, axis in axes}, 1)


def _random(ask: Ask) -> Search:
    generator = BasicVariantGenerator(random_state=ask.seed)
    return Search(tune_space(ask.variables), ask.trials, generator)


def _optuna(sampler: str) -> Callable[[Ask], Search]:
    def make(ask: Ask) -> Search:
        import optuna
        from ray.tune.search.optuna import OptunaSearch

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        chosen = getattr(optuna.samplers, sampler)(seed=ask.seed)
        return Search(tune_space(ask.variables), ask.trials, OptunaSearch(sampler=chosen))

    return make


def _asha(ask: Ask) -> Search:
    generator = BasicVariantGenerator(random_state=ask.seed)
    scheduler = ASHAScheduler(max_t=ask.results, grace_period=1, reduction_factor=_REDUCTION)
    return Search(tune_space(ask.variables), ask.trials * ask.results, generator, scheduler)


def _pbt(ask: Ask) -> Search:
    space = tune_space(ask.variables)

    def inside(config: dict[str, Any]) -> dict[str, Any]:
        moved = {v.name: min(max(config[v.name], v.low), v.high) for v in ask.variables}
        return config | moved

    scheduler = PopulationBasedTraining(
        time_attr="training_iteration", perturbation_interval=1, hyperparam_mutations=space,
        custom_explore_fn=inside, synch=True,
    )  # fmt: skip
    generator = BasicVariantGenerator(random_state=ask.seed)
    return Search(space, ask.trials, generator, scheduler)


def _pb2(ask: Ask) -> Search:
    from ray.tune.schedulers.pb2 import PB2

    scheduler = PB2(
        time_attr="training_iteration", perturbation_interval=1, synch=True,
        hyperparam_bounds={v.name: [v.low, v.high] for v in ask.variables},
    )  # fmt: skip
    generator = BasicVariantGenerator(random_state=ask.seed)
    return Search(tune_space(ask.variables), ask.trials, generator, scheduler)


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


def tune_config(search: Search, concurrent: int) -> tune.TuneConfig:
    """For as many trials at once."""
    return tune.TuneConfig(
        metric=METRIC, mode="min", num_samples=search.samples, search_alg=search.search_alg,
        scheduler=search.scheduler, max_concurrent_trials=concurrent, reuse_actors=True,
    )  # fmt: skip
