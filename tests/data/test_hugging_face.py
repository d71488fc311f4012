"""What Hugging Face's `datasets` reads of files beside parquet: tars, and its own folders."""

import io
import logging
import pickle
import tarfile

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from raybilevel.data import load
from raybilevel.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 5), dtype=np.uint8)


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def tar(path, **columns):
    """A tar in which sample i has a file `000i.<name>` for each column."""
    with tarfile.open(path, "w") as archive:
        for i in range(len(next(iter(columns.values()), []))):
            for name, contents in columns.items():
                entry = tarfile.TarInfo(f"{i:04d}.{name}")
                entry.size = len(contents[i])
                archive.addfile(entry, io.BytesIO(contents[i]))
    return str(path)


def table():
    columns = {"img": [{"bytes": png(p), "path": None} for p in PIXELS], "label": [4, 2] * 3}
    return datasets.Dataset.from_dict(columns).cast_column("img", datasets.Image())


def refused(spec, said):
    with pytest.raises(InputError, match=said) as caught:
        load(str(spec))
    assert "\n" not in str(caught.value)


def test_a_tar_is_read_with_its_classes(tmp_path):
    classes = [b"7", b"3", b"7", b"3", b"9", b"9"]
    data = load(tar(tmp_path / "a.tar", png=[png(p) for p in PIXELS], cls=classes))
    assert torch.equal(data.images[:][:, 0], torch.as_tensor(PIXELS) / 255)
    assert data.labels.tolist() == [1, 0, 1, 0, 2, 2]


def test_a_folder_of_tars_is_read_in_the_order_of_their_names(tmp_path):
    for name, part in (("b", PIXELS[:3]), ("a", PIXELS[3:])):
        tar(tmp_path / f"{name}.tar", png=[png(p) for p in part])
    data = load(str(tmp_path))
    assert torch.equal(data.images[:][:, 0], torch.as_tensor(PIXELS[[3, 4, 5, 0, 1, 2]]) / 255)


def test_a_tar_without_images_is_refused_with_what_it_has(tmp_path):
    refused(
        tar(tmp_path / "a.tar", txt=[b"hello"] * 3), "must have a column 'image', but it has txt"
    )
    refused(tar(tmp_path / "b.tar"), "b.tar' must be WebDataset tars of images")


def test_no_tar(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"hello, I am no tar" * 99)
    refused(tmp_path / "a.tar", "a.tar' must be WebDataset tars of images, .*: invalid header")


def test_nothing_in_a_tar_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("boom").touch, ())

    images, objects, weights = [png(p) for p in PIXELS], io.BytesIO(), io.BytesIO()
    np.save(objects, np.array([Bomb()], object), allow_pickle=True)
    torch.save(Bomb(), weights)
    load(tar(tmp_path / "a.tar", png=images, pickle=[pickle.dumps(Bomb())] * 6)).images[:]
    load(tar(tmp_path / "b.tar", png=images, pyd=[pickle.dumps(Bomb())] * 6)).images[:]
    refused(tar(tmp_path / "c.tar", png=images, npy=[objects.getvalue()] * 6), "allow_pickle=False")
    refused(tar(tmp_path / "d.tar", png=images, pth=[weights.getvalue()] * 6), "Weights only load")
    assert not (tmp_path / "boom").exists()
    pickle.loads(pickle.dumps(Bomb()))
    assert (tmp_path / "boom").exists()  # the bomb is live


def test_a_folder_of_save_to_disk_is_read_and_of_several_splits_the_training_one(tmp_path):
    table().save_to_disk(tmp_path / "one")
    splits = datasets.DatasetDict({"test": table().select([0, 1]), "train": table()})
    splits.save_to_disk(tmp_path / "two")
    for name in ("one", "two"):
        data = load(str(tmp_path / name))
        assert torch.equal(data.images[:][:, 0], torch.as_tensor(PIXELS) / 255)
        assert data.labels.tolist() == [1, 0, 1, 0, 1, 0]


def test_splits_of_which_none_is_the_training_one_are_refused(tmp_path):
    datasets.DatasetDict({"a": table(), "b": table()}).save_to_disk(tmp_path)
    refused(tmp_path, "has the splits a, b, but none named 'train'")


def test_reading_prints_nothing_and_leaves_bars_and_log_levels_as_they_were(tmp_path, capfd):
    levels = [logging.getLogger(name).level for name in ("datasets", "huggingface_hub")]
    load(tar(tmp_path / "a.tar", png=[png(p) for p in PIXELS]))
    refused(tar(tmp_path / "b.tar", png=[b"hello"] * 3, cls=[b"x"] * 3), "b.tar' must be")
    assert capfd.readouterr() == ("", "")
    assert not datasets.are_progress_bars_disabled()
    assert [logging.getLogger(name).level for name in ("datasets", "huggingface_hub")] == levels
