"""Reference statistics: mean and covariance of the features of images that are not at hand.

An npz with `mu` (F,) and `sigma` (F, F), as pytorch-fid (`--save-stats`) and EDM (`fid.py ref`)
write them.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from raybilevel.errors import InputError
from raybilevel.metrics.fid_kid import Gaussian

_IMAGES = {"images", "arr_0"}  # where these are there too, the file is one of images
_UNEQUAL = 1e-4  # of the largest entry: what float32 leaves of symmetry, and of no variance below 0


def is_statistics(path: str) -> bool:
    """Whether there is an npz with `mu` and `sigma`, and no images, at a path."""
    names = _names(Path(path).expanduser()) if path.endswith(".npz") else set()
    return {"mu", "sigma"} <= names and not names & _IMAGES


def read_statistics(path: str) -> Gaussian:
    """The mean and covariance in a file that `is_statistics`; nothing is unpickled.

    Raises
    ------
    InputError
        If an array is damaged, of objects, or of another shape, or not finite, or `sigma` is no
        covariance: not symmetric, or with a variance below 0.
    """
    mean, cov = (_array(path, name) for name in ("mu", "sigma"))
    size = len(mean) if mean.ndim == 1 else 0
    if not size or cov.shape != (size, size):
        raise InputError(
            f"data '{path}' has mu of shape {mean.shape} and sigma of {cov.shape}, but statistics "
            "of F features have mu (F,) and sigma (F, F)"
        )
    for name, array in (("mu", mean), ("sigma", cov)):
        if not np.isfinite(array).all():
            raise InputError(f"data '{path}' has numbers in {name} that are not finite")
    _check_covariance(cov, path)
    return Gaussian(mean, (cov + cov.T) / 2)


def _names(path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):  # `data.load` says what is wrong with it
        return set()


def _array(path: str, name: str) -> np.ndarray:
    try:
        with np.load(Path(path).expanduser(), allow_pickle=False) as archive:
            array = archive[name]
            if array.dtype.kind not in "fiu":
                raise ValueError(f"it is of {array.dtype}")
            return np.asarray(array, np.float64)
    except Exception as error:  # a damaged member raises whatever zipfile, zlib and numpy raise
        raise InputError(
            f"data '{path}': array '{name}' must be whole and of plain numbers, since nothing is "
            f"unpickled, but: {error}"
        ) from error


def _check_covariance(cov: np.ndarray, path: str) -> None:
    tolerance = _UNEQUAL * np.abs(cov).max()
    if np.abs(cov - cov.T).max() > tolerance:
        raise InputError(f"data '{path}' has a sigma that is not symmetric, so no covariance")
    least = np.linalg.eigvalsh(cov)[0]
    if least < -tolerance:
        raise InputError(
            f"data '{path}' has a sigma with an eigenvalue of {least:.3g}, but a covariance has "
            "none below 0"
        )
