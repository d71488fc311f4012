"""Images of many sizes, brought to that of a network."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from raybilevel.data import Dataset, check_sizes, folds, framed, held, load, remark, shape_found
from raybilevel.errors import InputError

SIZES = [(8, 8), (8, 12), (30, 20), (16, 16)]


def picture(seed, height, width, colours=True):
    shape = (height, width, 3) if colours else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def tensor(image):
    """(3, H, W) in [0, 1] of RGB pixels (H, W, 3)."""
    return torch.tensor(np.array(image)).permute(2, 0, 1) / 255


@pytest.fixture
def folder(tmp_path):
    for i, size in enumerate(SIZES):
        Image.fromarray(picture(i, *size)).save(tmp_path / f"{i}.png")
    return tmp_path


def test_the_middle_is_resized_by_lanczos_and_what_has_the_size_stays_as_it_is(folder):
    data = framed(load(str(folder)), (8, 8))
    assert data.shape == (3, 8, 8)
    for i, size in enumerate(SIZES):
        wanted = ImageOps.fit(Image.fromarray(picture(i, *size)), (8, 8), Image.Resampling.LANCZOS)
        assert torch.equal(data.images[i : i + 1][0], tensor(wanted))
    assert torch.equal(data.images[:1][0], tensor(picture(0, 8, 8)))


def test_without_a_crop_all_of_an_image_is_squeezed(folder):
    found = framed(load(str(folder)), (8, 8), crop="none").images[2:3][0]
    wanted = Image.fromarray(picture(2, 30, 20)).resize((8, 8), Image.Resampling.LANCZOS)
    assert torch.equal(found, tensor(wanted))


def test_stripes_finer_than_a_pixel_become_grey_and_no_pattern(tmp_path):
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    for name in "ab":
        Image.fromarray(stripes).save(tmp_path / f"{name}.png")
    inner = framed(load(str(tmp_path)), (8, 8)).images[:][..., 2:-2]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.5), atol=0.02, rtol=0)


def test_a_remark_says_how_many_were_changed_and_how(folder):
    assert remark(framed(load(str(folder)), (8, 8))) == (
        "3 of 4 images are not 8 x 8 (height x width): the middle of each, in that aspect, is "
        "resized by Pillow's Lanczos filter"
    )
    assert "all of each is squeezed into it by" in remark(
        framed(load(str(folder)), (8, 8), crop="none")
    )
    Image.fromarray(picture(9, 8, 8, colours=False)).save(folder / "grey.png")
    assert remark(framed(load(str(folder)), (8, 8))).endswith(
        "; 1 of 5 images are grey, and repeated to RGB"
    )


def test_nothing_is_said_of_images_that_are_as_they_were(folder):
    for i in (1, 2, 3):
        (folder / f"{i}.png").write_bytes((folder / "0.png").read_bytes())
    assert remark(framed(load(str(folder)), (8, 8))) is None
    assert remark(load("digits")) is None


def test_images_smaller_than_the_network_are_refused_and_one_is_named(folder):
    data = framed(load(str(folder)), (16, 16))
    with pytest.raises(
        InputError, match=r"here has 2 of 4 images smaller than the 16 x 16 .*0.png"
    ):
        check_sizes(data, "here")
    with pytest.raises(
        InputError, match=r"1\.png' is 8 x 12, smaller than 16 x 16 .* never enlarged"
    ):
        data.images[1:2]
    check_sizes(framed(load(str(folder)), (8, 8)), "here")


def test_grey_images_are_repeated_for_a_network_of_colours_and_colours_are_found(tmp_path):
    grey = picture(0, 8, 8, colours=False)
    for name in "ab":
        Image.fromarray(grey).save(tmp_path / f"{name}.png")
    data = framed(load(str(tmp_path)), (8, 8), channels=3)
    assert torch.equal(data.images[:][0], torch.tensor(grey).expand(3, 8, 8) / 255)
    assert shape_found(framed(load(str(tmp_path)), (8, 8), channels=1)) == (1, 8, 8)
    Image.fromarray(picture(1, 8, 8)).save(tmp_path / "b.png")
    data = framed(load(str(tmp_path)), (8, 8), channels=1)
    assert shape_found(data) == (3, 8, 8)
    with pytest.raises(InputError, match=r"b\.png' has colours, but grey images are wanted"):
        data.images[:]


@pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
def test_arrays_are_resized_as_images_are(tmp_path, kind):
    array = np.stack([picture(i, 16, 12, colours=False) for i in range(3)]) // 4 + 96
    scale = 1 if kind == "uint8" else 255
    np.savez(tmp_path / "a.npz", images=(array / scale).astype(kind))
    found = framed(load(str(tmp_path / "a.npz")), (8, 8)).images[1:][0, 0]
    wanted = ImageOps.fit(Image.fromarray(array[1]), (8, 8), Image.Resampling.LANCZOS)
    tolerance = 0 if kind == "uint8" else 0.004
    torch.testing.assert_close(found, torch.tensor(np.array(wanted)) / 255, atol=tolerance, rtol=0)


def test_a_tensor_of_images_is_resized_too():
    images = torch.rand(3, 1, 16, 16)
    found = framed(Dataset(images), (8, 8)).images
    assert found.shape == (3, 1, 8, 8)
    assert found[:].min() >= 0 and found[:].max() <= 1


def test_folds_take_the_same_rows_of_images_on_disk_as_of_a_tensor(folder):
    whole = framed(load(str(folder)), (8, 8))
    for lazy, eager in zip(folds(whole, 0.5), folds(Dataset(whole.images[:]), 0.5), strict=True):
        assert torch.equal(lazy.images[:], eager.images)
        assert torch.equal(lazy.images[torch.tensor([1, 0, 1])], eager.images[[1, 0, 1]])


def test_held_images_are_the_same_and_a_byte_a_number(folder):
    images = folds(framed(load(str(folder)), (8, 8)), 0.5)[0].images
    kept = held(images)
    assert torch.equal(kept[:], images[:])
    assert kept.take(np.arange(2)).dtype == np.uint8
    assert held(images, most=2 * 3 * 8 * 8 - 1) is images
