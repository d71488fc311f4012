"""`BilevelTuner`: a problem, how much of the cluster it may use, and what the run is called."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from raybilevel import config_file
from raybilevel.callbacks import Listener, prepare
from raybilevel.config.settings import RunConfig, ScalingConfig
from raybilevel.config_file import Config, leaves, to_tree
from raybilevel.errors import InputError
from raybilevel.imports import collector_paused, search_here
from raybilevel.problems.base import Problem
from raybilevel.result import Result
from raybilevel.runtime.storage import RunDirectory, absolute
from raybilevel.stored_config import check_same, stored_config

if TYPE_CHECKING:
    from raybilevel.runtime.shared_driver import SharedDriver


class BilevelTuner:
    """Tunes a problem's variables on Ray.

    Parameters
    ----------
    problem : what is tuned, such as `RewardTuning(...)`.
    scaling : how many workers, and what each of them owns.
    run : name, storage, seed and budgets of the run.
    address : a Ray cluster to join; None takes `RAY_ADDRESS`, and without it starts a local Ray.
    watch : called with every `raybilevel.runtime.driver.Progress` while the run goes on; None
        prints to standard error: a live line in a terminal, a line a round elsewhere.
    """

    def __init__(
        self,
        problem: Problem,
        scaling: ScalingConfig | None = None,
        run: RunConfig | None = None,
        *,
        address: str | None = None,
        watch: Callable[[Any], None] | None = None,
    ) -> None:
        config = Config(problem, scaling or ScalingConfig(), run or RunConfig())
        named = config.run.with_name(f"{config.label}-{time.strftime('%Y%m%d-%H%M%S')}")
        placed = named.model_copy(update={"storage_path": absolute(named.storage_path)})
        self._config = Config(problem, config.scaling, placed)
        self._address, self._watch = address, watch
        self._resume = False
        self._driver: SharedDriver | None = None

    @classmethod
    def restore(
        cls,
        path: str,
        problem: Problem | None = None,
        *,
        scaling: ScalingConfig | None = None,
        run: RunConfig | None = None,
        address: str | None = None,
        watch: Callable[[Any], None] | None = None,
    ) -> BilevelTuner:
        """A tuner that goes on from the last checkpoint of the run directory `path`.

        Parameters
        ----------
        problem : needed where the run was given Python callables, which are never stored.
        scaling, run : in place of the stored ones; None keeps them.

        Raises
        ------
        InputError
            If `path` holds no run, or it was begun with another configuration.
        """
        directory = RunDirectory.at(path)
        tree = stored_config(directory)
        if run is not None:
            tree = {**tree, "run": {}}
        problem = problem or config_file.build(tree, f"{directory.path}/config.yaml").problem
        here = (run or RunConfig(**tree["run"])).model_copy(
            update={"name": directory.name, "storage_path": directory.storage_path}
        )
        scaling = scaling or ScalingConfig(**tree["scaling"])
        return cls(problem, scaling, here, address=address, watch=watch).resuming()

    def resuming(self) -> BilevelTuner:
        """The same, going on where the run directory stands; from the start where there is none."""
        self._resume = True
        return self

    def sharing(self, driver: SharedDriver) -> BilevelTuner:
        """The same, by a driver that plays other runs too, before and after."""
        self._driver = driver
        return self

    def check(self) -> Problem:
        """The problem as `fit` would run it, with nothing begun: what it costs says its `costs()`.

        Raises
        ------
        InputError
            As `fit` does.
        """
        self._check(RunDirectory(self._config.run.storage_path, _name(self._config)))
        return self._config.problem

    def fit(self) -> Result:
        """Run to the end.

        Raises
        ------
        InputError
            Before any actor starts, where the input could not work.
        RunError
            If the run cannot go on; what is checkpointed stays.
        """
        config = self._config
        directory = RunDirectory(config.run.storage_path, _name(config))
        (self._fit_detached if config.run.detach else self._fit_attached)(directory)
        return Result(directory, self._config.problem)  # pinned by now

    def _fit_attached(self, directory: RunDirectory) -> None:
        """Run for as long as this process lasts."""
        from raybilevel.report.progress import display
        from raybilevel.runtime.client import driver_name, running_driver
        from raybilevel.runtime.ray_session import ray_session

        self._check(directory)
        with display(self._watch) as watch, ray_session(self._address) as may_grow:
            if self._resume:
                running_driver(driver_name(directory.storage_path, directory.name))  # or ends it
            self._begin(directory, watch, may_grow)

    def _fit_detached(self, directory: RunDirectory) -> None:
        """Begin the run, or watch it where it goes on already."""
        from raybilevel.report.progress import display
        from raybilevel.runtime.client import driver_name, find_driver, running_driver
        from raybilevel.runtime.ray_session import check_stays, ray_session

        check_stays(self._address)
        with ray_session(self._address) as may_grow:
            find = running_driver if self._resume else find_driver  # one that is done shows its end
            driver = find(driver_name(directory.storage_path, directory.name))
            if driver is None:
                self._check(directory)  # before the display: the user's code may print
            with display(self._watch) as watch:
                if driver is None:
                    self._begin(directory, watch, may_grow)
                else:
                    self._join(driver, directory, watch)

    def _join(self, driver: Any, directory: RunDirectory, watch: Callable[[Any], None]) -> None:
        """Watch the run that goes on already."""
        from raybilevel.runtime.client import follow

        self._pin(stored_config(directory), directory)
        follow(driver, self._config.run, directory.name, watch)

    def _begin(self, directory: RunDirectory, watch: Callable[[Any], None], may_grow: bool) -> None:
        from raybilevel.runtime.client import drive
        from raybilevel.runtime.ray_session import check_resources
        from raybilevel.runtime.run_spec import RunSpec

        config = self._config
        check_resources(config.scaling, may_grow)
        # the run begins to exist here, where nothing is left to refuse
        directory.write("config.yaml", config_file.dump(config).encode())
        spec = RunSpec(
            config.problem, config.scaling, config.run, directory.name, self._listeners()
        )
        (self._driver.drive if self._driver else drive)(spec, watch)

    def _listeners(self) -> tuple[Listener, ...]:
        config = self._config
        path = RunDirectory(config.run.storage_path, _name(config)).path
        return prepare(config.run.callbacks, path, dict(leaves(to_tree(config))))

    def _check(self, directory: RunDirectory) -> None:
        self._listeners()
        if directory.exists() and not self._resume:
            raise InputError(
                f"the run directory {directory.path} exists; go on with it (--resume, "
                "BilevelTuner.restore) or give another run.name"
            )
        self._pin(stored_config(directory) if directory.exists() else None, directory)
        search_here()
        with collector_paused():
            self._config.problem.check()
            _check_budget(self._config)

    def _pin(self, before: dict[str, Any] | None, directory: RunDirectory) -> None:
        """Take names that move for what they stand for; refuse to go on with another run."""
        pinned = self._config.problem.pinned(before)
        self._config = replace(self._config, problem=pinned)
        if before is not None:
            check_same(before, self._config, directory.path)


def _check_budget(config: Config) -> None:
    """Refuse a budget that ends a run before it can say anything."""
    most, least = config.run.max_nfe, config.problem.least_nfe
    if most is not None and most < least:
        raise InputError(
            f"run.max_nfe is {most:,}, but a run says nothing before {least:,} NFE; give more, or "
            "a smaller pool_size"
        )


def _name(config: Config) -> str:
    assert config.run.name is not None, "a tuner's run has a name"
    return config.run.name
