"""How a schedule with a teacher ends: whole timesteps, the comparison, and what it came to."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np

from raybilevel.problems.base import Arrays, Output, Stage, Status, Stop, Update
from raybilevel.problems.schedule.teacher.comparison import Subjects, rivals_of
from raybilevel.problems.schedule.teacher.objectives.base import SaidSlopes
from raybilevel.problems.schedule.teacher.rounds import TeacherRounds
from raybilevel.problems.schedule.teacher.shards import Sigmas, Through
from raybilevel.problems.schedule.teacher.space import leads_out
from raybilevel.problems.schedule.teacher.whole import whole_lists

_OUTWARD = 3.0  # standard errors of a gradient that points out of the box


def end(rounds: TeacherRounds, state: Arrays) -> Generator[Stage, Output, Update]:
    """Find whole timesteps where there must be some; compare; and say how it ended."""
    objective = rounds.objectives[-1]
    slopes = yield from rounds.slopes(state, objective)
    lists = rounds.space.lists(state["x"])
    if rounds.model.takes_whole:
        lists = yield from _whole(rounds, state, slopes)
    state = state | {"sigmas": np.concatenate(lists)}
    scores = yield from objective.scores(state, [Through(sigmas=sigmas) for sigmas in lists])
    value, nfe = objective.trial(scores[:, None]).value(0), 0
    if rounds.comparison.samples:
        state, value, nfe = yield from _compare(rounds, state, lists)
    row = rounds.row(objective, state["x"], value, objective.noises(state), slopes)
    return Update(state, row | {"nfe_comparison": float(nfe)}, _stop(rounds, state, slopes))


def _whole(
    rounds: TeacherRounds, state: Arrays, slopes: SaidSlopes
) -> Generator[Stage, Output, tuple[Sigmas, ...]]:
    """The best of the whole timesteps near x, on all noises that there are."""
    known, chosen, objective = rounds.model.lists(float(state["mu"])), [], rounds.objectives[-1]
    for k in range(len(rounds.space.counts)):
        lists = whole_lists(rounds.space, known, state["x"], k, slopes.of_list(k))
        scores = yield from objective.scores(state, [Through(sigmas=sigmas) for sigmas in lists])
        chosen.append(lists[objective.trial(scores[..., None]).best])
    return tuple(chosen)


def _compare(
    rounds: TeacherRounds, state: Arrays, learned: Sequence[Sigmas]
) -> Generator[Stage, Output, tuple[Arrays, tuple[float, float], int]]:
    """The learned lists beside stock samplers, on noises that nothing was tuned on."""
    start = rounds.space.lists(state["x_start"])
    comparison, plan, metric = rounds.comparison, rounds.plan, rounds.metric
    rivals = rivals_of(rounds.model, rounds.space.counts, comparison, state["rival_steps"])
    listed = Subjects.of(learned, start, rivals)
    samples, seeds = comparison.samples or 0, state["seed_base"]
    drawn = yield plan.compare(seeds, samples, listed.all, judged=metric is not None)
    tables = listed.tables(drawn.rows, state, metric)
    shown = yield plan.show(seeds, samples, [*listed.shown(tables, metric), rounds.model.teacher])
    kept = {"comparison": np.concatenate(tables), "shown": shown.rows["shown"]}
    return state | kept, listed.value(drawn.rows, tables, metric), drawn.nfe + shown.nfe


def _stop(rounds: TeacherRounds, state: Arrays, slopes: SaidSlopes) -> Stop:
    """How the run ended, and what that means."""
    objective = rounds.objectives[-1]
    if not state["settled"][-1]:
        return Stop(
            Status.BUDGET,
            f"{rounds.optimizer.updates} updates were made and {objective.falls} may still fall; "
            "give more in a new run",
        )
    held = _held(rounds, state["x"], slopes)
    if held:
        return Stop(
            Status.AT_BOUND,
            f"{objective.settles}, but {objective.falls} still falls at the bound of "
            f"{', '.join(held)}, where what the network was trained on ends, or what "
            "schedule_options allow",
        )
    return Stop(Status.CONVERGED, f"{objective.settles} on {objective.noises(state)} noises")


def _held(rounds: TeacherRounds, x: np.ndarray, slopes: SaidSlopes) -> list[str]:
    """Variables at a bound that the gradient surely points out of."""
    u, g = rounds.space.inner.to_unit(x), slopes.gradient
    out = leads_out(u, -g) & (np.abs(g) > _OUTWARD * slopes.se)
    return [v.name for v, is_out in zip(rounds.variables, out, strict=True) if is_out]
