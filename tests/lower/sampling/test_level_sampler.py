"""A network asked at any level: what stock pipelines draw at stock levels, and derivatives."""

import math

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from lower.sampling.small_networks import small_network
from torch.nn.functional import avg_pool2d

from raybilevel.config import registry
from raybilevel.lower.sampling.level_info import LevelInfo
from raybilevel.lower.sampling.level_sampler import LevelSampler, asked_step
from raybilevel.lower.sampling.solvers import load_solver
from raybilevel.metrics.fid_kid import FrechetTo, Moments
from raybilevel.schedules import LOGSNR_FLOOR
from raybilevel.schedules.scheduler_config import stock_levels
from raybilevel.upper.optimisers.zeroth_order import Pairs, draw_directions

KINDS = ["epsilon", "sample", "v_prediction"]
SEED, COUNT = 2**40 + 3, 5


def save(directory, pipeline_class, scheduler, **changes):
    """A tiny random network whose output is of about unit size, and depends on the time."""
    unet = small_network(**({"add_attention": False} | changes))
    with torch.no_grad():
        unet.conv_out.weight *= 3
        for name, weight in unet.named_parameters():
            if "time_emb" in name:
                weight.mul_(3)
    pipeline_class(unet, scheduler).save_pretrained(directory)
    return directory


def drawn(directory, scheduler_class, steps, **changes):
    """Images and first noise of the stock pipeline in a directory, given another scheduler."""
    ddim = scheduler_class is DDIMScheduler
    pipeline = (DDIMPipeline if ddim else DDPMPipeline).from_pretrained(directory)
    pipeline.scheduler = scheduler_class.from_config(pipeline.scheduler.config, **changes)
    pipeline.set_progress_bar_config(disable=True)
    inputs = []
    pipeline.unet.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    generator = torch.Generator().manual_seed(SEED)
    output = pipeline(COUNT, generator, num_inference_steps=steps, output_type="np")
    return torch.as_tensor(output.images).permute(0, 3, 1, 2), inputs[0]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    scheduler = DDPMScheduler(num_train_timesteps=100, beta_end=0.03)
    return save(tmp_path_factory.mktemp("p"), DDPMPipeline, scheduler)


def trailing(info, steps):
    T = len(info.logsnr)
    assert T % steps == 0
    return info.logsnr[np.arange(T, 0, -(T // steps)) - 1].tolist()


def info_of(scheduler):
    logsnr = np.maximum(stock_levels(scheduler.config)[0], LOGSNR_FLOOR)
    return LevelInfo((1, 8, 8), logsnr, "epsilon", None, {}, {})


INFOS = [
    info_of(DDPMScheduler(num_train_timesteps=T, beta_schedule=beta_schedule, **zero))
    for T in (2, 100, 1000)
    for beta_schedule in ("linear", "squaredcos_cap_v2")
    for zero in ({}, {"rescale_betas_zero_snr": True})
]
infos = st.sampled_from(INFOS)


@pytest.mark.parametrize("info", INFOS)
def test_a_trained_level_is_asked_at_its_own_step_to_the_bit(info):
    steps = asked_step(info, torch.from_numpy(info.logsnr))
    assert steps.dtype == torch.float32
    assert steps.tolist() == list(range(len(info.logsnr)))


@given(infos, st.lists(st.floats(-30, 30), min_size=2, max_size=30))
@settings(deadline=None)
def test_a_cleaner_level_is_asked_no_later_and_never_outside_the_trained_steps(info, levels):
    steps = asked_step(info, torch.tensor(sorted(levels), dtype=torch.float64))
    assert (steps.diff() <= 0).all()
    assert steps.min() >= 0
    assert steps.max() <= len(info.logsnr) - 1


@pytest.mark.parametrize("info", INFOS)
def test_between_trained_levels_steps_are_on_straight_lines_and_clamped_at_the_ends(info):
    middles = torch.from_numpy((info.logsnr[1:] + info.logsnr[:-1]) / 2)
    expected = torch.arange(len(middles)) + 0.5
    torch.testing.assert_close(asked_step(info, middles), expected, rtol=1e-6, atol=1e-4)
    low, high = info.bounds
    outside = torch.tensor([low - 1, high + 1], dtype=torch.float64)
    assert asked_step(info, outside).tolist() == [len(info.logsnr) - 1, 0]


@given(infos, st.floats(0, 1), st.floats(0.3, 0.7))
@settings(deadline=None)
def test_steps_are_differentiable_in_both_modes(info, place, share):
    i = round(place * (len(info.logsnr) - 2))
    above, below = info.logsnr[i], info.logsnr[i + 1]
    level = torch.tensor([above + share * (below - above)], dtype=torch.float64)
    h = 0.25 * (above - below)  # still between the same two, where the line is straight
    difference = (asked_step(info, level + h) - asked_step(info, level - h)).double() / (2 * h)
    x = level.clone().requires_grad_()
    (reverse,) = torch.autograd.grad(asked_step(info, x).sum(), x)
    _, forward = torch.func.jvp(lambda x: asked_step(info, x), (level,), (torch.ones_like(level),))
    torch.testing.assert_close(reverse, difference, rtol=1e-3, atol=0)
    torch.testing.assert_close(forward.double(), reverse, rtol=1e-5, atol=0)


def test_outside_the_trained_range_the_step_does_not_depend_on_the_level():
    info = INFOS[4]
    x = torch.tensor([info.bounds[0] - 1, info.bounds[1] + 1], dtype=torch.float64)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(asked_step(info, x).sum(), x)
    assert gradient.tolist() == [0, 0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("clip", [False, True])
def test_ddim_at_stock_levels_draws_what_the_stock_pipeline_does(tmp_path, kind, clip):
    scheduler = DDIMScheduler(
        num_train_timesteps=100,
        beta_end=0.03,
        prediction_type=kind,
        clip_sample=clip,
        clip_sample_range=0.8,
    )
    save(tmp_path, DDIMPipeline, scheduler)
    sampler = LevelSampler.open(tmp_path, "ddim")
    noise = sampler.noise(SEED, COUNT)
    for steps in (1, 10):
        images = sampler.sample(noise, trailing(sampler.info, steps))
        expected, _ = drawn(tmp_path, DDIMScheduler, steps, timestep_spacing="trailing")
        torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)
    assert ((images > 0) & (images < 1)).float().mean() > 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_dpmpp_at_stock_levels_draws_what_the_stock_pipeline_does(tmp_path, kind):
    scheduler = DDPMScheduler(num_train_timesteps=100, beta_end=0.03, prediction_type=kind)
    save(tmp_path, DDPMPipeline, scheduler)
    sampler = LevelSampler.open(tmp_path)
    noise = sampler.noise(SEED, COUNT)
    for steps in (1, 20):
        images = sampler.sample(noise, trailing(sampler.info, steps))
        expected, _ = drawn(
            tmp_path, DPMSolverMultistepScheduler, steps, timestep_spacing="trailing"
        )
        torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)
    assert ((images > 0) & (images < 1)).float().mean() > 0.2


@pytest.mark.parametrize("name", registry.names("solvers"))
def test_images_of_a_thousand_trained_steps_with_colours_and_oblong(tmp_path, name):
    scheduler = DDIMScheduler(prediction_type="v_prediction")  # noise all but alone at the first
    shape = {"sample_size": (8, 16), "in_channels": 3, "out_channels": 3, "add_attention": True}
    save(tmp_path, DDIMPipeline, scheduler, **shape)
    sampler = LevelSampler.open(tmp_path, name)
    noise = sampler.noise(SEED, COUNT)
    assert noise.shape == (COUNT, 3, 8, 16)
    images = sampler.sample(noise, trailing(sampler.info, 10))
    stock = DDIMScheduler if name == "ddim" else DPMSolverMultistepScheduler
    expected, _ = drawn(tmp_path, stock, 10, timestep_spacing="trailing")
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)


def test_noise_is_what_the_stock_pipeline_draws(directory):
    _, noise = drawn(directory, DDIMScheduler, 1)
    assert torch.equal(LevelSampler.open(directory).noise(SEED, COUNT), noise)


@pytest.fixture(scope="module", params=registry.names("solvers"))
def sampler(directory, request):
    return LevelSampler.open(directory, request.param)


LEVELS = [-1.2, -0.7, 0.3, 1.4, 4.0]  # none of them trained


def test_images_do_not_depend_on_their_place_in_the_batch(sampler):
    noise, order = sampler.noise(1, 6), torch.tensor([3, 0, 5, 1, 4, 2])
    images = sampler.sample(noise, LEVELS)
    shuffled = sampler.sample(noise[order], LEVELS)
    torch.testing.assert_close(shuffled, images[order], rtol=0, atol=1e-5)
    torch.testing.assert_close(sampler.sample(noise[2:3], LEVELS), images[2:3], rtol=0, atol=1e-5)
    assert (images[0] - images[1]).abs().max() > 0.1


def test_the_bits_do_not_depend_on_the_global_generator(sampler):
    torch.manual_seed(1)
    noise = sampler.noise(SEED, COUNT)
    first = sampler.sample(noise, LEVELS)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    assert torch.equal(sampler.noise(SEED, COUNT), noise)
    assert torch.equal(sampler.sample(noise, LEVELS), first)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_images_are_float32_in_the_unit_range(sampler):
    images = sampler.sample(sampler.noise(0, 3), LEVELS)
    assert images.shape == (3, 1, 8, 8)
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1


def test_outside_the_trained_range_the_network_is_asked_at_its_end(sampler):
    steps = []
    hook = sampler.unet.register_forward_pre_hook(lambda _, args: steps.append(args[1].item()))
    sampler.sample(sampler.noise(0, 1), [-9.0, 0.5, 14.0])
    hook.remove()
    assert steps[0] == 99
    assert steps[2] == 0
    assert steps[1] != round(steps[1])


@pytest.mark.parametrize("name", registry.names("solvers"))
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_predicted_adds_up_to_the_noisy_image(tmp_path, kind, name):
    scheduler = DDIMScheduler(num_train_timesteps=100, prediction_type=kind, clip_sample=False)
    save(tmp_path, DDIMPipeline, scheduler)
    sampler = LevelSampler.open(tmp_path, name)
    x, last = sampler.noise(2, 4), None
    for level in (-1.7, 0.2, 3.9):
        logsnr = torch.tensor([level], dtype=torch.float64)
        with torch.inference_mode():
            x0, eps = sampler.predict(x, logsnr)
            output = sampler.unet(x, asked_step(sampler.info, logsnr)).sample
        abar = 1 / (1 + math.exp(-level))
        alpha, sigma = math.sqrt(abar), math.sqrt(1 - abar)
        torch.testing.assert_close(alpha * x0 + sigma * eps, x, rtol=0, atol=1e-5)
        said = {"epsilon": eps, "sample": x0, "v_prediction": alpha * eps - sigma * x0}[kind]
        torch.testing.assert_close(said, output, rtol=0, atol=1e-5)
        assert last is None or (output - last).std() > 0.02  # the network knows the time
        last = output


def test_only_ddim_clips_and_keeps_the_noise_as_predicted(tmp_path):
    scheduler = DDIMScheduler(num_train_timesteps=100, clip_sample_range=0.5)
    save(tmp_path, DDIMPipeline, scheduler)
    ddim, dpmpp = (LevelSampler.open(tmp_path, name) for name in ("ddim", "dpm++"))
    x, logsnr = ddim.noise(2, 4), torch.tensor([0.0], dtype=torch.float64)
    with torch.inference_mode():
        (clipped, eps), (x0, same) = ddim.predict(x, logsnr), dpmpp.predict(x, logsnr)
    assert x0.abs().max() > 0.6
    assert torch.equal(clipped, x0.clamp(-0.5, 0.5))
    assert torch.equal(eps, same)


def fid(features, reference):
    """FID of features (n, F) to reference moments, differentiable: a sum of roots by `eigvalsh`."""
    centred = features - features.mean(0)
    cov = centred.T @ centred / (len(features) - 1)
    values, vectors = torch.linalg.eigh(torch.from_numpy(reference.cov))
    root = vectors * values.sqrt() @ vectors.T
    shift = features.mean(0) - torch.from_numpy(reference.mean)
    overlap = torch.linalg.eigvalsh(root @ cov @ root).sqrt().sum()
    return shift @ shift + cov.trace() + values.sum() - 2 * overlap


@pytest.mark.parametrize("name", registry.names("solvers"))
def test_two_point_gradients_of_fid_are_those_of_forward_mode(tmp_path, name):
    """The schedule problem in small: d FID / d levels, through sampler, network and asked step."""
    scheduler = DDIMScheduler(num_train_timesteps=100, beta_end=0.03, clip_sample=False)
    save(tmp_path, DDIMPipeline, scheduler)
    sampler = LevelSampler.open(tmp_path, name)
    sampler.unet.double()
    noise = sampler.noise(4, 16).double()
    levels = np.array([-1.2, 0.1, 1.3, 3.2])
    rng = np.random.default_rng(0)
    reference = Moments.of(0.5 + 0.3 * rng.standard_normal((200, 4)))

    def features(levels):
        x = load_solver(name).walk(sampler.predict, noise, levels)
        return avg_pool2d(x, 4).flatten(1)

    def value(point):
        with torch.no_grad():
            return FrechetTo(reference)(Moments.of(features(torch.from_numpy(point)).numpy()))

    pairs = Pairs(levels, draw_directions(rng, 4, 4), 1e-3)
    two_point = pairs.gradient(np.array([value(point) for point in pairs.points]))

    def objective(levels):
        return fid(features(levels), reference)

    exact = []
    for direction in torch.eye(4, dtype=torch.float64):
        now, slope = torch.func.jvp(objective, (torch.from_numpy(levels),), (direction,))
        exact.append(slope.item())
    assert now.item() == pytest.approx(value(levels), rel=1e-9)
    assert np.linalg.norm(exact) > 0.1
    np.testing.assert_allclose(two_point, exact, atol=4e-3 * np.linalg.norm(exact))
