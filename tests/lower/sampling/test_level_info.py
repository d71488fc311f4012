"""What a network was trained on is read from a pipeline's JSON, or refused in one sentence."""

import json
from itertools import pairwise

import numpy as np
import pytest
from diffusers import (
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    UNet2DModel,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_info import LevelInfo, nearest_timesteps, read_levels
from raybilevel.schedules import LOGSNR_FLOOR
from raybilevel.schedules.scheduler_config import stock_levels


def save(directory, scheduler, pipeline_class=DDPMPipeline, **changes):
    unet = UNet2DModel(
        **{
            "sample_size": (4, 8),
            "in_channels": 3,
            "out_channels": 3,
            "block_out_channels": (4,),
            "layers_per_block": 1,
            "norm_num_groups": 2,
            "down_block_types": ("DownBlock2D",),
            "up_block_types": ("UpBlock2D",),
            "add_attention": False,
            **changes,
        }
    )
    pipeline_class(unet, scheduler).save_pretrained(directory)
    return directory


def edit(directory, **changes):
    """Change the scheduler's config by hand, as other versions and tools write it."""
    path = directory / "scheduler" / "scheduler_config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value != "absent"}))
    return directory


def logsnr(scheduler):
    abar = scheduler.alphas_cumprod.double().numpy()
    return np.log(abar / (1 - abar))


@pytest.mark.parametrize("beta_schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_levels_are_the_schedulers_and_fall_between_the_bounds(tmp_path, beta_schedule):
    scheduler = DDPMScheduler(num_train_timesteps=200, beta_schedule=beta_schedule)
    info = read_levels(save(tmp_path, scheduler))
    assert info.image_shape == (3, 4, 8)
    assert info.logsnr.shape == (200,)
    assert info.logsnr.dtype == np.float64
    # float32 alphas say little about log-SNR where they are all but one
    np.testing.assert_allclose(info.logsnr, logsnr(scheduler), atol=3e-3)
    np.testing.assert_allclose(info.logsnr[20:], logsnr(scheduler)[20:], atol=1e-4)
    assert np.all(np.diff(info.logsnr) < 0)
    assert info.bounds == (info.logsnr[-1], info.logsnr[0])
    assert info.scheduler["beta_schedule"] == beta_schedule
    assert info.unet["in_channels"] == 3


def test_zero_terminal_snr_is_the_floor(tmp_path):
    scheduler = DDIMScheduler(
        num_train_timesteps=50, rescale_betas_zero_snr=True, prediction_type="v_prediction"
    )
    info = read_levels(save(tmp_path, scheduler))
    assert info.bounds[0] == LOGSNR_FLOOR
    assert np.all(np.diff(info.logsnr) < 0)


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_the_prediction_type_is_the_schedulers(tmp_path, kind):
    assert read_levels(save(tmp_path, DDPMScheduler(prediction_type=kind))).prediction_type == kind


def test_without_a_prediction_type_it_is_noise_as_in_diffusers(tmp_path):
    directory = edit(save(tmp_path, DDPMScheduler()), prediction_type="absent")
    assert read_levels(directory).prediction_type == "epsilon"


@pytest.mark.parametrize(
    ("scheduler", "clip"),
    [
        (DDIMScheduler(clip_sample=True), 1.0),
        (DDIMScheduler(clip_sample=True, clip_sample_range=2.5), 2.5),
        (DDIMScheduler(clip_sample=False, clip_sample_range=2.5), None),
        (DDPMScheduler(clip_sample_range=0.9), 0.9),
        (DPMSolverMultistepScheduler(), 1.0),
    ],
)
def test_clip_is_what_a_ddim_scheduler_makes_of_the_config(tmp_path, scheduler, clip):
    """One that says nothing of clipping becomes a DDIM scheduler that clips: diffusers' default."""
    info = read_levels(save(tmp_path, scheduler))
    assert info.clip == clip
    ddim = DDIMScheduler.from_config(info.scheduler).config
    assert clip == (ddim.clip_sample_range if ddim.clip_sample else None)


def test_a_ddim_pipeline_reads_as_well_as_a_ddpm_one(tmp_path):
    assert read_levels(save(tmp_path, DDIMScheduler(), DDIMPipeline)).bounds[1] > 9


@pytest.mark.parametrize(
    ("kind", "more"), [("learned", {"num_train_timesteps": 1000}), ("fourier", {})]
)
def test_time_embeddings_that_know_integers_alone_are_refused(tmp_path, kind, more):
    directory = save(tmp_path, DDPMScheduler(), time_embedding_type=kind, **more)
    with pytest.raises(InputError, match=f"model '.*' has a {kind} time embedding, which cannot"):
        read_levels(directory)


def test_a_learned_variance_is_refused(tmp_path):
    directory = save(tmp_path, DDPMScheduler(variance_type="learned_range"), out_channels=6)
    with pytest.raises(InputError, match="predicts 6 channels for 3, so it learned a variance"):
        read_levels(directory)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"thresholding": True}, "scheduler with thresholding; only epsilon, sample, v_prediction"),
        ({"prediction_type": "flow_prediction"}, "prediction_type 'flow_prediction'; only epsilon"),
        ({"prediction_type": "guess"}, "prediction_type 'guess'"),
        ({"use_flow_sigmas": True}, "no betas to read"),
        ({"beta_schedule": "absent", "trained_betas": "absent"}, "no betas to read"),
        ({"beta_schedule": "quadratic"}, "beta_schedule 'quadratic' is not one"),
        ({"num_train_timesteps": 3, "trained_betas": [0.1, 0.0, 0.2]}, "do not fall at every step"),
        ({"num_train_timesteps": 3, "trained_betas": [0.0, 0.1, 0.2]}, "do not fall at every step"),
        ({"num_train_timesteps": 3, "trained_betas": [0.0, 0.0, 0.2]}, "do not fall at every step"),
        ({"num_train_timesteps": 1, "trained_betas": [0.1]}, "do not fall at every step"),
        ({"num_train_timesteps": 2, "trained_betas": [0.1, 1.5]}, r"must lie in \[0, 1\]"),
    ],
)
def test_schedulers_that_cannot_be_followed_are_refused_in_one_sentence(tmp_path, changes, says):
    directory = edit(save(tmp_path, DDPMScheduler()), **changes)
    with pytest.raises(InputError, match=says) as refusal:
        read_levels(directory)
    assert "\n" not in str(refusal.value)


def test_the_sentence_names_the_argument_and_the_directory(tmp_path):
    directory = edit(save(tmp_path / "mine", DDPMScheduler()), thresholding=True)
    with pytest.raises(InputError, match=r"^judge '.*mine'"):
        read_levels(directory, where="judge")
    with pytest.raises(InputError, match="is not a directory"):
        read_levels(tmp_path / "nowhere")


def info_of(**config):
    scheduler = dict(DDPMScheduler(**config).config)
    levels = np.maximum(stock_levels(scheduler)[0], LOGSNR_FLOOR)
    return LevelInfo((1, 8, 8), levels, "epsilon", None, scheduler, {})


INFOS = {
    (T, beta_schedule, zero): info_of(
        num_train_timesteps=T, beta_schedule=beta_schedule, rescale_betas_zero_snr=zero
    )
    for T in (40, 1000)
    for beta_schedule in ("linear", "squaredcos_cap_v2")
    for zero in (False, True)
}
infos = st.sampled_from(list(INFOS.values()))


def check_steps(steps, info, k):
    assert len(steps) == k
    assert all(isinstance(t, int) for t in steps)
    assert all(a > b for a, b in pairwise(steps))
    assert steps[0] < len(info.logsnr)
    assert steps[-1] >= 0


@given(infos, st.lists(st.floats(-25, 20), min_size=1, max_size=40))
@settings(deadline=None)
def test_nearest_timesteps_are_distinct_and_fall_wherever_the_levels_are(info, levels):
    check_steps(nearest_timesteps(info, np.sort(levels)), info, len(levels))


@given(infos, st.integers(1, 40), st.integers(0, 40), st.floats(0, 1e-3))
@settings(deadline=None)
def test_levels_crowded_at_both_ends_get_the_steps_next_to_the_ends(info, k, low, gap):
    """As many as wanted at the noisy end, the rest at the clean one, a hair apart."""
    low, (noisy, clean), last = min(low, k), info.bounds, len(info.logsnr) - 1
    crowd = np.concatenate([noisy - 1 + gap * np.arange(low), clean + 1 + gap * np.arange(k - low)])
    steps = nearest_timesteps(info, crowd)
    check_steps(steps, info, k)
    assert steps == [*range(last, last - low, -1), *range(k - low - 1, -1, -1)]


@given(
    infos.filter(lambda info: info.bounds[0] > LOGSNR_FLOOR),
    st.sampled_from(["leading", "trailing", "linspace"]),
    st.integers(1, 40),
)
@settings(deadline=None)
def test_stock_levels_have_the_stock_timesteps(info, spacing, steps):
    """But at zero SNR, where diffusers' DPM-Solver++ puts another level in its place."""
    scheduler = DPMSolverMultistepScheduler.from_config(info.scheduler, timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    timesteps = scheduler.timesteps.tolist()
    assume(len(set(timesteps)) == len(timesteps) and min(timesteps) >= 0)
    levels = -2 * np.log(scheduler.sigmas[:-1].double().numpy())
    assert nearest_timesteps(info, levels) == timesteps


@given(infos, st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_a_trained_level_has_its_own_step(info, k, seed):
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(info.logsnr), k, replace=False))[::-1]
    assert nearest_timesteps(info, info.logsnr[chosen]) == chosen.tolist()
