"""Data sets of the hub. A local folder in place of a repository has its files found likewise."""

import io
import json
from pathlib import Path

import datasets
import huggingface_hub.constants
import numpy as np
import pytest
import torch
from PIL import Image

from raybilevel.data import Columns, load
from raybilevel.data.hub import read_hub, read_hub_rows
from raybilevel.data.hugging_face import datasets_folder
from raybilevel.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
ROWS = [{"prompt": "a", "n": 1}, {"prompt": "b", "n": 2}, {"prompt": "c", "n": 3}]


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return {"bytes": out.getvalue(), "path": None}


def pictures(**columns):
    table = datasets.Dataset.from_dict({"img": [png(p) for p in PIXELS], **columns})
    return table.cast_column("img", datasets.Image())


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("offline")
def test_a_name_of_the_hub_that_is_neither_cached_nor_reachable_is_refused(run_in):
    said = "'nobody/nothing' is no path here, and as .* neither cached nor reach"
    with pytest.raises(InputError, match=said) as caught:
        load("nobody/nothing")
    assert "\n" not in str(caught.value)
    (run_in / "nobody/nothing").mkdir(parents=True)
    with pytest.raises(InputError, match=r"must hold png, .* but has none"):  # a path goes first
        load("nobody/nothing")


@pytest.mark.usefixtures("offline")
def test_what_is_cached_is_read_where_the_hub_cannot_be_reached(tmp_path):
    pictures(label=[4, 2, 4]).to_parquet(tmp_path / "cached" / "train.parquet")
    builder = datasets.load_dataset_builder(str(tmp_path / "cached"), cache_dir=datasets_folder())
    builder.download_and_prepare()
    kept = Path(datasets_folder(), "some___cached", "default", "0.0.0")  # as one of the hub is
    kept.mkdir(parents=True)
    Path(builder.cache_dir).rename(kept / "hash")
    assert read_hub("some/cached", Columns()).labels.tolist() == [1, 0, 1]
    assert read_hub_rows("some/cached", "x") == [{"label": 4}, {"label": 2}, {"label": 4}]


def test_what_a_repository_holds_is_read_as_on_the_hub(tmp_path):
    pictures(label=[4, 2, 4]).to_parquet(tmp_path / "one" / "train-00000-of-00001.parquet")
    data = read_hub(str(tmp_path / "one"), Columns())
    assert torch.equal(data.images[:][:, 0], torch.as_tensor(PIXELS) / 255)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "train.csv").write_text("image,label\na.png,0\n")
    with pytest.raises(InputError, match="two' must be images, parquet, Arrow or WebDataset tars"):
        read_hub(str(tmp_path / "two"), Columns())


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl", "parquet"])
def test_rows_are_those_of_the_training_split_from_tables_of_every_kind(tmp_path, kind):
    for split, rows in (("train", ROWS), ("test", ROWS[:1])):
        table, path = datasets.Dataset.from_list(rows), tmp_path / f"{split}.{kind}"
        if kind == "json":
            path.write_text(json.dumps(rows))
        else:
            getattr(table, f"to_{kind.removesuffix('l')}")(path)
    assert read_hub_rows(str(tmp_path), "x") == ROWS


def test_columns_of_bytes_are_left_out_of_rows_undecoded(tmp_path):
    columns = {"prompt": ["a", "b", "c"], "raw": [b"1", b"2", b"3"], "box": [[1.5], [], [2]]}
    nested = [[{"file": b"x"}]] * 3
    pictures(**columns, nested=nested).to_parquet(tmp_path / "train.parquet")
    rows = read_hub_rows(str(tmp_path), "x")
    assert rows[0] == {"prompt": "a", "box": [1.5]}
    pictures().to_parquet(tmp_path / "train.parquet")
    with pytest.raises(InputError, match=r"^x has but columns of bytes: img$"):
        read_hub_rows(str(tmp_path), "x")


def test_rows_are_of_tables_alone(tmp_path):
    Image.fromarray(PIXELS[0]).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"^x must be csv, json, text, parquet or Arrow$"):
        read_hub_rows(str(tmp_path), "x")
