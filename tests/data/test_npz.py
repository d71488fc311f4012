"""npz archives."""

import io
import pickle
import zipfile

import numpy as np
import pytest
import torch

from raybilevel.data import Columns, load
from raybilevel.errors import InputError

GREY = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
RGB = np.arange(4 * 3 * 5 * 6, dtype=np.uint16).reshape(4, 3, 5, 6).astype(np.uint8)


@pytest.fixture
def saved(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "a.npz", **arrays)
        return str(tmp_path / "a.npz")

    return save


@pytest.fixture
def refused(saved):
    def refuse(said, **arrays):
        with pytest.raises(InputError, match=said) as caught:
            load(saved(**arrays))
        assert "\n" not in str(caught.value)

    return refuse


def test_grey_images_get_a_channel(saved):
    data = load(saved(images=GREY))
    assert torch.equal(data.images[:], torch.as_tensor(GREY)[:, None] / 255)
    assert data.labels is None


def test_channels_are_found_first_or_last(saved):
    first, last = load(saved(images=RGB)), load(saved(images=np.moveaxis(RGB, 1, 3)))
    assert first.shape == (3, 5, 6)
    assert torch.equal(first.images[:], torch.as_tensor(RGB) / 255)
    assert torch.equal(first.images[:], last.images[:])
    assert last.images[:].is_contiguous()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
def test_floats_stay_what_they_are(saved, dtype):
    half = np.full((2, 3, 3), 0.5, dtype)
    data = load(saved(images=half))
    assert data.images[:].dtype == torch.float32
    assert (data.images[:] == 0.5).all()


@pytest.mark.parametrize(
    "labels",
    [
        [5, -2, 5, 900],
        ["dog", "ant", "dog", "emu"],
        [b"d", b"a", b"d", b"e"],
        np.array([2**63, 0, 2**63, 2**64 - 1], np.uint64),
    ],
)
def test_labels_of_any_integers_or_strings_become_0_to_k_minus_1_in_their_order(saved, labels):
    data = load(saved(images=GREY, labels=np.array(labels)))
    assert data.labels.tolist() == [1, 0, 1, 2]
    assert data.labels.dtype == torch.int64


def test_sample_batches_of_guided_diffusion_are_read(saved):
    data = load(saved(arr_0=np.moveaxis(RGB, 1, 3), arr_1=np.array([3, 1, 3, 9])))
    assert torch.equal(data.images[:], torch.as_tensor(RGB) / 255)
    assert data.labels.tolist() == [1, 0, 1, 2]


def test_arrays_of_other_names_are_read_where_they_are_named(saved):
    path = saved(x_train=GREY, y_train=[0, 1, 0, 1])
    data = load(path, Columns("x_train", "y_train"))
    assert data.shape == (1, 5, 6)
    assert data.labels.tolist() == [0, 1, 0, 1]
    with pytest.raises(InputError, match=r"column is 'x', but data .* holds x_train, y_train"):
        load(path, Columns("x"))


def test_an_npy_of_images_is_read_with_the_labels_beside_it(tmp_path):
    np.save(tmp_path / "images.npy", GREY)
    assert load(str(tmp_path / "images.npy")).labels is None
    np.save(tmp_path / "labels.npy", [5, 2, 5, 2])
    data = load(str(tmp_path / "images.npy"))
    assert torch.equal(data.images[:], torch.as_tensor(GREY)[:, None] / 255)
    assert data.labels.tolist() == [1, 0, 1, 0]


def test_an_npy_of_objects_or_a_damaged_one_is_refused(tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, np.array([GREY, None], object), allow_pickle=True)
    for content in (path.read_bytes(), b"", b"hello"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="whole npy file of numbers, since nothing is unp"):
            load(str(path))


def test_an_archive_without_images_is_refused_with_what_it_holds(refused):
    refused("must hold an array 'images', but it holds x, labels", x=GREY, labels=GREY)


def test_nothing_is_ever_unpickled(saved, refused, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("boom").touch, ())

    objects = np.array([Bomb(), Bomb()], object)
    refused("array 'images' must be .* nothing is unpickled", images=objects)
    refused("array 'labels' must be .* nothing is unpickled", images=GREY[:2], labels=objects)
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match="not a whole zip file"):
        load(str(tmp_path / "b.npz"))
    assert not (tmp_path / "boom").exists()
    pickle.loads((tmp_path / "b.npz").read_bytes())
    assert (tmp_path / "boom").exists()  # the bomb is live


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.5, 255.0, np.inf, 1e300])
def test_floats_outside_0_to_1_are_refused(refused, wrong):
    images = np.full((2, 3, 3), 0.5)
    images[1, 2, 0] = wrong
    refused(r"float images from .* to .*, but they must be in \[0, 1\]", images=images)


@pytest.mark.parametrize("dtype", [np.int64, np.uint16, complex, "U1", bool])
def test_images_of_another_type_are_refused(refused, dtype):
    refused("must be uint8, or float", images=np.ones((2, 3, 3), dtype))


@pytest.mark.parametrize("shape", [(4,), (4, 9), (2, 5, 5, 4), (2, 3, 5, 3), (2, 1, 1, 5, 5)])
def test_images_of_another_or_an_ambiguous_shape_are_refused(refused, shape):
    refused(r"images of shape .*must be \(N, H, W\)", images=np.zeros(shape, np.uint8))


@pytest.mark.parametrize("labels", [[1, 2, 3], [[1], [2], [3], [4]], 7])
def test_labels_of_another_shape_are_refused(refused, labels):
    refused("labels of shape .* must have", images=GREY, labels=np.array(labels))


def test_labels_of_floats_are_refused(refused):
    refused("must be integers or strings", images=GREY, labels=np.ones(4))


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_images_are_refused(refused, count):
    refused(f"must hold at least 2 images, but holds {count}", images=GREY[:count])


def test_images_without_pixels_are_refused(refused):
    refused("without a pixel", images=np.zeros((2, 0, 5), np.uint8))


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_a_truncated_archive_is_refused(saved, tmp_path, keep):
    whole = io.BytesIO()
    np.savez(whole, images=GREY)
    data = whole.getvalue()
    (tmp_path / "a.npz").write_bytes(data[: int(keep * len(data))])
    with pytest.raises(InputError, match="not a whole zip file"):
        load(str(tmp_path / "a.npz"))


def test_a_damaged_array_is_refused(saved, tmp_path):
    path = tmp_path / "a.npz"
    saved(images=GREY)
    data = bytearray(path.read_bytes())
    data[250] ^= 255  # within the pixels: the checksum is wrong
    path.write_bytes(data)
    with pytest.raises(InputError, match="array 'images' must be whole"):
        load(str(path))


def test_a_member_that_is_no_array_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images", "hello")
    with pytest.raises(InputError, match="'images' must be an array"):
        load(str(tmp_path / "a.npz"))
