"""Every image scheduler of the installed diffusers visits the list that it is given, or none."""

import inspect

import diffusers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_lists.lists import SchedulerLists, distinct, visited_by
from raybilevel.lower.sampling.level_lists.sigmas import (
    sigma_range,
    to_logsnr,
    to_sigmas,
    training_sigmas,
)
from raybilevel.lower.sampling.level_lists.taken import TAKEN, why_no_list

OF_SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
FLOW_MULTISTEP = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0}
OTHERS = {
    "CogVideoXDDIMScheduler", "CogVideoXDPMScheduler", "DDIMInverseScheduler",
    "DPMSolverMultistepInverseScheduler", "DDPMWuerstchenScheduler", "AmusedScheduler",
    "BlockRefinementScheduler", "EntropyBoundScheduler", "DiscreteDDIMScheduler",
    "HeliosScheduler", "HeliosDMDScheduler", "FlaxSchedulerMixin", "VQDiffusionScheduler",
    "RFD4ProteinaScheduler", "UnCLIPScheduler",
}  # fmt: skip
"""Of videos, of tokens, of images turned back to noise, and of latents of another kind."""


def image_schedulers():
    found = {name: getattr(diffusers, name) for name in diffusers._import_structure["schedulers"]}
    steps = {n for n, c in found.items() if callable(getattr(c, "set_timesteps", None))}
    return steps - OTHERS


def made(name, **more):
    cls = getattr(diffusers, name)
    taken = inspect.signature(cls).parameters
    return cls(**{k: v for k, v in OF_SD.items() if k in taken}, **more)


def visited(lists, given):
    """What `set_timesteps` visits, given a list or a number of steps."""
    lists.scheduler.set_timesteps(**given, **lists.given)
    return visited_by(lists.scheduler)


def a_list(scheduler, steps=6):
    """Sigmas that no spacing of its own has."""
    low, high = sigma_range(scheduler)
    return np.geomspace(0.93 * high, 1.7 * low + 0.01 * high, steps)


@pytest.mark.parametrize("name", sorted(image_schedulers()))
def test_a_scheduler_visits_the_list_or_says_what_would(name):
    scheduler = made(name)
    if name not in TAKEN:
        with pytest.raises(InputError, match=f"^{name} takes no list of noise levels; take "):
            SchedulerLists(scheduler)
        return
    lists = SchedulerLists(scheduler)
    asked = a_list(scheduler)
    if lists.taken.whole:
        asked = lists.sigmas_at(lists.timesteps(asked))
    argument = lists.argument(asked)
    assert list(argument) == [lists.taken.argument]
    np.testing.assert_allclose(visited(lists, argument), asked, rtol=3e-6)


@pytest.mark.parametrize(
    ("options", "mu"),
    [
        ({"shift": 3.0}, None),
        ({"use_dynamic_shifting": True}, 0.8),
        ({"use_dynamic_shifting": True, "time_shift_type": "linear"}, 2.5),
    ],
    ids=["static", "exponential", "linear"],
)
@pytest.mark.parametrize("name", ["FlowMatchEulerDiscreteScheduler", "FlowMatchLCMScheduler"])
def test_a_shift_is_undone(name, options, mu):
    lists = SchedulerLists(made(name, **options), {} if mu is None else {"mu": mu})
    asked = np.array([1.0, 0.83, 0.4, 0.031])
    argument = lists.argument(asked)
    assert argument["sigmas"][0] == 1
    assert np.abs(np.array(argument["sigmas"]) - asked)[1:].min() > 0.01
    np.testing.assert_allclose(visited(lists, argument), asked, rtol=2e-6)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("DDIMScheduler", {}, "take EulerDiscreteScheduler, whose steps are those of DDIM with"),
        ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True},
         r"options: \{use_karras_sigmas: false\}"),
        ("DPMSolverMultistepScheduler", FLOW_MULTISTEP, "take FlowMatchEulerDiscreteScheduler$"),
        ("FlowMatchEulerDiscreteScheduler", {"shift_terminal": 0.02},
         r"stretches any list; give the scheduler as .*options: \{shift_terminal: null\}"),
        ("FlowMatchEulerDiscreteScheduler", {"invert_sigmas": True}, "invert_sigmas: false"),
        ("EulerDiscreteScheduler", {"timestep_type": "continuous"}, "timestep_type 'continuous'"),
    ],
)  # fmt: skip
def test_a_scheduler_that_would_change_a_list_is_refused_with_what_would_not(name, options, said):
    with pytest.raises(InputError, match=said) as refused:
        SchedulerLists(made(name, **options))
    assert "\n" not in str(refused.value)


def test_karras_levels_of_euler_do_not_stand_in_the_way_of_a_list():
    assert why_no_list(made("EulerDiscreteScheduler", use_karras_sigmas=True)) is None


def test_lists_leave_the_scheduler_as_it_is():
    scheduler = made("EulerDiscreteScheduler")
    before = scheduler.timesteps.clone()
    visited(SchedulerLists(scheduler), {"num_inference_steps": 3})
    assert scheduler.timesteps.equal(before)


@given(st.floats(-14, 14), st.booleans())
def test_sigmas_and_log_snr_are_each_others_inverse(logsnr, flow):
    assert to_logsnr(to_sigmas(logsnr, flow=flow), flow=flow) == pytest.approx(logsnr, abs=1e-8)


def test_pure_noise_has_no_signal():
    assert to_logsnr(np.array([1.0]), flow=True)[0] == -np.inf


def test_training_sigmas_are_those_of_the_stock_scheduler():
    scheduler = made("EulerDiscreteScheduler")
    scheduler.set_timesteps(1000)
    known = training_sigmas(scheduler)
    np.testing.assert_allclose(scheduler.sigmas.numpy()[:-1][::-1], known, rtol=1e-5)


@given(st.lists(st.integers(0, 19), min_size=1, max_size=20))
def test_whole_timesteps_are_all_different_and_as_near_as_can_be(given):
    steps = np.sort(np.array(given))[::-1]
    found = distinct(steps, 20)
    assert np.all(np.diff(found) < 0)
    assert found.min() >= 0 and found.max() < 20
    if np.all(np.diff(steps) < 0):
        assert np.array_equal(found, steps)
