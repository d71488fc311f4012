"""Ray Tune's searches, each as `TuneConfig` wants it: a function each, `Ask -> Search`.

Their names are in `raybilevel.config.registry`, beside those that other packages register.
"""

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
from raybilevel.config import registry
from raybilevel.errors import InputError
from raybilevel.problems.base import Cost
from raybilevel.upper.variables import Variable

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
    population : whether trials take up each other's checkpoints, all of them at the same time.
    """

    space: dict[str, Any] | None
    samples: int
    search_alg: Any = None
    scheduler: Any = None
    population: bool = False


def make_search(name: str, ask: Ask) -> Search:
    """The registered search `name`.

    Raises
    ------
    InputError
        If another package registers something else by that name.
    """
    entry = registry.find("searches", name)
    assert entry is not None, "the comparison's configuration was checked"
    search = entry.load()(ask)
    if not isinstance(search, Search):
        raise InputError(f"{entry} gave {search!r}, but it must be a function Ask -> Search")
    return search


def default(ask: Ask) -> Search:
    """The initial values, untuned."""
    return Search(initial(ask.variables), 1)


def grid(ask: Ask) -> Search:
    """All points of a grid."""
    axes = zip(ask.variables, grid_axes(ask.variables, ask.grid_points), strict=True)
    return Search({v.name: tune.grid_search(axis) for v, axis in axes}, 1)


def random(ask: Ask) -> Search:
    """Points evenly from the box, after the initial one."""
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


tpe = _optuna("TPESampler")
gp = _optuna("GPSampler")


def asha(ask: Ask) -> Search:
    """Random points, of which a third goes on at every rung."""
    scheduler = ASHAScheduler(max_t=ask.results, grace_period=1, reduction_factor=_REDUCTION)
    return Search(None, ask.trials * ask.results, _points(ask), scheduler)


def pbt(ask: Ask) -> Search:
    """Population-based training."""
    space = tune_space(ask.variables)

    def inside(config: dict[str, Any]) -> dict[str, Any]:
        moved = {v.name: min(max(config[v.name], v.low), v.high) for v in ask.variables}
        return config | moved

    scheduler = PopulationBasedTraining(
        time_attr="training_iteration", perturbation_interval=1, hyperparam_mutations=space,
        custom_explore_fn=inside, synch=True,
    )  # fmt: skip
    return Search(space, ask.trials, _population(ask), scheduler, population=True)


def pb2(ask: Ask) -> Search:
    """Population-based bandits."""
    from ray.tune.schedulers.pb2 import PB2

    scheduler = PB2(
        time_attr="training_iteration", perturbation_interval=1, synch=True,
        hyperparam_bounds={v.name: [v.low, v.high] for v in ask.variables},
    )  # fmt: skip
    space = tune_space(ask.variables)
    return Search(space, ask.trials, _population(ask), scheduler, population=True)


def _population(ask: Ask) -> BasicVariantGenerator:
    """All at once, paused in turn: the scheduler waits for the whole population."""
    first = [initial(ask.variables)]
    return BasicVariantGenerator(points_to_evaluate=first, random_state=ask.seed)


def tune_config(search: Search, concurrent: int) -> tune.TuneConfig:
    """For as many trials at once; a population is limited by the cluster alone."""
    limit = None if search.population else concurrent
    return tune.TuneConfig(
        metric=METRIC, mode="min", num_samples=search.samples, search_alg=search.search_alg,
        scheduler=search.scheduler, max_concurrent_trials=limit, reuse_actors=True,
    )  # fmt: skip
