"""idx files, in a folder or by their own path."""

import gzip
import struct

import numpy as np
import pytest
import torch

from raybilevel.data import load
from raybilevel.errors import InputError

IMAGES = np.arange(5 * 3 * 4, dtype=np.uint8).reshape(5, 3, 4)
LABELS = np.array([7, 3, 7, 3, 9], np.uint8)


def idx(array):
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()


def write(folder, prefix="train-", images=IMAGES, labels=LABELS, end="", middle="-"):
    pack = gzip.compress if end else bytes
    path = folder / f"{prefix}images{middle}idx3-ubyte{end}"
    path.write_bytes(pack(idx(images)))
    if labels is not None:
        (folder / f"{prefix}labels{middle}idx1-ubyte{end}").write_bytes(pack(idx(labels)))
    return path


def refused(path, said):
    with pytest.raises(InputError, match=said) as caught:
        load(str(path)).images[:]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("middle", ["-", "."])
def test_a_file_of_images_is_read_with_the_labels_beside_it(tmp_path, end, middle):
    data = load(str(write(tmp_path, end=end, middle=middle)))
    assert data.images[:].dtype == torch.float32
    assert torch.equal(data.images[:][:, 0], torch.as_tensor(IMAGES) / 255)
    assert data.labels.tolist() == [1, 0, 1, 0, 2]


def test_a_folder_gives_the_training_files(tmp_path):
    write(tmp_path, "t10k-", IMAGES[:2], LABELS[:2])
    assert len(load(str(tmp_path)).images) == 2  # where there are no others
    write(tmp_path, "train-")
    assert len(load(str(tmp_path)).images) == 5


def test_a_file_that_is_there_both_gzipped_and_not_is_one_file(tmp_path):
    write(tmp_path, end="")
    write(tmp_path, end=".gz")
    assert len(load(str(tmp_path)).images) == 5


def test_labels_may_be_gzipped_where_the_images_are_not(tmp_path):
    path = write(tmp_path, labels=None)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS)))
    assert load(str(path)).labels.tolist() == [1, 0, 1, 0, 2]


def test_images_without_a_file_of_labels_have_none(tmp_path):
    assert load(str(write(tmp_path, labels=None))).labels is None


def test_several_candidates_in_a_folder_are_named(tmp_path):
    write(tmp_path, "a-")
    write(tmp_path, "b-")
    refused(tmp_path, "holds a-images-idx3-ubyte, b-images-idx3-ubyte: give the path of one")


@pytest.mark.parametrize("cut", [1, 40, 56])
def test_a_truncated_file_is_refused_with_what_it_promised(tmp_path, cut):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    refused(path, f"train-images-idx3-ubyte' holds {60 - cut} bytes, .* promises 5 x 3 x 4")


def test_a_truncated_gzip_file_is_refused(tmp_path):
    path = write(tmp_path, end=".gz")
    path.write_bytes(path.read_bytes()[:-10])
    refused(path, "must be a whole gzip file")


@pytest.mark.parametrize("content", [b"", b"\0\0\x08\x03", b"PNG" + bytes(60), idx(LABELS)])
def test_a_wrong_beginning_is_refused_with_the_right_one(tmp_path, content):
    path = write(tmp_path)
    path.write_bytes(content)
    refused(path, "idx file of images starts with '00 00 08 03'")


def test_labels_of_another_length_are_refused(tmp_path):
    refused(write(tmp_path, labels=LABELS[:4]), r"labels of shape \(4,\), but must have \(5,\)")


def test_a_single_image_is_refused(tmp_path):
    refused(
        write(tmp_path, images=IMAGES[:1], labels=None), "must hold at least 2 images, but holds 1"
    )


def test_a_header_of_huge_sizes_is_refused_without_allocating_them(tmp_path):
    path = write(tmp_path)
    path.write_bytes(bytes((0, 0, 8, 3)) + struct.pack(">3I", 0, 2**32 - 1, 2**32 - 1))
    refused(path, "promises 0 x 4294967295 x 4294967295")
