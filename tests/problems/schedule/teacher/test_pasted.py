"""Lists as other programs are given them."""

import pytest

from raybilevel.errors import InputError
from raybilevel.problems.schedule.teacher.pasted import pasted

SAID = {
    "timesteps": [900, 400],
    "call": "pipe(prompt, guidance_scale=3.0, timesteps=[900, 400])",
    "sigmas_visited": [9.123456789, 1.5],
    "key": {
        "model": "owner/name", "on_hub": True,
        "from_pretrained": {"revision": "abc", "text_encoder_3": None},
        "pipeline": "StableDiffusionPipeline",
        "scheduler": "DPMSolverMultistepScheduler",
        "solver": {"class": "DPMSolverMultistepScheduler", "options": {"solver_order": 2}},
        "scheduler_config": {"solver_order": 2, "solver_type": "midpoint"},
        "call_options": {"guidance_scale": 3.0}, "dtype": "auto",
    },
}  # fmt: skip


def but(**changes):
    return {**SAID, "key": {**SAID["key"], **changes}}


def test_diffusers_is_given_python_that_can_be_run():
    text = pasted(SAID, "diffusers", "runs/x")
    compile(text, "pasted", "exec")
    assert text.splitlines() == [
        "from diffusers import DiffusionPipeline, DPMSolverMultistepScheduler",
        "",
        "pipe = DiffusionPipeline.from_pretrained('owner/name', revision='abc', "
        "text_encoder_3=None)",
        "pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, "
        "solver_order=2)",
        "images = pipe(prompt, guidance_scale=3.0, timesteps=[900, 400]).images",
    ]


def test_a_model_that_is_none_of_the_hub_is_the_pipeline_of_the_run():
    text = pasted(but(on_hub=False, from_pretrained={}), "diffusers", "runs/x")
    assert "pipe = DiffusionPipeline.from_pretrained('runs/x/pipeline')" in text


def test_comfyui_is_given_sigmas_that_end_with_zero():
    assert pasted(SAID, "comfyui", "runs/x").splitlines() == [
        "KSamplerSelect  sampler_name: dpmpp_2m",
        "ManualSigmas    sigmas: 9.12346, 1.5, 0",
        "CFGGuider       cfg: 3",
        "SamplerCustomAdvanced takes their outputs",
    ]


def test_what_guides_flux_is_no_classifier_free_guidance():
    flux = but(pipeline="FluxPipeline", scheduler="FlowMatchEulerDiscreteScheduler")
    assert "FluxGuidance    guidance: 3" in pasted(flux, "comfyui", "runs/x")


@pytest.mark.parametrize(
    ("said", "target", "why"),
    [
        (SAID, "a1111", "--to is 'a1111', but it is one of diffusers, comfyui"),
        (but(scheduler="DPMSolverSinglestepScheduler"), "comfyui", "that steps as DPMSolverSingle"),
        (
            but(scheduler_config={"solver_order": 3}),
            "comfyui",
            "that steps as DPMSolverMultistepScheduler with solver_order 3 does; it has those of",
        ),
    ],
    ids=["unknown", "single step", "third order"],
)
def test_what_a_target_cannot_hold_is_refused(said, target, why):
    with pytest.raises(InputError, match=why):
        pasted(said, target, "runs/x")
