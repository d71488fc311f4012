"""Each promise broken on purpose, in a copy of the package: the test named for it has to fail.

    python jobs/bench/promises.py [--only WORDS] [--fits] [--list]

A line a promise: `noticed` where the test failed as it must, `NOT NOTICED` where it passed, and
`DOES NOT APPLY` where what is to be replaced is not there once. The exit code is 1 unless all are
noticed. `--fits` only looks whether the changes apply, `--list` prints promises and tests. All of
them take some ten minutes on two cores; that the tests pass on what is not broken, CI shows.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)

ROOT = Path(__file__).parents[2]
COPIED = ("raybilevel", "tests", "jobs", "cluster", "pyproject.toml", "README.md", "LICENSE")


@dataclass(frozen=True)
class Promise:
    """What is promised, the change that breaks it, and the test that has to notice.

    Attributes
    ----------
    words : the promise.
    file : below `raybilevel/`.
    old, new : `old` is there once, and is replaced.
    test : below `tests/`, as pytest takes it.
    """

    words: str
    file: str
    old: str
    new: str
    test: str


EXACT = "runtime/test_exact.py"
EXECUTOR = "runtime/test_executor.py"
NODES = "nodes/test_nodes.py"

SCHEDULER = "runtime/execution/shard_scheduler.py"
STAGE = "runtime/execution/stage_progress.py"
GROUP = "runtime/execution/worker_group.py"

PROMISES = [
    # --- elastic and exact ------------------------------------------------------------------------
    Promise(
        "sums are added in one order, whichever shard comes first",
        "runtime/reduce.py", "self._rise(0, index, sums)",
        "self._nodes[0, 0] = add(self._nodes[0, 0], sums) if self._nodes else sums",
        "runtime/test_reduce.py",
    ),
    Promise(
        "rows are joined by index, whichever shard comes first",
        "runtime/reduce.py", "for i in sorted(self._rows)", "for i in self._rows",
        "runtime/test_reduce.py",
    ),
    Promise(
        "the bits do not depend on the number of workers, nor on Ray",
        SCHEDULER, "shard.key(self._seed)", "shard.key(self._seed + len(self._workers))",
        f"{EXACT}::test_bits_do_not_depend_on_the_number_of_workers",
    ),
    Promise(
        "a shard that runs again gives the same bits",
        SCHEDULER, "shard.key(self._seed)", "shard.key(self._seed + self.stage._sent[index])",
        f"{EXACT}::test_a_killed_worker_costs_its_shard_alone",
    ),
    Promise(
        "a process has the threads that it was given, which decide bits",
        "runtime/threads.py", "os.environ[name] = str(count)", "pass",
        "runtime/test_threads.py",
    ),
    Promise(
        "hardware and versions that are mixed mark the run",
        "runtime/environment.py", "self.exact = False", "pass",
        "runtime/test_environment.py",
    ),
    Promise(
        "nobody goes on with a run under another seed",
        "stored_config.py", "before.get(key) != now.get(key)", "False",
        "test_tuner.py::test_restoring_with_another_seed_names_it",
    ),
    # --- what fails, what is lost -----------------------------------------------------------------
    Promise(
        "a worker that dies costs what it had in flight, and the run says so",
        GROUP, "self._changes.workers_lost += 1", "pass",
        f"{NODES}::test_a_node_that_is_killed_costs_its_shards_alone",
    ),
    Promise(
        "a shard that kills its workers ends the run, and is named",
        STAGE, "_MAX_DEATHS = 5", "_MAX_DEATHS = 6",
        f"{EXECUTOR}::test_five_deaths_on_one_shard_end_the_run_and_name_it",
    ),
    Promise(
        "a shard that raises is tried again",
        STAGE, "_MAX_ATTEMPTS = 3", "_MAX_ATTEMPTS = 1",
        f"{EXECUTOR}::test_a_shard_that_raises_twice_is_tried_again_and_costs_nothing_else",
    ),
    Promise(
        "a drained node ends what it has and gets no more",
        GROUP, "worker.node in deadlines", "False",
        f"{NODES}::test_a_drained_node_ends_its_shards_and_gets_no_more",
    ),
    Promise(
        "a late shard runs elsewhere as well",
        "runtime/execution/stragglers.py", "_LATE_FLOOR = 1.0", "_LATE_FLOOR = 100.0",
        f"{EXECUTOR}::test_a_straggler_runs_elsewhere_and_its_old_answer_is_never_taken_for_a_new_ones",
    ),
    Promise(
        "a slow node costs no time",
        SCHEDULER, "_SLOW = 2.0", "_SLOW = 1e9",
        "runtime/test_shard_scheduler.py::test_a_slow_worker_gets_no_shard_that_others_would_end_sooner",
    ),
    Promise(
        "a lost driver begins again from storage",
        "runtime/driver.py", "max_restarts=20", "max_restarts=0",
        f"{EXACT}::test_bits_survive_a_driver_killed",
    ),
    Promise(
        "a run directory has one driver",
        "runtime/client.py", '"name": name, "namespace"',
        '"name": f"{name} {time.time()}", "namespace"',
        f"{EXACT}::test_two_drivers_never_share_a_run",
    ),
    Promise(
        "what a command's end leaves is said with its exit code",
        "cli/main.py", "_end(error, 1)", "_end(error, 0)",
        "runtime/test_client.py::test_an_interrupted_run_stops_without_waiting_for_its_shards",
    ),
    Promise(
        "where the head is lost, all of a run but its last round is in storage",
        "runtime/run_controller.py", "writer.write(self._checkpoint(dict(row)))",
        "writer.write(lambda: None)",
        "runtime/test_client.py::"
        "test_ctrl_c_takes_the_runs_own_ray_with_it_and_another_goes_on_to_the_same_bits",
    ),
    Promise(
        "storage that is away for longer ends the run",
        "runtime/writer.py", "if time.monotonic() + pause > until:", "if False:",
        "runtime/test_writer.py::test_storage_that_refuses_for_too_long_ends_it",
    ),
    Promise(
        "a run that was moved goes on where it lies",
        "cli/given.py", '{**run, **place}', "run",
        "cli/test_given.py",
    ),
    Promise(
        "nothing that is printed ends a run",
        "terminal.py", 'text.encode(self.encoding, _ERRORS)', 'text.encode(self.encoding)',
        "test_terminal.py",
    ),
    Promise(
        "storage may be away for a while",
        "runtime/writer.py", "time.monotonic() + limit_s", "time.monotonic()",
        "runtime/test_writer.py",
    ),
    Promise(
        "a harmed checkpoint is passed over for the one before",
        "runtime/checkpoints.py", '["sha256"] != entry["sha256"]', '["size"] < 0',
        "runtime/test_checkpoints.py",
    ),
    Promise(
        "what a lost driver wrote after the checkpoint is dropped",
        "runtime/checkpoints.py", "if later > number:", "if False:",
        "runtime/test_checkpoints.py",
    ),
    Promise(
        "too few workers for too long stop the run, with all rounds saved",
        "runtime/run_controller.py", "Stop(Status.STOPPED, going_on)", "None",
        f"{NODES}::test_too_few_workers_for_too_long_stop_the_run_with_all_rounds_saved",
    ),
    Promise(
        "a detached run outlives its command",
        "runtime/client.py", 'options["lifetime"] = "detached"', "pass",
        "cli/test_control.py::test_a_detached_run_outlives_a_command_that_is_killed_and_can_be_stopped",
    ),
    # --- honest estimates -------------------------------------------------------------------------
    Promise(
        "where a gate fails, no number",
        "upper/diagnostics.py", "if ess < gates.min_ess", "if ess < 0",
        "upper/test_diagnostics.py",
    ),
    Promise(
        "an interval covers what it says",
        "upper/interval.py", "_quantile((1 + confidence) / 2,", "_quantile(0.75,",
        "upper/test_interval.py",
    ),
    Promise(
        "the gradient is that of the oracle",
        "upper/tilting.py", "np.exp(self.tilt - self._top)",
        "np.exp(0.9 * (self.tilt - self._top))",
        "upper/test_oracles.py",
    ),
    # --- what is stored, said, counted, exported --------------------------------------------------
    Promise(
        "no Python function is stored: it is asked for again",
        "config_file.py", "one.startswith(_CALLABLE)", "False",
        "test_tuner.py::test_callables_are_asked_for_again_and_a_stopped_run_goes_on_with_more_samples",
    ),
    Promise(
        "bad input ends with exit code 2",
        "cli/main.py", "_end(error, 2)", "_end(error, 1)",
        "test_bad_input.py::test_an_empty_file",
    ),
    Promise(
        "bad input is found before anything is written",
        "tuner.py", "self._config.problem.check()", "pass",
        "test_bad_input.py::test_a_model_directory_that_is_not_there",
    ),
    Promise(
        "work that is done twice is counted apart",
        STAGE, "(sent - 1) * self._rows", "sent * self._rows",
        f"{EXACT}::test_a_killed_worker_costs_its_shard_alone",
    ),
    Promise(
        "what is exported draws our images with stock classes",
        "lower/sampling/export.py", '"trailing",\n        steps_offset', '"leading", steps_offset',
        "lower/sampling/test_export.py::test_the_reloaded_pipeline_draws_our_images",
    ),
    Promise(
        "a comparison that goes on makes only what is not there",
        "baselines/compare.py", "if outcome is None:", "if True:",
        "baselines/test_compare.py::test_going_on_makes_only_what_is_not_there",
    ),
    # --- prompts ----------------------------------------------------------------------------------
    Promise(
        "p_x is normalised within each prompt",
        "problems/reward/state_objective.py",
        "PoolObjective(pool, coefficients, settings.gamma, prompts)",
        "PoolObjective(pool, coefficients, settings.gamma, None)",
        "problems/reward/test_prompted_run.py::test_the_known_optimum_over_prompts_is_inside_the_interval",
    ),
    Promise(
        "estimates over prompts have no bias of first order",
        "upper/jackknife.py", "return Jackknifed(whole + corrections,", "return Jackknifed(whole,",
        "upper/test_within.py::test_it_is_the_jackknife_within_prompts",
    ),
    Promise(
        "over prompts like these all of their differences count",
        "upper/within.py", "math.sqrt(c / (c - 1))", "math.sqrt(c / (c - 1)) / 2",
        "upper/test_within.py::test_errors_over_prompts_like_these_are_those_of_a_mean_of_prompts",
    ),
    Promise(
        "what is left of a bias over many prompts is refused",
        "upper/gates.py", "max_bias_left=0.3", "max_bias_left=math.inf",
        "upper/test_diagnostics.py::test_thousands_of_prompts_of_few_samples_are_refused",
    ),
    Promise(
        "each group of prompts has the optimum that it has alone",
        "problems/reward/pool_solver.py", "solve(part.objective,",
        "solve(next(iter(objective.parts.values())).objective,",
        "problems/reward/test_groups.py::test_every_group_has_the_optimum_and_the_intervals_that_it_has_alone",
    ),
    Promise(
        "what groups share is tuned for all of them",
        "problems/reward/groups/estimate.py",
        "gradient[group.places] +=", "gradient[group.places] =",
        "problems/reward/test_joint_groups.py::test_gradient_and_hessian_are_the_derivatives_of_all_variables",
    ),
    Promise(
        "a run goes on with the prompts that it began with",
        "problems/reward/state_objective.py",
        'prompts.check_same(state["prompts_digest"])',
        "pass",
        "problems/reward/test_prompted_run.py::test_a_run_does_not_go_on_with_other_prompts_than_it_began_with",
    ),
    Promise(
        "a run goes on with the table that it began with",
        "problems/reward/state_objective.py",
        'settings.table.check_same(state["table_digest"])',
        "pass",
        "problems/reward/test_table_run.py::test_a_run_with_a_table_that_has_changed_does_not_go_on",
    ),
    Promise(
        "on a table methods are scored on rows that none has seen",
        "baselines/plan.py",
        'self.table.but(pool_half="second")',
        'self.table.but(pool_half="first")',
        "baselines/test_plan.py::test_on_a_table_methods_see_one_half_and_are_scored_on_the_other",
    ),
    Promise(
        "prompts of a long list are drawn by the run's seed",
        "problems/reward/problem.py",
        "self.prompt_list.draw(self.prompt_count, seed)",
        "self.prompt_list.draw(self.prompt_count, 0)",
        "problems/reward/test_prompted_run.py::test_of_a_long_list_so_many_prompts_are_drawn_by_seed",
    ),
    Promise(
        "a run goes on with the commit of its model that it began with",
        "problems/model_options.py",
        "commit = kept if is_commit(kept) else commit_of(model, options.revision)",
        "commit = commit_of(model, options.revision)",
        "problems/test_model_options.py::test_a_branch_is_pinned_to_its_commit_and_a_run_that_goes_on_keeps_its_own",
    ),
]  # fmt: skip


def copy_package(place: Path) -> None:
    """A copy of what tests need, which they import in place of the installed package."""
    for name in COPIED:
        source, target = ROOT / name, place / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


def verdict(promise: Promise, place: Path) -> str:
    """Break it, run its test, mend it again."""
    file = place / "raybilevel" / promise.file
    text = file.read_text() if file.exists() else ""
    if text.count(promise.old) != 1:
        return f"DOES NOT APPLY: {promise.file} has {text.count(promise.old)} of '{promise.old}'"
    file.write_text(text.replace(promise.old, promise.new))
    try:
        return "NOT NOTICED" if _passes(promise.test, place) else "noticed"
    finally:
        file.write_text(text)


def _passes(test: str, place: Path) -> bool:
    words = ["-m", "pytest", "-n", "0", "-x", "-p", "no:cacheprovider", f"tests/{test}"]
    variables = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(  # noqa: S603 - the tests of this repository
        [sys.executable, *words],
        cwd=place, env=variables, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{test} was not run: {done.stdout}{done.stderr}")
    return done.returncode == 0


def fits(promise: Promise) -> str:
    """Whether its change applies, and its test is there."""
    file, (tests, _, name) = ROOT / "raybilevel" / promise.file, promise.test.partition("::")
    if f"def {name.partition('[')[0]}" not in (ROOT / "tests" / tests).read_text():
        return f"NO SUCH TEST: {promise.test}"
    found = file.read_text().count(promise.old) if file.exists() else 0
    return "fits" if found == 1 else f"DOES NOT APPLY: {found} of '{promise.old}'"


@app.command(help=__doc__)
def main(
    only: Annotated[str, typer.Option(help="Those whose words or test have this in them.")] = "",
    look: Annotated[bool, typer.Option("--fits", help="Only see whether changes apply.")] = False,
    show: Annotated[bool, typer.Option("--list", help="Only print them.")] = False,
) -> None:
    chosen = [p for p in PROMISES if only in p.words or only in p.test]
    if show:
        for promise in chosen:
            print(f"{promise.words}: tests/{promise.test}")
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if not look:
            copy_package(place)
        good = 0
        for promise in chosen:
            said = fits(promise) if look else verdict(promise, place)
            good += said in ("fits", "noticed")
            print(f"{said:12s} {promise.words}", flush=True)
    raise typer.Exit(0 if good == len(chosen) else 1)


if __name__ == "__main__":
    app()
