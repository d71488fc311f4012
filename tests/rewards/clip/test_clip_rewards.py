import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch
from lower.hub_server import OLDER, serving
from PIL import Image
from rewards.clip.tiny_clip import EDGE, FEATURES, clip_model, image_processor, save_clip
from safetensors.torch import save_file
from transformers import AutoTokenizer, CLIPModel

from raybilevel.errors import InputError
from raybilevel.rewards import evaluate, load_reward, pinned, reads
from raybilevel.rewards.clip import encoder
from raybilevel.rewards.clip.pixels import PixelSettings

HERE = "lower_reward"
PROMPTS = ["a red cat", "dog", "cat by cat by red cat by a dog by a cat", "", "a red cat"]
GREY_LEVEL = 1 / 255


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    file = tmp_path_factory.mktemp("head") / "linear.safetensors"
    weight = torch.linspace(-1, 1, FEATURES)[None]
    save_file({"weight": weight, "bias": torch.tensor([5.0])}, file)
    return file


@pytest.fixture(scope="module")
def pictures():
    """Smooth ones, which scores tell apart; each PIL image and its pixels are the same."""
    noise = torch.rand(5, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(noise, (48, 80), mode="bicubic").clamp(0, 1)
    levels = (smooth * 255).round().byte()
    pil = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in levels]
    return pil, levels / 255


def loaded(name, clip, **arguments):
    given = ", ".join(
        f"{key}={value!r}" for key, value in ({"model": str(clip)} | arguments).items()
    )
    return load_reward(f"{name}({given})", HERE)


def stock(clip, pil):
    """What transformers' own call gives for images and prompts, one of each."""
    model, tokenizer = CLIPModel.from_pretrained(clip), AutoTokenizer.from_pretrained(clip)
    tokens = tokenizer(PROMPTS, padding=True, truncation=True, max_length=16, return_tensors="pt")
    pixels = image_processor()(pil, return_tensors="pt")
    with torch.no_grad():
        return model(**tokens, **pixels), model


def scores(reward, images, prompts=PROMPTS):
    return evaluate(reward, images, HERE, prompts)


def test_scores_are_those_of_the_stock_call_to_the_rounding_of_pil(clip, head, pictures):
    pil, images = pictures
    given, model = stock(clip, pil)
    logits = given.logits_per_image.diag().numpy()
    similarity = scores(loaded("clip_similarity", clip), images)
    assert np.ptp(similarity) > 0.2
    # Random weights are touchy: half a grey level of noise moves the similarity as much.
    scale = model.logit_scale.exp().item()
    np.testing.assert_allclose(similarity, logits / scale, atol=0.03)
    np.testing.assert_allclose(scores(loaded("pickscore", clip), images), logits, atol=0.03 * scale)
    score = given.image_embeds @ torch.linspace(-1, 1, FEATURES) + 5
    found = scores(loaded("aesthetic", clip, head=str(head)), images)
    assert np.ptp(found) > 0.1
    np.testing.assert_allclose(found, score, atol=0.03)


def test_scores_of_images_that_pil_need_not_resize_are_those_of_the_stock_call(clip, pictures):
    pil, images = pictures
    pil, images = [p.crop((3, 5, 3 + EDGE, 5 + EDGE)) for p in pil], images[..., 5:37, 3:35]
    given, _ = stock(clip, pil)
    found = scores(loaded("pickscore", clip), images)
    np.testing.assert_allclose(found, given.logits_per_image.diag(), rtol=1e-5, atol=1e-5)


def test_the_perceptron_is_laions(clip, pictures, tmp_path):
    widths, places = (FEATURES, 1024, 128, 64, 16, 1), (0, 2, 4, 6, 7)
    layers = torch.nn.Sequential(*(torch.nn.Linear(a, b) for a, b in pairwise(widths)))
    named = {
        f"layers.{place}.{name}": value.detach()
        for place, layer in zip(places, layers, strict=True)
        for name, value in layer.named_parameters()
    }
    torch.save(named, tmp_path / "head.pth")
    pil, images = pictures
    found = scores(loaded("aesthetic", clip, head=str(tmp_path / "head.pth")), images)
    with torch.no_grad():
        want = layers(stock(clip, pil)[0].image_embeds)[:, 0]
    np.testing.assert_allclose(found, want, atol=0.01)


def test_the_gradient_to_the_pixels_is_that_of_a_finite_difference(clip, head, pictures):
    reward = load_reward(
        f"clip_similarity(model='{clip}') + aesthetic(head='{head}', model='{clip}')", HERE
    )
    images = pictures[1][:2].double().clamp(0.1, 0.9)  # where nothing is clipped
    direction = torch.randn(images.shape, generator=torch.Generator().manual_seed(1)).double()
    moved = images.clone().requires_grad_()
    scores(reward, moved, PROMPTS[:2])  # which leaves features without a gradient
    reward(moved, PROMPTS[:2]).sum().backward()
    slope = float((moved.grad * direction).sum())
    up, down = (
        scores(reward, images + step * direction, PROMPTS[:2]).sum() for step in (1e-3, -1e-3)
    )
    assert abs(slope) > 0.05
    np.testing.assert_allclose(slope, (up - down) / 2e-3, rtol=0.02)


def test_one_clip_serves_all_rewards_and_encodes_the_same_images_once(
    clip, head, pictures, monkeypatch
):
    loads, encoded = [], []
    stock_load, stock_encode = CLIPModel.from_pretrained, encoder.ClipEncoder._encoded
    monkeypatch.setattr(
        CLIPModel, "from_pretrained",
        lambda *args, **named: loads.append(args) or stock_load(*args, **named),
    )  # fmt: skip
    monkeypatch.setattr(
        encoder.ClipEncoder, "_encoded",
        lambda self, *args: encoded.append(args) or stock_encode(self, *args),
    )  # fmt: skip
    names = {"clip_similarity": {}, "pickscore": {}, "aesthetic": {"head": str(head)}}
    rewards = [loaded(name, clip, **more) for name, more in names.items()]
    assert not loads  # a client that only asks what is read has no weights
    images = pictures[1].clone()
    before = [scores(reward, images) for reward in rewards]
    assert len(loads) == len(encoded) == 1
    images.mul_(0.5)
    after = [scores(reward, images) for reward in rewards]
    assert len(encoded) == 2
    assert all((a != b).all() for a, b in zip(after, before, strict=True))


def test_other_batches_and_other_prompts_beside_it_give_a_sample_the_same_score(clip, pictures):
    images = pictures[1]
    whole = scores(loaded("clip_similarity", clip), images)
    for size in (1, 2, 5):
        found = scores(loaded("clip_similarity", clip, batch_size=size), images)
        np.testing.assert_allclose(found, whole, atol=1e-6)
    alone = [
        scores(loaded("clip_similarity", clip), images[i : i + 1], PROMPTS[i : i + 1])[0]
        for i in range(len(images))
    ]
    np.testing.assert_allclose(alone, whole, atol=1e-6)


def test_16_bits_score_nearly_the_same(clip, pictures):
    whole = scores(loaded("clip_similarity", clip), pictures[1])
    found = scores(loaded("clip_similarity", clip, dtype="bfloat16"), pictures[1])
    np.testing.assert_allclose(found, whole, atol=0.05)
    assert (found != whole).any()


def test_images_of_one_channel_are_grey_ones_of_three(clip, pictures):
    grey = pictures[1].mean(1, keepdim=True)
    reward = loaded("clip_similarity", clip)
    np.testing.assert_array_equal(scores(reward, grey), scores(reward, grey.repeat(1, 3, 1, 1)))


def test_loading_draws_no_random_numbers(clip, pictures):
    state = torch.random.get_rng_state()
    scores(loaded("clip_similarity", clip, dtype="float16"), pictures[1][:1], PROMPTS[:1])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_each_reads_is_known_without_its_weights(clip, head):
    assert reads(loaded("clip_similarity", clip)) == ("images", "prompts")
    assert reads(loaded("pickscore", clip)) == ("images", "prompts")
    assert reads(loaded("aesthetic", clip, head=str(head))) == ("images",)


@pytest.mark.parametrize(
    ("size", "more"),
    [
        ((48, 80), {}),
        ((33, 40), {}),
        ((9, 8), {}),
        ((100, 50), {"size": {"height": 40, "width": 32}, "resample": 2}),
        ((20, 24), {"do_resize": False}),
        ((40, 40), {"do_center_crop": False, "do_normalize": False}),
    ],
    ids=str,
)
def test_pixels_are_those_of_the_processor_to_a_grey_level(size, more):
    noise = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(2))
    smooth = torch.nn.functional.interpolate(noise, size, mode="bilinear")
    levels = (smooth * 255).round().byte()
    pil = Image.fromarray(levels[0].permute(1, 2, 0).numpy())
    processor = image_processor(**more)
    want = processor(pil, return_tensors="pt").pixel_values
    settings = PixelSettings.read(json.loads(processor.to_json_string()), HERE)
    found = settings.prepare(levels / 255)
    assert found.shape == want.shape
    levels = (found - want).abs() * torch.tensor(settings.std)[:, None, None] / GREY_LEVEL
    assert levels.max() <= 1.25  # PIL rounds to levels after the width, and after the height
    assert levels.mean() <= 0.35


def refusal(name, clip, **arguments):
    with pytest.raises(InputError) as refused:
        loaded(name, clip, **arguments)
    return str(refused.value).replace(str(clip), "HERE")


@pytest.fixture
def copy(clip, tmp_path):
    return shutil.copytree(clip, tmp_path / "copy")


def test_weights_that_would_have_to_be_unpickled(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    assert refusal("pickscore", copy) == (
        "pickscore's model 'HERE' has no model.safetensors, and weights in other files would have "
        "to be unpickled; save it by save_pretrained, or give a model that has it"
    )


def test_weights_in_several_files(clip, pictures, tmp_path):
    clip_model().save_pretrained(tmp_path, max_shard_size="10KB")
    assert not (tmp_path / "model.safetensors").exists()
    found = scores(loaded("pickscore", tmp_path, processor=str(clip)), pictures[1])
    np.testing.assert_allclose(found, scores(loaded("pickscore", clip), pictures[1]), rtol=1e-5)


def test_weights_that_are_not_whole(copy, pictures):
    state = {
        name: value for name, value in clip_model().state_dict().items() if "visual" not in name
    }
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    reward = loaded("clip_similarity", copy)
    with pytest.raises(InputError, match=r"^clip_similarity's model '.*' lacks weights, such as v"):
        scores(reward, pictures[1])


def test_a_model_that_is_no_clip(copy):
    (copy / "config.json").write_text(json.dumps({"model_type": "siglip"}))
    assert refusal("aesthetic", copy) == (
        "aesthetic's model 'HERE' is a siglip; give a model that is a clip"
    )


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "tokenizer.json"])
def test_files_that_are_not_there(copy, file):
    (copy / file).unlink()
    assert refusal("clip_similarity", copy).startswith(
        f"clip_similarity's model 'HERE' has no {file}; give "
    )


def test_a_file_that_is_damaged(copy):
    (copy / "preprocessor_config.json").write_text("{")
    said = refusal("clip_similarity", copy)
    assert said.startswith("clip_similarity's model 'HERE' is damaged: HERE/preprocessor_config.j")


def test_a_processor_that_makes_images_of_another_size(clip, copy):
    image_processor(size=24, crop_size=24).save_pretrained(copy)
    said = refusal("pickscore", clip, processor=str(copy))
    assert said.endswith(
        "makes images 24 pixels wide, but the model reads 32; give processor a model that makes "
        "those"
    )


def test_images_made_by_another_filter(copy):
    image_processor(resample=1).save_pretrained(copy)
    assert refusal("pickscore", copy) == (
        "pickscore's model 'HERE' makes images by resample 1 and do_rescale True, but what is done "
        "here is 2 or 3 and true"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"dtype": "int8"}, "clip_similarity's model has dtype 'int8', but it is one of float32, "
         "bfloat16, float16"),
        ({"batch_size": 0}, "clip_similarity has batch_size 0, but it must be at least 1"),
        ({"batch_size": 2.0}, "clip_similarity has batch_size 2.0, but it must be at least 1"),
    ],
)  # fmt: skip
def test_arguments_that_are_none(clip, arguments, said):
    assert refusal("clip_similarity", clip, **arguments) == said


def test_images_of_another_shape(clip):
    for shape in ((2, 4, 8, 8), (2, 8)):
        with pytest.raises(InputError, match=r"reads images \(N, 1 or 3, height, width\), not \(2"):
            scores(loaded("clip_similarity", clip), torch.zeros(shape), PROMPTS[:2])


def test_a_head_for_other_features(clip, head, tmp_path):
    save_file({"weight": torch.zeros(1, 768), "bias": torch.zeros(1)}, tmp_path / "h.safetensors")
    said = refusal("aesthetic", clip, head=str(tmp_path / "h.safetensors"))
    assert said.endswith(
        "is no head for features of 12 numbers, which the model gives: it must hold a weight "
        "(1, 12) and a bias, or layers.0, 2, 4, 6 and 7 as LAION's predictor"
    )


def test_a_head_that_would_have_to_be_unpickled(clip, tmp_path):
    torch.save(torch.nn.Linear(FEATURES, 1), tmp_path / "head.pth")
    said = refusal("aesthetic", clip, head=str(tmp_path / "head.pth"))
    assert said.endswith(
        "is no file of tensors alone, and nothing else is read; save the head's state_dict by "
        "safetensors"
    )


def test_a_head_that_is_not_there(clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal("aesthetic", clip, head="heads/mine.pth") == (
        f"aesthetic's head is 'heads/mine.pth', which is no file in {tmp_path}, and no file of the "
        "hub such as 'owner/name/file.safetensors'"
    )


def test_a_reward_that_is_pinned_reads_the_commit_that_its_branch_has_left(
    clip, copy, pictures, tmp_path, monkeypatch
):
    with serving(monkeypatch, tmp_path / "cache") as hub:
        hub.publish("them/clip", clip, OLDER)
        spec = pinned("clip_similarity(model='them/clip')")
        (copy / "config.json").unlink()
        hub.publish("them/clip", copy)
        found = scores(load_reward(spec, HERE), pictures[1])
        with pytest.raises(InputError, match=r"has no config\.json"):
            load_reward("clip_similarity(model='them/clip')", HERE)
    np.testing.assert_array_equal(found, scores(loaded("clip_similarity", clip), pictures[1]))
