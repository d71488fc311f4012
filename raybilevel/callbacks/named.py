"""From what `run.callbacks` names to what can be sent to the driver."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from raybilevel.callbacks.base import Listener, Plain
from raybilevel.callbacks.mlflow import MLflow
from raybilevel.callbacks.tensorboard import TensorBoard
from raybilevel.errors import InputError
from raybilevel.imports import resolve

_WHERE = "run.callbacks"


def prepare(
    callbacks: Sequence[str | Callable[..., Any]], path: str, params: Mapping[str, Any]
) -> tuple[Listener, ...]:
    """Listeners for a run, unopened.

    Parameters
    ----------
    callbacks : "tensorboard", "mlflow", import paths "package.module:name", callables.
    path : the run directory, which ends in the run's name.
    params : the configuration by dotted names.

    Raises
    ------
    InputError
        If one is not known or leads nowhere, or its package is not installed.
    """
    return tuple(_prepare(callback, path, params) for callback in callbacks)


def _prepare(callback: str | Callable[..., Any], path: str, params: Mapping[str, Any]) -> Listener:
    if callback == "tensorboard":
        return _tensorboard(path)
    if callback == "mlflow":
        return _mlflow(path, params)
    if not isinstance(callback, str):
        return Plain(getattr(callback, "__qualname__", type(callback).__qualname__), callback)
    if ":" not in callback:
        raise InputError(
            f"{_WHERE} names '{callback}', but what is known is tensorboard, mlflow, and import "
            "paths 'package.module:name'"
        )
    function = resolve(callback, _WHERE)
    if not callable(function):
        raise InputError(
            f"{_WHERE} names '{callback}', which is a {type(function).__name__}; it must be "
            "callable with a row as a dict"
        )
    return Plain(callback, function)


def _tensorboard(path: str) -> Listener:
    _need("tensorboardX", "tensorboard", "'raybilevel[tensorboard]'")
    for scheme, module, package in (
        ("s3://", "boto3", "boto3"),
        ("gs://", "google.cloud.storage", "google-cloud-storage"),
    ):
        if path.startswith(scheme):
            _need(module, f"tensorboard to {scheme}", package)
    return TensorBoard(path)


def _mlflow(path: str, params: Mapping[str, Any]) -> Listener:
    _need("mlflow", "mlflow", "'raybilevel[mlflow]'")
    import mlflow

    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", "raybilevel")
    name = path.rpartition("/")[2]
    return MLflow(path, name, params, mlflow.get_tracking_uri(), experiment)


def _need(module: str, wanted: str, package: str) -> None:
    try:
        found = find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it is not there
        found = False
    if not found:
        raise InputError(
            f"{_WHERE} names {wanted}, but {module} is not installed; pip install {package}"
        )
