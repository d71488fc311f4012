"""Stock schedulers are diffusers' own, set as their names say whatever the pipeline's own."""

import json

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    UNet2DModel,
)

from raybilevel.lower.sampling.stock_schedulers import (
    sample_stock,
    stock_levels_visited,
    stock_schedulers,
)

SPACINGS = ["leading", "trailing", "linspace"]
PLAIN = [*(f"ddim {s}" for s in SPACINGS), *(f"dpm++ {s}" for s in SPACINGS)]
PLAIN += ["dpm++ karras", "dpm++ lu"]
CLIPPED = [f"dpm++ {s} clipped" for s in SPACINGS]


def config_of(scheduler):
    """As it is written to scheduler_config.json."""
    return json.loads(scheduler.to_json_string())


LINEAR = config_of(DDPMScheduler(num_train_timesteps=100, beta_end=0.03))
COSINE = config_of(
    DDPMScheduler(
        num_train_timesteps=100, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction"
    )
)
ZERO = config_of(
    DDIMScheduler(
        num_train_timesteps=100, rescale_betas_zero_snr=True, prediction_type="v_prediction"
    )
)


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8,),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        add_attention=False,
    )
    with torch.no_grad():
        network.conv_out.weight *= 3  # a prediction of about unit size
    return network.eval()


def noise(seed=3, count=4):
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def stock(unet, scheduler, steps, seed=3, count=4):
    pipeline_class = DDIMPipeline if isinstance(scheduler, DDIMScheduler) else DDPMPipeline
    pipeline = pipeline_class(unet, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(seed)
    output = pipeline(count, generator, num_inference_steps=steps, output_type="np")
    return torch.as_tensor(output.images).permute(0, 3, 1, 2)


def made(name, config):
    """The scheduler of this name as a user of diffusers would make it."""
    kind, what, *clipped = name.split()
    if kind == "ddim":
        return DDIMScheduler.from_config(config, timestep_spacing=what)
    options = {
        "karras": {"use_karras_sigmas": True},
        "lu": {"use_lu_lambdas": True},
    }.get(what, {"timestep_spacing": what})
    if clipped:
        options["lambda_min_clipped"] = -5.1
    return DPMSolverMultistepScheduler.from_config(config, **options)


def test_names_are_samplers_and_spacings_clipped_where_the_schedule_reaches_below():
    assert list(stock_schedulers(LINEAR)) == PLAIN
    assert list(stock_schedulers(COSINE)) == PLAIN + CLIPPED
    assert list(stock_schedulers(ZERO)) == PLAIN + CLIPPED


@pytest.mark.parametrize("config", [LINEAR, COSINE, ZERO], ids=["linear", "cosine", "zero"])
def test_each_takes_as_many_steps_as_asked_for_or_says_how_many(unet, config):
    """Clipped, trailing goes on below the clip only: diffusers gives it fewer steps."""
    for name, scheduler in stock_schedulers(config).items():
        _, evaluations = sample_stock(unet, scheduler, noise(count=1), 10)
        assert evaluations == len(scheduler.timesteps)
        assert evaluations == 10 if name != "dpm++ trailing clipped" else 9 <= evaluations <= 10


@pytest.mark.parametrize("name", PLAIN + CLIPPED)
def test_images_are_those_of_the_stock_pipeline(unet, name):
    images, _ = sample_stock(unet, stock_schedulers(COSINE)[name], noise(), 8)
    assert 0.05 < images.std() < 0.45
    expected = stock(unet, made(name, COSINE), 8)
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-5)


def test_images_are_in_the_unit_range_and_the_noise_is_left_alone(unet):
    x = noise()
    images, _ = sample_stock(unet, stock_schedulers(LINEAR)["ddim trailing"], x, 5)
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert torch.equal(x, noise())


def test_karras_sigmas_that_share_a_timestep_are_all_walked_where_stock_stumbles(unet):
    """Looked up by its timestep, the first of them is taken for the second, and one is lacking."""
    scheduler = stock_schedulers(ZERO)["dpm++ karras"]
    images, evaluations = sample_stock(unet, scheduler, noise(), 10)
    assert scheduler.timesteps[0] == scheduler.timesteps[1]
    assert evaluations == 10
    assert images.isfinite().all()
    with pytest.raises(IndexError):
        stock(unet, made("dpm++ karras", ZERO), 10)


def test_a_rival_can_be_used_again(unet):
    scheduler = stock_schedulers(LINEAR)["dpm++ trailing"]
    first, _ = sample_stock(unet, scheduler, noise(), 6)
    sample_stock(unet, scheduler, noise(4), 3)
    again, _ = sample_stock(unet, scheduler, noise(), 6)
    assert torch.equal(first, again)


@pytest.mark.parametrize("config", [LINEAR, COSINE, ZERO], ids=["linear", "cosine", "zero"])
def test_visited_levels_rise_and_are_those_of_the_timesteps(config):
    visited = stock_levels_visited(config, 10)
    assert list(visited) == [name for name in stock_schedulers(config) if name.startswith("dpm++")]
    for name, levels in visited.items():
        scheduler = made(name, config)
        scheduler.set_timesteps(10)
        assert len(levels) == len(scheduler.timesteps)
        assert np.all(np.diff(levels) > 0)
        if name.split()[1] in SPACINGS:
            abar = scheduler.alphas_cumprod[scheduler.timesteps].double().numpy()
            np.testing.assert_allclose(levels, np.log(abar / (1 - abar)), atol=1e-3)


OWN = {
    "karras": {"use_karras_sigmas": True},
    "beta": {"use_beta_sigmas": True},
    "lu": {"use_lu_lambdas": True},
    "stochastic": {"algorithm_type": "sde-dpmsolver++"},
    "first order": {"solver_order": 1},
    "third order": {"solver_order": 3},
    "final sigma": {"final_sigmas_type": "sigma_min"},
    "clipped": {"lambda_min_clipped": -1.0},
}


def drawn_by_rivals(unet, **own):
    config = config_of(DPMSolverMultistepScheduler(num_train_timesteps=100, **own))
    return {
        n: sample_stock(unet, r, noise(count=2), 6)[0] for n, r in stock_schedulers(config).items()
    }


@pytest.fixture(scope="module")
def plain(unet):
    return drawn_by_rivals(unet)


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
def test_a_pipelines_own_sampler_settings_do_not_leak_into_the_rivals(unet, plain, own):
    """Only its noise schedule does: "dpm++ trailing" is just that, and draws no noise."""
    images = drawn_by_rivals(unet, **own)
    assert list(images) == list(plain)
    for name in plain:
        assert torch.equal(images[name], plain[name]), name


def test_a_sigmoid_schedule_which_only_ddpm_knows_has_rivals_too(unet):
    own = DDPMScheduler(num_train_timesteps=100, beta_schedule="sigmoid")
    for name, scheduler in stock_schedulers(config_of(own)).items():
        torch.testing.assert_close(scheduler.alphas_cumprod, own.alphas_cumprod)
        assert sample_stock(unet, scheduler, noise(), 4)[0].isfinite().all(), name
