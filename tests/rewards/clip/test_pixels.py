import torch

from raybilevel.rewards.clip.pixels import PixelSettings

OPENAI = {
    "crop_size": 24, "do_center_crop": True, "do_normalize": True, "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": [0.5, 0.25, 0.0],
    "image_std": [0.5, 0.25, 1.0], "resample": 3, "size": 32,
}  # fmt: skip


def test_the_settings_of_the_first_published_models_are_numbers():
    settings = PixelSettings.read(OPENAI, "model")
    assert (settings.size, settings.crop, settings.square) == (32, (24, 24), 24)
    grey = torch.full((2, 1, 40, 60), 0.5)
    pixels = settings.prepare(grey)
    assert pixels.shape == (2, 3, 24, 24)
    torch.testing.assert_close(pixels[1, :, 0, 0], torch.tensor([0.0, 1.0, 0.5]))


def test_the_middle_of_an_image_is_what_is_left_of_it():
    image = torch.zeros(1, 1, 32, 64)
    image[..., 16:48] = 1
    whole = PixelSettings.read(OPENAI | {"do_normalize": False, "crop_size": 32}, "model")
    assert whole.prepare(image).min() == 1
    assert whole.prepare(image.transpose(2, 3)).min() == 1
