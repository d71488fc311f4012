"""Parquet tables with encoded images."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from raybilevel.data import Columns, load
from raybilevel.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (300, 4, 5), dtype=np.uint8)


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def cells(pixels, struct=False):
    data = [png(p) for p in pixels]
    return [{"bytes": d, "path": f"{i}.png"} for i, d in enumerate(data)] if struct else data


def write(path, **columns):
    pq.write_table(pa.table(columns), path)
    return str(path)


def refused(path, said):
    with pytest.raises(InputError, match=said) as caught:
        load(str(path)).images[:]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("struct", [False, True])
def test_images_are_read_from_bytes_and_from_structs_as_hugging_face_writes_them(tmp_path, struct):
    rows = cells(PIXELS, struct)  # more than one batch
    data = load(write(tmp_path / "a.parquet", image=rows, label=[i % 3 + 4 for i in range(300)]))
    assert torch.equal(data.images[:][:, 0], torch.as_tensor(PIXELS) / 255)
    assert data.labels.tolist() == [i % 3 for i in range(300)]


def test_large_binary_is_bytes_too(tmp_path):
    rows = pa.array(cells(PIXELS[:2]), pa.large_binary())
    assert load(write(tmp_path / "a.parquet", image=rows)).shape == (1, 4, 5)


@pytest.mark.parametrize("name", ["label", "labels"])
def test_labels_may_be_strings_dictionaries_or_not_be_there(tmp_path, name):
    rows, labels = cells(PIXELS[:3]), pa.array(["emu", "ant", "emu"])
    for column in (labels, labels.dictionary_encode()):
        path = write(tmp_path / "a.parquet", image=rows, **{name: column})
        assert load(path).labels.tolist() == [1, 0, 1]
    assert load(write(tmp_path / "a.parquet", image=rows)).labels is None


def test_columns_go_by_the_names_of_public_tables_or_by_those_that_are_given(tmp_path):
    rows = cells(PIXELS[:3])
    path = write(tmp_path / "a.parquet", id=[7, 8, 9], img=rows, fine_label=[2, 2, 0])
    assert load(path).labels.tolist() == [1, 1, 0]
    path = write(tmp_path / "b.parquet", photo=rows, kind=["emu", "ant", "emu"], label=[0, 0, 0])
    data = load(path, Columns("photo", "kind"))
    assert torch.equal(data.images[:][:, 0], torch.as_tensor(PIXELS[:3]) / 255)
    assert data.labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize("given", [Columns("photos"), Columns(label="photos")])
def test_a_column_that_is_not_there_is_refused_with_those_that_are(tmp_path, given):
    path = write(tmp_path / "a.parquet", photo=cells(PIXELS[:2]), image=[0, 1])
    said = "data_options.*_column is 'photos', but data '.*' has the columns photo, image"
    with pytest.raises(InputError, match=said):
        load(path, given)


def test_a_file_that_changed_is_read_anew(tmp_path):
    for part in (PIXELS[:2], PIXELS[2:5]):
        data = load(write(tmp_path / "a.parquet", image=cells(part)))
        assert torch.equal(data.images[:][:, 0], torch.as_tensor(part) / 255)


def test_a_folder_is_read_in_the_order_of_its_files_and_train_goes_before_test(tmp_path):
    for i, name in enumerate("ba"):
        write(tmp_path / f"{name}.parquet", image=cells(PIXELS[2 * i : 2 * i + 2]), label=[i, i])
    data = load(str(tmp_path))
    assert torch.equal(data.images[:][:, 0], torch.as_tensor(PIXELS[[2, 3, 0, 1]]) / 255)
    assert data.labels.tolist() == [1, 1, 0, 0]
    write(tmp_path / "train-00000-of-00001.parquet", image=cells(PIXELS[:3]))
    assert len(load(str(tmp_path)).images) == 3


def test_a_folder_named_like_a_column_adds_no_column(tmp_path):
    folder = tmp_path / "label=3"
    folder.mkdir()
    assert load(write(folder / "a.parquet", image=cells(PIXELS[:2]))).labels is None


def test_a_file_without_a_column_of_images_is_refused_with_its_columns(tmp_path):
    path = write(tmp_path / "a.parquet", pixels=cells(PIXELS[:2]), label=[0, 1])
    refused(path, "must have a column 'image', but it has pixels, label; name")


@pytest.mark.parametrize("column", [["a.png", "b.png"], [{"path": "a.png"}] * 2, [1, 2]])
def test_a_column_of_images_that_is_not_of_bytes_is_refused(tmp_path, column):
    refused(write(tmp_path / "a.parquet", image=column), "must be binary, or a struct")


@pytest.mark.parametrize("empty", [None, b"", {"bytes": None, "path": "x"}])
def test_an_empty_row_is_named(tmp_path, empty):
    rows = [*cells(PIXELS[:2], struct=isinstance(empty, dict)), empty]
    refused(write(tmp_path / "a.parquet", image=rows), r"row 2 of '.*a.parquet' must hold")


def test_a_corrupt_image_is_named_by_its_row(tmp_path):
    rows = cells(PIXELS[:3])
    rows[1] = rows[1][:-40]
    refused(write(tmp_path / "a.parquet", image=rows), "row 1 of '.*' must be a whole image")
    rows[1] = b"hello"
    refused(write(tmp_path / "a.parquet", image=rows), "row 1 of '.*' must be a png, jpeg, bmp")


def test_mixed_sizes_are_named_by_their_rows(tmp_path):
    rows = [png(PIXELS[0]), png(PIXELS[0].T.copy())]
    refused(write(tmp_path / "a.parquet", image=rows), "row 0 .* is 4 x 5 and .*row 1 .* is 5 x 4")


@pytest.mark.parametrize("labels", [[0, None], [0.5, 1.0], [[0], [1]]])
def test_labels_that_are_missing_or_of_another_type_are_refused(tmp_path, labels):
    path = write(tmp_path / "a.parquet", image=cells(PIXELS[:2]), label=labels)
    refused(path, "column 'label' of type .* must be of integers or strings")


def test_labels_in_some_files_only_are_refused(tmp_path):
    write(tmp_path / "a.parquet", image=cells(PIXELS[:2]), label=[0, 1])
    write(tmp_path / "b.parquet", image=cells(PIXELS[:2]))
    refused(tmp_path, "b.parquet' must have a column 'label' or 'labels', as other files")


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_rows_are_refused(tmp_path, count):
    rows = pa.array(cells(PIXELS[:count]), pa.binary())
    refused(
        write(tmp_path / "a.parquet", image=rows), f"must hold at least 2 images, but holds {count}"
    )


def test_a_file_that_is_no_parquet_or_truncated_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    write(path, image=cells(PIXELS))
    for content in (b"", b"hello, I am no table", path.read_bytes()[:-100]):
        path.write_bytes(content)
        refused(path, "must be a whole parquet file")
