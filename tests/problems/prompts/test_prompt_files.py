"""Prompts from lists, text files, tables, and data sets of the hub."""

import json

import datasets
import huggingface_hub.constants
import numpy as np
import pandas as pd
import pytest

from raybilevel.errors import InputError
from raybilevel.problems.prompts.prompt_files import read_hub_prompts, read_prompts
from raybilevel.problems.prompts.prompt_list import PromptList, groups_of

ROWS = [
    {"prompt": "a cat", "count": 1, "answer": "x"},
    {"prompt": "a dog", "count": 2, "answer": "y"},
    {"prompt": "a cat", "count": 1, "answer": "x"},
    {"prompt": "a cat", "count": 3, "answer": "x"},
]


def test_equal_prompts_are_merged_and_count_as_often_as_given():
    read = read_prompts(["b", "a", "b", "b"])
    assert read.conditions == ("b", "a")
    assert read.shares.tolist() == [0.75, 0.25]
    assert read.metadata is None


def test_a_class_label_is_no_name_that_looks_like_it():
    assert read_prompts([1, "1", 1]).conditions == (1, "1")


def test_a_text_file_has_a_prompt_a_line(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("ein Kätzchen\n\n  a dog \nein Kätzchen\n", encoding="utf-8")
    assert read_prompts(str(path)).conditions == ("ein Kätzchen", "a dog")


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_tables_other_columns_are_metadata(tmp_path, kind):
    path = tmp_path / f"prompts.{kind}"
    frame = pd.DataFrame(ROWS)
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "csv":
        frame.to_csv(path, index=False)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    read = read_prompts(str(path))
    assert read.conditions == ("a cat", "a dog", "a cat")
    assert read.metadata is not None
    assert [int(row["count"]) for row in read.metadata] == [1, 2, 3]  # texts in csv
    np.testing.assert_array_equal(read.shares, [0.5, 0.25, 0.25])


def test_a_table_of_prompts_alone_has_no_metadata(tmp_path):
    pd.DataFrame({"prompt": ["a", "b"]}).to_csv(tmp_path / "p.csv", index=False)
    assert read_prompts(str(tmp_path / "p.csv")).metadata is None


def test_rows_are_what_a_table_has_and_nothing_more(tmp_path):
    """GenEval's metadata: lists, keys that some rows lack, numbers that are texts."""
    rows = [{"prompt": "007", "tag": "001", "include": [1]}, {"prompt": "a", "n": 2, "weight": 3}]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = read_prompts(str(path))
    assert read.conditions == ("007", "a")
    assert read.metadata == ({"tag": "001", "include": [1]}, {"n": 2})
    assert read.shares.tolist() == [0.25, 0.75]


def test_prompts_of_csv_may_have_commas_in_quotes_and_a_mark_of_windows(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text('\ufeffprompt,tag\n"a cat, sitting",NA\nnull,7\n', encoding="utf-8")
    read = read_prompts(str(path))
    assert read.conditions == ("a cat, sitting", "null")
    assert read.metadata == ({"tag": "NA"}, {"tag": "7"})


def test_metadata_that_differ_in_the_middle_are_two_prompts(tmp_path):
    vectors = [list(range(2000)), [*range(1000), -1, *range(1001, 2000)]]
    frame = pd.DataFrame({"prompt": ["a", "a"], "vector": vectors})
    frame.to_parquet(tmp_path / "p.parquet")
    assert len(read_prompts(str(tmp_path / "p.parquet"))) == 2
    arrays = [{"vector": np.array(v)} for v in vectors]
    assert len(PromptList.of(["a", "a"], arrays)) == 2


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.txt", None, "cannot be read (["),
        ("none.csv", None, "cannot be read (["),
        ("empty.txt", "\n \n", "is empty; give at least one"),
        ("empty.csv", "prompt\n", "is empty; give at least one"),
        ("a.csv", "text,count\na,1\n", "has no prompt in row 1, whose columns are text, count;"),
        ("a.csv", "prompt\na cat, sitting\n", "row 1 has not as many fields as the header"),
        ("a.csv", 'prompt\n"a cat\na dog\n', "cannot be read (unexpected end of data"),
        ("a.csv", "prompt,weight\na,1\nb,0\n", "has the weight '0' in row 2, but it must be a"),
        ("a.jsonl", '{"prompt": null}\n', "has no prompt in row 1, whose columns are prompt;"),
        ("a.jsonl", "[1]\n", "a line is no object"),
        ("a.jsonl", "{\n", "cannot be read (Expecting"),
        ("a.parquet", "no parquet", "cannot be read ("),
    ],
)
def test_what_holds_no_prompts_is_refused_by_name(tmp_path, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError) as refused:
        read_prompts(str(path))
    assert str(refused.value).startswith(f"prompts '{path}'")
    assert said in str(refused.value)


def test_prompts_of_the_hub_are_a_table_as_others_are(tmp_path):
    """A local folder in place of a repository, as in tests/data/test_hub.py."""
    frame = pd.DataFrame(ROWS).assign(group="g", weight=[2, 1, 1, 1])
    frame.to_csv(tmp_path / "p.csv", index=False)
    read = read_hub_prompts(str(tmp_path))
    assert read.conditions == ("a cat", "a dog", "a cat")
    assert read.metadata[1] == {"count": 2, "answer": "y", "group": "g"}
    assert read.groups == ("g",) * 3
    assert read.shares.tolist() == [0.6, 0.2, 0.2]
    read_hub_prompts(str(tmp_path)).check_same(read.digest)


@pytest.mark.parametrize("column", ["Prompt", "caption", "text"])
def test_prompts_of_the_hub_may_be_in_a_column_of_another_usual_name(tmp_path, column):
    rows = [{"text": "no", column: "a"}, {"text": "no", column: "b"}]
    frame = pd.DataFrame(rows).assign(image=b"x")
    frame.assign(n=1).to_parquet(tmp_path / "train.parquet")
    assert read_hub_prompts(str(tmp_path)).conditions == ("a", "b")
    assert "image" not in read_hub_prompts(str(tmp_path)).metadata[0]


def test_a_text_file_of_the_hub_has_a_prompt_a_line(tmp_path):
    (tmp_path / "train.txt").write_text("a cat\n\n  a dog \n")
    read = read_hub_prompts(str(tmp_path))
    assert (read.conditions, read.metadata) == (("a cat", "a dog"), None)


def test_what_holds_no_prompts_on_the_hub_is_refused_by_name(tmp_path):
    pd.DataFrame({"n": [1]}).to_csv(tmp_path / "p.csv", index=False)
    said = "whose columns are n; prompts are in a column 'prompt' or 'Prompt' or 'caption' or 'te"
    with pytest.raises(InputError, match=said) as refused:
        read_hub_prompts(str(tmp_path))
    assert str(refused.value).startswith(f"prompts '{tmp_path}' has no prompt in row 1")


def test_a_path_goes_before_the_hub_and_what_ends_as_a_file_is_none_of_it(run_in, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    said = r"^prompts 'my/list' is no path here, and as .* neither cached nor reachable$"
    with pytest.raises(InputError, match=said):
        read_prompts("my/list")
    for given in ("my/list.txt", "my/list.csv", "./my/list", "list"):
        with pytest.raises(InputError, match=r"cannot be read \(\[Errno 2\] No such file"):
            read_prompts(given)
    (run_in / "my").mkdir()
    (run_in / "my" / "list").write_text("a cat\n")
    assert read_prompts("my/list").conditions == ("a cat",)


def test_an_empty_list_is_refused():
    with pytest.raises(InputError, match=r"^prompts is empty; give at least one$"):
        read_prompts([])


def test_a_list_of_prompts_can_be_made_of_pairs():
    made = PromptList.of(["a", "a"], [{"n": 1}, {"n": 2}])
    assert len(made) == 2


def test_a_run_goes_on_with_the_prompts_it_began_with_alone():
    digest = read_prompts(["a", "b"]).digest
    read_prompts(["a", "b", "a", "b"]).check_same(digest)
    for others in (["b", "a"], ["a", "b", "a"], ["a"]):
        with pytest.raises(InputError, match="prompts are not those that the run began with"):
            read_prompts(others).check_same(digest)


def test_a_prompt_without_a_group_is_named_where_others_have_one():
    some = PromptList.of(["a", "b"], [{"group": "x"}, {"group": None}])
    assert some.groups is None
    with pytest.raises(InputError, match=r"^prompts has no group for 'b'; give every prompt one$"):
        groups_of(some, "prompts")
