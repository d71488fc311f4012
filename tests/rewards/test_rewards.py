import io
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image

from raybilevel.config import registry
from raybilevel.data import load
from raybilevel.errors import InputError
from raybilevel.rewards import evaluate, load_reward

HERE = "upper_reward"
ARGUMENTS = {"class_log_prob": "(3)", "proxy_logit": "(3)", "ink_error": "(0.3)"}
BY_CLIP = {"clip_similarity", "pickscore", "aesthetic"}
OF_PROMPTS = {"asked_digit", "proxy_asked_digit", "held_out_asked_digit"}


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def run(spec, images):
    return evaluate(load_reward(spec, HERE), images, HERE)


@pytest.mark.parametrize("name", sorted(set(registry.names("rewards")) - BY_CLIP - OF_PROMPTS))
def test_every_built_in_gives_a_finite_number_per_image_that_its_neighbours_do_not_change(
    name, digits
):
    spec = name + ARGUMENTS.get(name, "")
    values = run(spec, digits.images[:6])
    assert values.shape == (6,)
    assert values.dtype == np.float64
    assert np.isfinite(values).all()
    alone = np.concatenate([run(spec, digits.images[i : i + 1]) for i in range(6)])
    np.testing.assert_allclose(values, alone, rtol=1e-4, atol=1e-5)


def test_ink_is_mean_brightness_and_its_error_the_distance_from_a_target():
    images = torch.stack([torch.zeros(3, 4, 4), torch.full((3, 4, 4), 0.25), torch.ones(3, 4, 4)])
    np.testing.assert_allclose(run("ink", images), [0, 0.25, 1])
    np.testing.assert_allclose(run("ink_error(0.75)", images), [0.75, 0.5, 0.25])


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_jpeg_size_is_that_of_the_file(channels, mode):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, channels), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).convert(mode).save(file, format="JPEG", quality=40)
    images = torch.as_tensor(pixels).permute(2, 0, 1)[None] / 255
    size = run("jpeg_size(quality=40)", images)
    np.testing.assert_allclose(size, [len(file.getvalue()) / 1000], rtol=1e-6)
    assert run("jpeg_size(90)", images) > size


def test_classifiers_prefer_the_digits_own_label(digits):
    threes = digits.images[digits.labels == 3]
    eights = digits.images[digits.labels == 8]
    for spec in ("class_log_prob(3)", "proxy_logit(label=3)"):
        assert run(spec, threes).mean() > run(spec, eights).mean() + 2
    assert run("class_log_prob(3)", threes).max() <= 0


def test_legibility_is_the_log_probability_of_the_likeliest_class(digits):
    images = digits.images[:5]
    by_class = np.stack([run(f"class_log_prob({label})", images) for label in range(10)])
    np.testing.assert_allclose(run("legibility", images), by_class.max(0))


@pytest.mark.parametrize("spec", ["realism", "legibility", "proxy_legibility"])
def test_digits_score_higher_than_noise(spec, digits):
    noise = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert run(spec, digits.images[:64]).mean() > run(spec, noise).mean() + 0.5


def test_novelty_is_zero_for_a_copy_and_the_distance_for_another(digits):
    shifted = digits.images[:4] + 0.01
    np.testing.assert_allclose(run("novelty", digits.images[:4]), 0, atol=1e-6)
    np.testing.assert_allclose(run("novelty", shifted), 0.08, atol=1e-5)


def test_a_weighted_sum_adds_its_terms(digits):
    images = digits.images[:5]
    parts = [run(s, images) for s in ("ink", "jpeg_size(quality=30)", "novelty")]
    total = run("ink + 0.5 * jpeg_size(quality=30) - 2 * novelty", images)
    np.testing.assert_allclose(total, parts[0] + 0.5 * parts[1] - 2 * parts[2], rtol=1e-5)
    nested = run("-(ink - 3 * (novelty + ink))", images)
    np.testing.assert_allclose(nested, 2 * parts[0] + 3 * parts[2], rtol=1e-5)


def test_a_callable_is_returned_as_it_is():
    assert load_reward(len, HERE) is len


def test_an_import_path_resolves_from_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "my_rewards_for_test.py").write_text("def top(images):\n    return images[:, 0]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    np.testing.assert_array_equal(run("my_rewards_for_test:top", np.eye(3)), [1, 0, 0])


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("inc", r"upper_reward is 'inc', but there is no built-in 'inc', only ink, "),
        ("ink + os", r"there is no built-in 'os'"),
        ("ink(3)", r"it is used as ink\(\)"),
        ("class_log_prob", r"it is used as class_log_prob\(label\)"),
        ("jpeg_size(q=3)", r"it is used as jpeg_size\(quality=75\)"),
        ("class_log_prob(12)", r"label 12, but a digit's label is from 0 to 9"),
        ("jpeg_size(quality=0)", r"quality 0, but it must be from 1 to 95"),
        ("3 +", r"but a reward is written"),
        ("ink * 2", r"but a reward is written"),
        ("[1] * ink", r"but a reward is written"),
        ("ink(open('x'))", r"but a reward is written"),
        ("no_such_module_at_all:f", r"importing 'no_such_module_at_all'"),
        ("math:pi", r"no function of images"),
    ],
)
def test_what_is_no_reward_is_refused_with_what_would_be_right(spec, sentence):
    with pytest.raises(InputError, match=sentence):
        load_reward(spec, HERE)


@pytest.mark.parametrize(
    ("reward", "sentence"),
    [
        (lambda x: x.mean(), r"numbers of shape \(\) for images \(4, 1, 8, 8\); .* \(4,\)"),
        (lambda x: x.flatten(1).mean(1)[None, :], r"shape \(1, 4\)"),
        (lambda x: x.flatten(1).mean(1)[:3], r"shape \(3,\)"),
        (lambda x: None, r"no array of numbers"),
        (lambda x: ["good"] * len(x), r"no array of numbers"),
    ],
)
def test_a_reward_of_another_shape_is_refused_with_both_shapes(reward, sentence, digits):
    with pytest.raises(InputError, match=rf"^lower_reward returned .*{sentence}"):
        evaluate(reward, digits.images[:4], "lower_reward")


def test_a_rewards_numbers_may_be_arrays_lists_or_need_a_gradient(digits):
    images = digits.images[:3]
    want = images.flatten(1).mean(1).double().numpy()
    scale = torch.ones((), requires_grad=True)
    for reward in (
        lambda x: x.flatten(1).mean(1).numpy(),
        lambda x: x.flatten(1).mean(1).tolist(),
        lambda x: x.flatten(1).mean(1) * scale,
        lambda x: x.flatten(1).mean(1)[:, None],  # as classifiers of one logit give them
        lambda x: x.flatten(1).mean(1).numpy()[:, None],
        lambda x: list(x.flatten(1).mean(1, keepdim=True)),
    ):
        np.testing.assert_allclose(evaluate(reward, images, HERE), want, rtol=1e-6)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_rewards_numbers_may_be_of_half_precision(kind, digits):
    for n in (1, 3):
        images = digits.images[:n]
        want = images.flatten(1).mean(1).to(kind)
        for reward in (lambda x: want[: len(x), None], lambda x: list(want)):  # noqa: B023
            found = evaluate(reward, images, HERE)
            assert found.dtype == np.float64
            np.testing.assert_array_equal(found, want.double())


def test_digit_rewards_refuse_other_images():
    for spec in ("realism", "novelty", "class_log_prob(1)", "proxy_logit(1)", "legibility"):
        with pytest.raises(InputError, match=r"digits of shape \(1, 8, 8\), .* \(3, 8, 8\)"):
            run(spec, torch.rand(2, 3, 8, 8))


@pytest.mark.skipif(find_spec("transformers") is not None, reason="transformers is there")
def test_rewards_of_clips_say_what_to_install():
    said = (
        "^pickscore's model is 'clip', which needs transformers, .* pip install 'raybilevel.text.'$"
    )
    with pytest.raises(InputError, match=said):
        load_reward("ink + pickscore('clip')", HERE)


def test_importing_the_rewards_does_not_import_torch():
    code = "import sys, raybilevel.rewards; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
