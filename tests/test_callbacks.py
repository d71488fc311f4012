"""What `run.callbacks` may name, and what is said of what it may not."""

import pytest

from raybilevel import RunConfig
from raybilevel.callbacks import named, prepare
from raybilevel.errors import InputError

PATH = "/somewhere/runs/night"


def seen(row):
    """A user's callback."""


def test_callables_get_rows_of_their_own():
    taken = []
    (listener,) = prepare([taken.append], PATH, {})
    row = {"training_iteration": 1, "ess": 0.5}
    listener(row)
    assert taken == [row] and taken[0] is not row


def test_import_paths_lead_to_what_they_name():
    (listener,) = prepare([f"{__name__.rpartition('.')[2]}:seen"], PATH, {})
    assert listener.name.endswith(":seen")


def test_one_callback_needs_no_list():
    assert RunConfig(callbacks="mlflow").callbacks == ("mlflow",)
    assert RunConfig(callbacks=seen).callbacks == (seen,)


@pytest.mark.parametrize(
    ("callback", "words"),
    [
        ("wandb", "tensorboard, mlflow, and import paths"),
        ("nowhere_at_all:seen", "importing 'nowhere_at_all'"),
        ("raybilevel.callbacks.base:__doc__", "must be callable with a row"),
    ],
)
def test_what_is_no_callback_is_refused_in_a_sentence(callback, words):
    with pytest.raises(InputError, match=words):
        prepare([callback], PATH, {})


@pytest.mark.parametrize(
    ("callback", "path", "module", "package"),
    [
        ("tensorboard", PATH, "tensorboardX", r"raybilevel\[tensorboard\]"),
        ("tensorboard", "s3://bucket/runs/night", "boto3", "boto3"),
        ("tensorboard", "gs://bucket/runs/night", "google.cloud.storage", "google-cloud-storage"),
        ("mlflow", PATH, "mlflow", r"raybilevel\[mlflow\]"),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_pip_line(
    monkeypatch, callback, path, module, package
):
    monkeypatch.setattr(named, "find_spec", lambda name: None if name == module else object())
    with pytest.raises(InputError, match=f"{module} is not installed; pip install '?{package}"):
        prepare([callback], path, {})
