"""Tables of samples that are there already: what is read of them, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest

from raybilevel.errors import InputError
from raybilevel.problems.prompts.prompt_files import read_prompts
from raybilevel.problems.prompts.prompt_list import groups_of
from raybilevel.problems.reward.pool_files import read_pool

COLUMNS = {"upper": "hps", "lower.a": "clip"}
FRAME = pd.DataFrame(
    {
        "prompt": ["a cat", "007", "a cat", "007", "a cat"],
        "clip": [1, 2, 3, 4, 5.5],
        "hps": [0, 1, 0, 1, 1],
        "group": ["thin", "thick", "thin", "thick", "thin"],
        "weight": [1, 3, 1, 3, 1],
        "note": ["x", "", "y, z", "7", "NA"],
    }
)


def written(folder, kind, frame=FRAME):
    path = folder / f"rewards.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "csv":
        frame.to_csv(path, index=False)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in frame.to_dict("records")))
    return str(path)


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_table_is_read_alike_from_every_kind_of_file(tmp_path, kind):
    read = read_pool(written(tmp_path, kind), COLUMNS)
    assert read.rewards.keys() == COLUMNS.keys()
    assert read.rewards["upper"].tolist() == [0, 1, 0, 1, 1]
    assert read.rewards["lower.a"].tolist() == [1, 2, 3, 4, 5.5]
    assert read.prompts.conditions == ("a cat", "007")
    assert read.prompts.groups == ("thin", "thick")
    assert read.prompts.shares.tolist() == [0.25, 0.75]  # a prompt's weight, not its rows'
    assert read.of.tolist() == [0, 1, 0, 1, 0]


def test_without_weights_a_prompt_counts_as_often_as_it_has_rows(tmp_path):
    read = read_pool(written(tmp_path, "csv", FRAME.drop(columns=["weight", "group"])), COLUMNS)
    np.testing.assert_array_equal(read.prompts.shares, [0.6, 0.4])
    assert read.prompts.groups is None


def test_a_table_without_prompts_is_one_pool(tmp_path):
    read = read_pool(written(tmp_path, "parquet", FRAME[["clip", "hps"]]), COLUMNS)
    assert read.prompts is None
    assert read.arrays.keys() == {"pool/row", "pool/upper", "pool/lower.a", "table_digest"}


def test_prompts_may_be_class_labels_or_categories(tmp_path):
    for column, wanted in (
        ([3, 1, 3, 1, 3], (3, 1)),
        (FRAME["prompt"].astype("category"), ("a cat", "007")),
    ):
        frame = FRAME.assign(prompt=column)
        assert read_pool(written(tmp_path, "parquet", frame), COLUMNS).prompts.conditions == wanted


def test_prompts_of_csv_may_go_over_several_lines(tmp_path):
    frame = FRAME.assign(prompt=["a,\nb", "007", "a,\nb", "007", "a,\nb"])
    assert read_pool(written(tmp_path, "csv", frame), COLUMNS).prompts.conditions[0] == "a,\nb"


def test_two_halves_are_all_rows_once_and_as_many_of_each_prompt(tmp_path):
    frame = pd.DataFrame({"prompt": ["a"] * 9 + ["b"] * 6, "clip": range(15), "hps": range(15)})
    whole = read_pool(written(tmp_path, "parquet", frame.sample(frac=1, random_state=0)), COLUMNS)
    halves = [whole.half(which) for which in ("first", "second")]
    assert sorted(np.concatenate([half.rows for half in halves])) == list(range(15))
    assert [np.bincount(half.of).tolist() for half in halves] in (
        [[5, 3], [4, 3]],
        [[3, 5], [3, 4]],
    )
    for half in halves:
        np.testing.assert_array_equal(half.rewards["upper"], whole.rewards["upper"][half.rows])
        np.testing.assert_array_equal(half.of, whole.of[half.rows])
        np.testing.assert_array_equal(half.prompts.shares, whole.prompts.shares)
    again = whole.half("first")
    assert again.rows.tolist() == halves[0].rows.tolist() != sorted(range(0, 15, 2))
    assert again.digest == halves[0].digest != halves[1].digest


def test_halves_need_two_samples_each(tmp_path):
    with pytest.raises(InputError, match=r"has 3 samples of 'a cat'; give 4 at least of each prom"):
        read_pool(written(tmp_path, "csv"), COLUMNS).half("first")


@pytest.mark.parametrize(
    "changes",
    [
        {"clip": [1, 2, 3, 4, 5.25]},
        {"prompt": ["a cat", "007", "a cat", "007", "007"], "weight": 1, "group": "x"},
        {"prompt": ["a cot", "007", "a cot", "007", "a cot"]},
        {"weight": [1, 2, 1, 2, 1]},
        {"group": "thin"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_run_goes_on_with_the_table_it_began_with_alone(tmp_path, changes):
    digest = read_pool(written(tmp_path, "parquet"), COLUMNS).digest
    read_pool(written(tmp_path, "csv"), COLUMNS).check_same(digest)  # the same in another file
    other = read_pool(written(tmp_path, "parquet", FRAME.assign(**changes)), COLUMNS)
    with pytest.raises(InputError, match=r"rewards.parquet' is not what the run began with; put "):
        other.check_same(digest)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hps": None}, "has no column 'hps', which reward 'upper' names; it has prompt, clip, gr"),
        ({"hps": [0, 1, np.nan, 1, 1]}, "has nan in row 3 of the column 'hps'; give a finite num"),
        ({"hps": [0, np.inf, 1, 1, 1]}, "has inf in row 2 of the column 'hps'; give a finite num"),
        ({"hps": [0, 1, 1, -1e200, 1]}, "has -1e+200 in row 4 of the column 'hps'; give a finite"),
        (
            {"weight": [1e308, 3, 1e308, 3, 1e308]},
            "has 1e+308 in row 1 of the column 'weight'; giv",
        ),
        ({"hps": ["1", "2", "good", "1", "1"]}, "has 'good' in row 3 of the column 'hps'; it must"),
        ({"prompt": ["a", "b", "a", "c", "a"]}, "has 1 sample of 'b'; give 2 at least of each pr"),
        ({"prompt": ["a", None, "a", "a", "a"]}, "has no prompt in row 2; give one in every row"),
        ({"prompt": [0.5, 1, 1, 0.5, 1]}, "has double in the column 'prompt'; it must hold texts"),
        ({"weight": [1, 0, 1, 0, 1]}, "has the weight 0 in row 2, but it must be above 0; leave"),
        ({"weight": [1, -2, 1, -2, 1]}, "has the weight -2 in row 2, but it must be above 0; lea"),
        (
            {"weight": [1, 3, 1, 3, 2]},
            "has the weight 2 in row 5, but 1 in row 1, both of the prompt 'a cat'; give each",
        ),
        (
            {"group": ["x", "y", "x", "z", "x"]},
            "has the group 'z' in row 4, but 'y' in row 2, both of the prompt '007'; give each",
        ),
        ({"prompt": None}, "has a column 'weight', which is how much a prompt counts, but none 'p"),
        ({"clip": [], "hps": []}, "is empty; give a row a sample"),
        ({"clip": [1], "hps": [1]}, "has 1 sample; give 2 at least: two, to tell how sure"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_what_says_nothing_is_refused_by_row_and_column(tmp_path, changes, said):
    if len(changes) > 1:
        frame = pd.DataFrame(changes)
    else:
        ((name, values),) = changes.items()
        frame = FRAME.drop(columns=name) if values is None else FRAME.assign(**changes)
    with pytest.raises(InputError) as refused:
        read_pool(path := written(tmp_path, "parquet", frame), COLUMNS)
    assert str(refused.value).startswith(f"pool '{path}' {said}")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.parquet", None, "No such file"),
        ("a.parquet", "no parquet", "Parquet magic bytes not found"),
        ("a.csv", "", "Empty CSV file"),
        ("a.csv", "hps,clip\n1,2,3\n", "Expected 2 columns, got 3"),
        ("a.jsonl", "{\n", "JSON"),
        ("a.npz", "", "its name ends in '.npz'"),
    ],
)
def test_a_file_that_is_no_table_is_refused_by_name(tmp_path, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError) as refused:
        read_pool(str(path), COLUMNS)
    sentence = str(refused.value)
    assert sentence.startswith(f"pool '{path}' cannot be read (")
    assert said in sentence
    assert sentence.endswith("give a table (.parquet, .csv, .jsonl)")


@pytest.mark.parametrize("name", ["hps", "prompt", "group", "weight"])
def test_two_columns_of_one_name_are_refused(tmp_path, name):
    (tmp_path / "a.csv").write_text(f"hps,clip,{name},{name}\n1,2,3,4\n")
    said = f"has several columns '{name}'; give each a name of its own"
    with pytest.raises(InputError, match=said):
        read_pool(str(tmp_path / "a.csv"), COLUMNS)


def test_whole_numbers_may_be_larger_than_floats_are_exact_for(tmp_path):
    frame = FRAME.assign(hps=[2**60 + 1, 1, 2, 3, 4])
    assert read_pool(written(tmp_path, "parquet", frame), COLUMNS).rewards["upper"][0] == 2.0**60


def test_a_path_is_no_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run:1").mkdir()
    written(tmp_path / "run:1", "parquet")
    assert len(read_pool("run:1/rewards.parquet", COLUMNS)) == 5


def test_groups_are_those_of_a_table_that_has_them(tmp_path):
    assert groups_of(read_pool(written(tmp_path, "csv"), COLUMNS).prompts, "pool") == (
        "thin",
        "thick",
    )
    prompts = read_prompts(written(tmp_path, "jsonl", FRAME[["prompt", "group"]]))
    assert groups_of(prompts, "prompts") == ("thin", "thick")
    assert prompts.metadata[0] == {"group": "thin"}  # rewards may read it too


def test_groups_are_refused_where_no_table_says_them(tmp_path):
    alone = read_pool(written(tmp_path, "csv", FRAME[["clip", "hps"]]), COLUMNS)
    with pytest.raises(InputError, match="groups are asked for, but pool 'x' has no column 'promp"):
        groups_of(alone.prompts, "pool 'x'")
    with pytest.raises(InputError, match="groups are asked for, but prompts has no column 'group'"):
        groups_of(read_prompts(["a", "b"]), "prompts")
