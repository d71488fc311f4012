"""`raybilevel demo`: the whole way, from a small model of handwritten digits to pictures."""

from __future__ import annotations

from collections.abc import Callable

from raybilevel.errors import InputError
from raybilevel.problems.base import Problem
from raybilevel.problems.reward.problem import RewardTuning
from raybilevel.problems.schedule.sampling_schedule import SamplingSchedule
from raybilevel.report import finish
from raybilevel.tuner import BilevelTuner
from raybilevel.upper.variables import Variable


def reward_demo() -> RewardTuning:
    """How strongly to tune a digits model for realism, when copies are not wanted.

    Tuned harder, the model draws cleaner digits, but ever closer to copies of those it has seen.
    The lower reward does not mind that; the upper one wants readable digits that are new.
    """
    return RewardTuning(
        model="digits",
        lower_reward="realism",
        upper_reward="legibility + 0.5 * novelty",
        held_out_reward="proxy_legibility",
        lambda_=Variable("lambda", 5.0, 0.05, 20.0, "log"),
    )


def schedule_demo() -> SamplingSchedule:
    """Which five noise levels to sample a digits model at."""
    return SamplingSchedule(
        model="digits",
        data="digits",
        sampling_steps=5,
        comparison={"samples": 1024, "steps": (4, 8, 10)},
    )


def prompts_demo() -> RewardTuning:
    """How strongly to tune a text-to-image model of digits for bold strokes.

    Tuned harder, it draws ever bolder digits, until they are blots that nobody can read. The lower
    reward, ink, likes these best; the upper one wants the digit that was asked for, with so much
    ink and no more. The held-out judge has learned to read digits from other pictures.
    """
    return RewardTuning(
        model="mnist-sd",
        prompts=(
            "a zero, at the top", "a one, at the bottom", "a two, at the top",
            "a three, at the bottom", "a four, at the bottom", "a five, at the bottom",
            "a six, at the bottom right", "a seven, at the top right", "an eight, at the bottom",
            "a nine, at the bottom",
        ),
        lower_reward="ink",
        upper_reward="asked_digit - 30 * ink_error(0.11)",
        held_out_reward="held_out_asked_digit",
        lambda_=Variable("lambda", 0.3, 0.02, 1.0, "log"),
        samples_per_prompt=320,
        max_pool_size=12800,
        sampling_steps=20,
        call_options={"guidance_scale": 1.0},
    )  # fmt: skip


DEMOS: dict[str, Callable[[], Problem]] = {
    "reward": reward_demo, "schedule": schedule_demo, "prompts": prompts_demo,
}  # fmt: skip


def run_demo(name: str, address: str | None = None) -> None:
    """Run a demo and print its table.

    Raises
    ------
    InputError
        If there is no demo of that name.
    """
    if name not in DEMOS:
        raise InputError(f"there is no demo '{name}'; the demos are {', '.join(DEMOS)}")
    finish(BilevelTuner(DEMOS[name](), address=address).fit())
