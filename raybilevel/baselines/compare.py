"""`Comparison`: every method with every seed, then all that they found on the same samples."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from raybilevel import config_file
from raybilevel.baselines.config import CompareConfig
from raybilevel.baselines.followed import follow
from raybilevel.baselines.outcome import Outcome
from raybilevel.baselines.plan import Plan
from raybilevel.baselines.scores import distinct, score_frame
from raybilevel.config.settings import RunConfig
from raybilevel.config_file import Config
from raybilevel.errors import InputError, Interrupted
from raybilevel.imports import search_here
from raybilevel.problems.base import Arrays, Problem
from raybilevel.problems.reward.problem import RewardTuning
from raybilevel.report.comparison import RIVALS
from raybilevel.report.standing import FOLLOWED
from raybilevel.runtime.storage import RunDirectory, absolute
from raybilevel.runtime.writer import Say
from raybilevel.stored_config import check_same, stored_config
from raybilevel.tuner import BilevelTuner

if TYPE_CHECKING:
    from raybilevel.result import Result
    from raybilevel.runtime.shared_driver import SharedDriver

_SCORED_FROM = 1_000_003  # added to the run's seed: scores are on samples that nobody tuned on

# May change where a comparison goes on: nothing else depends on them.
_FREE = dict.fromkeys(("score_samples", "rivals", "rival_images"))


@dataclass(frozen=True)
class Comparison:
    """The bilevel method beside searches, on one problem and cluster, at one budget.

    Attributes
    ----------
    config : problem, scaling and run, whose name is the comparison's directory.
    compare : by what, at which budget.
    address : a Ray cluster to join; None as for `BilevelTuner`.
    """

    config: Config
    compare: CompareConfig
    address: str | None = None

    @property
    def directory(self) -> RunDirectory:
        """Where everything is written."""
        run = self.config.run.with_name(f"compare-{self.config.label}")
        return RunDirectory(absolute(run.storage_path), str(run.name))

    @cached_property
    def plan(self) -> Plan:
        """Methods, seeds and budgets."""
        return Plan(self.config.problem.lean(), self.compare, self.config.run.seed)

    def run(self, say: Say, *, resume: bool = False) -> RunDirectory:
        """Run what is not there yet, score it, and write the frames.

        Raises
        ------
        InputError
            Before anything starts, where the input could not work.
        Interrupted
            On Ctrl-C: what is done stays.
        """
        self._check_place(resume)
        return self.pinned()._run_all(say)

    def pinned(self) -> Comparison:
        """The same with what names that move stand for: one model for all methods."""
        directory = self.directory
        before = stored_config(directory) if directory.exists() else None
        problem = self.config.problem.pinned(before)
        return replace(self, config=replace(self.config, problem=problem))

    def _run_all(self, say: Say) -> RunDirectory:
        from raybilevel.runtime.ray_session import check_resources, ray_session

        self._check()
        self._check_address()
        with ray_session(self.address) as may_grow:
            check_resources(self.config.scaling, may_grow)
            stored = config_file.dump(self.config, compare=self._compare_tree())
            self.directory.write("config.yaml", stored.encode())
            try:
                self._make(say)
            except (Interrupted, KeyboardInterrupt):
                raise Interrupted("interrupted; what is done stays: go on with --resume") from None
        return self.directory

    def _make(self, say: Say) -> None:
        """Searches last, as their trials need the room of the workers that other runs share."""
        from raybilevel.runtime.shared_driver import SharedDriver

        wanted = [(method, seed) for seed in self.plan.seeds for method in self.plan.methods]
        with SharedDriver(f"driver of {self.directory.path}") as driver:
            found = {
                each: self._outcome(*each, driver, say)
                for each in sorted(wanted, key=self._is_search)
            }
            self._score([found[each] for each in wanted], driver, say)
            self._try_rivals(found[FOLLOWED, self.plan.seeds[0]], driver, say)

    def _check_place(self, resume: bool) -> None:
        directory = self.directory
        if directory.exists() and not resume:
            raise InputError(
                f"the comparison {directory.path} exists; go on with it (--resume) or give "
                "another run.name"
            )

    def _check(self) -> None:
        search_here()
        if self.directory.exists():
            self._check_same(self.directory)
            self._check_same_table()
        self.config.problem.check()
        self.plan.check()

    def _check_address(self) -> None:
        """Ray Client runs Tune elsewhere, where nobody hears of its steps."""
        address = self.address or os.environ.get("RAY_ADDRESS", "")
        if address.startswith("ray://"):
            raise InputError(
                f"the address is '{address}', but a comparison cannot go through Ray Client; start "
                "it on the cluster, as by ray job submit"
            )

    def _check_same(self, directory: RunDirectory) -> None:
        old = stored_config(directory)
        stored = old.pop("compare", None) or {}
        check_same(old, self.config, directory.path)
        if stored | _FREE != self._compare_tree() | _FREE:
            raise InputError(
                f"compare is another in {directory.path}, which was begun with {stored}; put it "
                "back or give another run.name"
            )

    def _check_same_table(self) -> None:
        """Refuse a table that is another than methods saw: they would be scored on its half."""
        followed = self.plan.followed
        if self.plan.table is None or not isinstance(followed, RewardTuning):
            return
        assert followed.table is not None, "bilevel has the same"
        for seed in self.plan.seeds:
            state = _state_in(self.directory.below("runs", f"run-{FOLLOWED}-{seed}"))
            if state is not None:
                followed.table.check_same(state["table_digest"])

    def _compare_tree(self) -> dict[str, Any]:
        tree: dict[str, Any] = json.loads(self.compare.model_dump_json())
        return tree

    def _try_rivals(self, outcome: Outcome, driver: SharedDriver, say: Say) -> None:
        """Other ways to draw, where the bilevel method has ended with its first seed."""
        from raybilevel.baselines.rivals import rival_frame

        names, problem = self.compare.rivals, self.plan.followed
        if self.directory.has(RIVALS):
            self.directory.delete(RIVALS)
        if not names:
            return
        assert isinstance(problem, RewardTuning), "the plan was checked"
        nfe = int(outcome.rows.iloc[-1]["nfe_total"])
        say(f"rivals: {', '.join(names)}, for {nfe:,} NFE each")
        end = _last_state(self.directory.below("runs", f"run-{FOLLOWED}-{self.plan.seeds[0]}"))
        place = self._anew(self.plan.rivals(end, nfe), "rivals", driver)
        frame = rival_frame(problem, end, nfe, names, _last_state(place))
        self.directory.write_frame(RIVALS, frame)

    # --- methods ----------------------------------------------------------------------------------

    def _outcome(self, method: str, seed: int, driver: SharedDriver, say: Say) -> Outcome:
        place = self.directory.below("methods", f"{method}-{seed}")
        outcome = Outcome.read(place)
        if outcome is None:
            say(f"{method}, seed {seed}: begins")
            outcome = self._run(method, seed, driver, say)
            outcome.write(place)
            last = outcome.rows.iloc[-1]
            say(
                f"{method}, seed {seed}: {last['nfe_total']:,.0f} NFE, "
                f"{last['worker_seconds_total']:.0f} worker-seconds"
            )
        return outcome

    def _is_search(self, which: tuple[str, int]) -> bool:
        """Whether a method and seed is a search of Ray Tune's."""
        method, _ = which
        return method != FOLLOWED and not self.plan.is_pooled(method)

    def _run(self, method: str, seed: int, driver: SharedDriver, say: Say) -> Outcome:
        if method == FOLLOWED:
            problem = self.plan.followed
            return follow(problem, self._fit(problem, f"run-{method}-{seed}", seed, driver), seed)
        if self.plan.is_pooled(method):
            return self._pooled(method, seed, driver)
        driver.end_workers()  # trials need their room
        return self._tuned(method, seed, say)

    def _fit(self, problem: Problem, name: str, seed: int, driver: SharedDriver) -> Result:
        """A run of its own below the comparison's directory."""
        place = self.directory.below("runs", name)
        run = self.config.run.model_copy(
            update={"name": name, "storage_path": place.storage_path, "seed": seed}
        )
        tuner = BilevelTuner(problem, self.config.scaling, run, watch=_unseen).resuming()
        return (tuner if run.detach else tuner.sharing(driver)).fit()

    def _pooled(self, method: str, seed: int, driver: SharedDriver) -> Outcome:
        from raybilevel.baselines.pooled import pool_problem, search_pool

        problem = self.plan.problem
        assert isinstance(problem, RewardTuning), "the plan was checked"
        pool = pool_problem(problem, self.plan.budget)
        place = self._evaluate(pool, f"run-pool-{seed}", seed, driver)
        return search_pool(
            method, problem, place.read_table("history"), _last_state(place), seed=seed,
            grid_points=self.plan.grid_points(method), evaluations=self.compare.evaluations,
        )  # fmt: skip

    def _tuned(self, method: str, seed: int, say: Say) -> Outcome:
        from raybilevel.baselines.tuned import SearchSpec, search

        plan = self.plan
        spec = SearchSpec(
            method, plan.problem, self.config.scaling, plan.budget, seed,
            plan.grid_points(method), self.directory.below("runs", f"tune-{method}-{seed}"),
        )  # fmt: skip
        return search(spec, lambda trials, nfe, least: say(
            f"{method}, seed {seed}: {trials} trials, {nfe:,} NFE, least {least:.4g}"
        ))  # fmt: skip

    # --- scores -----------------------------------------------------------------------------------

    def _score(self, outcomes: Sequence[Outcome], driver: SharedDriver, say: Say) -> None:
        import pandas as pd

        ends, places = distinct(outcomes)
        fresh = f"the same {self.compare.score_samples:,} fresh samples"
        where = fresh if self.plan.table is None else "the other half of the table"
        say(f"scores: {len(ends)} results on {where}")
        state = _last_state(self._anew(self.plan.scoring(ends), "scoring", driver))
        rows = pd.concat([outcome.rows for outcome in outcomes], ignore_index=True)
        self.directory.write_frame("comparison.parquet", rows)
        scores = score_frame(outcomes, places, state)
        self.directory.write_frame("scores.parquet", scores)  # with it, all is there to report

    def _anew(self, problem: Problem, name: str, driver: SharedDriver) -> RunDirectory:
        """Run an evaluation anew, as what is evaluated may be more than last time."""
        place = self.directory.below("runs", name)
        if place.list(""):
            place.delete_folder("")
        return self._evaluate(problem, place.name, self.config.run.seed + _SCORED_FROM, driver)

    def _evaluate(
        self, problem: Problem, name: str, seed: int, driver: SharedDriver
    ) -> RunDirectory:
        """Run an evaluation, or go on with one that was begun, below the comparison's directory."""
        from raybilevel.runtime.run_spec import RunSpec

        place, patience = self.directory.below("runs", name), self.config.run.storage_timeout_s
        run = RunConfig(
            name=name, storage_path=place.storage_path, seed=seed, storage_timeout_s=patience
        )
        driver.drive(RunSpec(problem, self.config.scaling, run, name), _unseen)
        return place


def _last_state(place: RunDirectory) -> Arrays:
    """The state that a run ended with."""
    state = _state_in(place)
    assert state is not None, "a run that has ended has a checkpoint"
    return state


def _state_in(place: RunDirectory) -> Arrays | None:
    """The state of a run's last checkpoint, if it has one."""
    from raybilevel.runtime.checkpoints import Checkpoints

    checkpoint = Checkpoints(place).read()
    return None if checkpoint is None else checkpoint.state


def _unseen(progress: Any) -> None:
    """A comparison tells how its methods go, not their rounds."""
