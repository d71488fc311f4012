"""The house: a name has one meaning, and a folder can be taken in at a glance."""

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "raybilevel"
MOST_FILES = 24


def test_no_two_classes_or_types_of_the_package_have_the_same_name():
    homes = defaultdict(set)
    for file in PACKAGE.rglob("*.py"):
        for node in ast.parse(file.read_text()).body:
            for name in names_of(node):
                homes[name].add(file.relative_to(PACKAGE).as_posix())
    twice = {name: files for name, files in homes.items() if len(files) > 1}
    assert homes["Problem"] == {"problems/base.py"}
    assert not twice


def names_of(node):
    """Classes, and types that are given a name: not constants, nor type variables."""
    if isinstance(node, ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        name = node.targets[0].id
        return [name] if name[0].isupper() and not name.isupper() else []
    return []


def test_no_folder_has_more_files_than_can_be_taken_in_at_a_glance():
    folders = {file.parent for file in PACKAGE.rglob("*.py")}
    assert PACKAGE in folders
    crowded = {f.name: n for f in folders if (n := len(list(f.glob("*.py")))) > MOST_FILES}
    assert not crowded
