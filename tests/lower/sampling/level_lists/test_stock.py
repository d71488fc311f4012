"""What diffusers offers for a model."""

import diffusers
import numpy as np
import pytest
from diffusers.schedulers import AysSchedules

from raybilevel.lower.sampling.level_lists.lists import visited_by
from raybilevel.lower.sampling.level_lists.sigmas import training_sigmas
from raybilevel.lower.sampling.level_lists.stock import (
    published_lists,
    spacings_of,
    stock_samplers,
)
from raybilevel.lower.sampling.pipelines.loading import scheduler_like

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
GAUSSIAN = diffusers.DDIMScheduler(**SD)
FLOW = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)


@pytest.mark.parametrize("own", [GAUSSIAN, FLOW], ids=["gaussian", "flow"])
def test_every_stock_sampler_can_be_made_and_none_is_there_twice(own):
    choices = stock_samplers(own, every_spacing=True)
    assert len({str(choice) for choice in choices.values()}) == len(choices)
    for choice in choices.values():
        scheduler_like(own, choice).set_timesteps(5)
    some = stock_samplers(own, every_spacing=False)
    assert some.items() <= choices.items()
    assert {c["class"] for c in some.values()} == {c["class"] for c in choices.values()}


def test_each_spacing_of_a_class_is_another():
    made = "DPMSolverMultistepScheduler"
    visited = {}
    for name, options in spacings_of(made).items():
        scheduler = scheduler_like(GAUSSIAN, {"class": made, "options": options})
        scheduler.set_timesteps(6)
        visited[name] = tuple(visited_by(scheduler).round(6))
    known = {"trailing", "leading", "linspace", "karras", "exponential", "beta", "lu"}
    assert visited.keys() == known
    assert visited.pop("lu") == visited["exponential"]  # but for how their timesteps are rounded
    assert len(set(visited.values())) == len(visited)


def test_a_spacing_turns_the_models_own_switches_off():
    own = diffusers.DPMSolverMultistepScheduler(**SD, use_karras_sigmas=True)
    options = spacings_of("DPMSolverMultistepScheduler")["beta"]
    made = scheduler_like(own, {"class": "DPMSolverMultistepScheduler", "options": options})
    assert made.config.use_beta_sigmas
    assert not made.config.use_karras_sigmas


def test_published_lists_of_ten_steps_are_the_tables_themselves():
    table = AysSchedules["StableDiffusionSigmas"][:-1]
    np.testing.assert_allclose(published_lists(GAUSSIAN, 10)["ays sd 1.5"], table, rtol=1e-12)


def test_published_lists_of_other_numbers_of_steps_lie_between():
    ten, five = (published_lists(GAUSSIAN, n)["ays sdxl"] for n in (10, 5))
    np.testing.assert_allclose(five, ten[::2], rtol=1e-12)
    seven = published_lists(GAUSSIAN, 7)["ays sdxl"]
    assert np.all(np.diff(seven) < 0)
    assert seven[0] == ten[0] and training_sigmas(GAUSSIAN)[0] < seven[-1] < five[-2]


def test_published_lists_are_for_the_noise_schedule_that_they_were_made_for():
    assert not published_lists(FLOW, 10)
    assert not published_lists(diffusers.DDIMScheduler(), 10)
