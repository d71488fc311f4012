"""Folders of image files, and what Pillow makes of them."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from raybilevel.data import load
from raybilevel.data.pictures import decoded, shape_of
from raybilevel.errors import InputError

GREY = np.random.default_rng(0).integers(0, 256, (4, 5), dtype=np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (4, 5, 3), dtype=np.uint8)


def write(path, pixels=GREY, **options):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def refused(path, said):
    with pytest.raises(InputError, match=said) as caught:
        load(str(path)).images[:]
    assert "\n" not in str(caught.value)


def seen(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return decoded(out.getvalue(), "here")


def test_a_flat_folder_gives_its_images_sorted_by_name_without_labels(tmp_path):
    write(tmp_path / "b.png")
    write(tmp_path / "a.png", 255 - GREY)
    data = load(str(tmp_path))
    assert torch.equal(data.images[:][:, 0], torch.as_tensor(np.stack([255 - GREY, GREY])) / 255)
    assert data.labels is None


def test_sub_folders_are_the_classes_in_the_order_of_their_names(tmp_path):
    for name in ("dog/1.png", "dog/2.png", "ant/3.png"):
        write(tmp_path / name)
    assert load(str(tmp_path)).labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "bmp", "webp", "gif", "tiff", "PNG"])
def test_each_kind_of_image_is_read(tmp_path, suffix):
    for name in "ab":
        write(tmp_path / f"{name}.{suffix}", np.full((4, 5, 3), 51, np.uint8))
    data = load(str(tmp_path))
    assert data.shape == (3, 4, 5)
    torch.testing.assert_close(data.images[:], torch.full((2, 3, 4, 5), 0.2), atol=0.01, rtol=0)


def test_other_and_hidden_files_are_passed_over(tmp_path):
    for name in "ab":
        write(tmp_path / f"{name}.png")
    for name in ("README.txt", "Thumbs.db", "._a.png"):
        (tmp_path / name).write_text("hello")
    (tmp_path / ".cache").mkdir()
    assert len(load(str(tmp_path)).images) == 2


def test_grey_becomes_rgb_where_any_image_is_rgb(tmp_path):
    write(tmp_path / "a.png", GREY)
    write(tmp_path / "b.png", RGB)
    data = load(str(tmp_path))
    assert data.shape == (3, 4, 5)
    assert torch.equal(data.images[:][0], torch.as_tensor(GREY).expand(3, 4, 5) / 255)
    assert torch.equal(data.images[:][1], torch.as_tensor(RGB).permute(2, 0, 1) / 255)


def test_transparency_becomes_white():
    alpha = np.array([[0, 255]], np.uint8)
    red = np.broadcast_to(np.array([200, 0, 0], np.uint8), (1, 2, 3))
    assert seen(Image.fromarray(np.dstack([red, alpha]))).tolist() == [
        [[255, 200]], [[255, 0]], [[255, 0]]
    ]  # fmt: skip
    grey = np.dstack([np.full((1, 2), 9, np.uint8), alpha])
    assert seen(Image.fromarray(grey)).tolist() == [[[255, 9]]]
    assert seen(Image.fromarray(grey[..., 0]), transparency=9).tolist() == [[[255, 255]]]


def test_palettes_become_rgb_and_bits_become_grey():
    assert np.array_equal(seen(Image.fromarray(RGB).quantize(256)), RGB.transpose(2, 0, 1))
    bits = np.array([[True, False]])
    assert seen(Image.fromarray(bits)).tolist() == [[[255, 0]]]


def test_16_bit_grey_is_rounded_to_8_bits():
    deep = np.array([[0, 128, 129, 257, 65535]], np.uint16)
    assert seen(Image.fromarray(deep)).tolist() == [[[0, 0, 1, 1, 255]]]


def test_a_tiff_of_16_bits_is_rounded_too_and_one_of_floats_is_refused():
    deep = np.array([[0, 128, 129, 257, 65535]], np.uint16)
    assert seen(Image.fromarray(deep), "TIFF").tolist() == [[[0, 0, 1, 1, 255]]]
    with pytest.raises(InputError, match="here must have pixels of 8 or 16 bits"):
        seen(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF")


def test_of_a_gif_the_first_frame_is_taken():
    frames = [Image.fromarray(np.full((2, 2), grey, np.uint8)) for grey in (9, 200)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    assert decoded(out.getvalue(), "here").tolist() == [[[9, 9], [9, 9]]] * 3


def test_photographs_are_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    for kind in ("PNG", "JPEG"):
        out = io.BytesIO()
        Image.fromarray(GREY).save(out, kind, exif=exif)
        assert decoded(out.getvalue(), "here").shape == (1, 5, 4)
        assert shape_of(out.getvalue(), "here") == (1, 5, 4)


def test_cmyk_becomes_rgb():
    assert seen(Image.fromarray(RGB).convert("CMYK"), "JPEG").shape == (3, 4, 5)


def test_mixed_sizes_are_refused_with_two_files_and_their_sizes(tmp_path):
    write(tmp_path / "a.png")
    write(tmp_path / "b.png", GREY.T.copy())
    refused(tmp_path, r"a.png' is 4 x 5 and data '.*b.png' is 5 x 4 \(height x width\)")


@pytest.mark.parametrize("content", [b"", b"hello"])
def test_a_file_that_is_no_image_is_named(tmp_path, content):
    write(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(content)
    refused(tmp_path, "b.png' must be a png, jpeg, bmp, webp, gif or tiff image, but is not$")


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "webp", "gif", "tif"])
def test_a_truncated_image_is_named(tmp_path, kind):
    path = tmp_path / f"b.{kind}"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    for file in (tmp_path / "a.png", path):
        write(file, pixels)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(tmp_path, f"b.{kind}' must be a")


def test_an_image_of_too_many_pixels_is_named_and_not_decoded(tmp_path, monkeypatch):
    for name in "ab":
        write(tmp_path / f"{name}.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    refused(tmp_path, "a.png' must be a whole image, but: Image size .* exceeds limit")


def test_a_format_with_a_known_suffix_that_is_not_of_the_six_is_refused(tmp_path):
    for name in "ab":
        Image.fromarray(GREY).save(tmp_path / f"{name}.png", "PPM")
    refused(tmp_path, "a.png' must be a png, jpeg, bmp, webp, gif or tiff image")


def test_an_empty_folder_is_refused_with_what_it_should_hold(tmp_path):
    refused(tmp_path, "must hold png, jpg, .* gif or tiff images, or idx, parquet or tar files")


def test_a_single_image_is_refused(tmp_path):
    write(tmp_path / "a.png")
    refused(tmp_path, "must hold at least 2 images, but holds 1")


def test_a_class_without_images_is_refused_by_its_name(tmp_path):
    write(tmp_path / "ant/a.png")
    (tmp_path / "train").mkdir()
    refused(tmp_path, "sub-folder '.*train' must hold png, .* images, but has none")


def test_both_images_and_sub_folders_are_refused(tmp_path):
    write(tmp_path / "a.png")
    write(tmp_path / "ant/a.png")
    refused(tmp_path, "holds both 'a.png' and the sub-folder 'ant'")


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    write(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    refused(tmp_path, "cannot be read: .*No such file or directory: '.*b.png'")
