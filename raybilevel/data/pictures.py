"""Encoded images to arrays of bytes, by Pillow."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from raybilevel.data.framing import Frame, Shape
from raybilevel.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

# Pillow knows many more, each with holes of its own.
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")
KINDS = "png, jpg, jpeg, bmp, webp, gif or tiff images"
_GREY = ("1", "L", "LA", "La")
_DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # grey of 16 bits, as Pillow calls it
_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)  # by a quarter, to either side


def shape_of(content: bytes | Path, where: str) -> Shape:
    """(C, H, W) of an image by its header: C is 1 if it is grey, else 3.

    Raises
    ------
    InputError
        As `decoded`, but for damage below the header.
    """
    with _opened(content, where) as image:
        width, height = image.size
        if _orientation(image) in _TURNED:
            width, height = height, width
        return 1 if _is_grey(image) else 3, height, width


def decoded(content: bytes | Path, where: str, frame: Frame | None = None) -> NDArray[np.uint8]:
    """Decode one image: (1, H, W) if it is grey, else (3, H, W).

    The first frame of several; palettes become RGB, transparency becomes white, 16-bit grey is
    rounded to 8 bits, photographs are turned upright.

    Parameters
    ----------
    content : of a file, or its path.
    where : begins the sentence of an error.
    frame : brings it to a size.

    Raises
    ------
    InputError
        If it is no image, is truncated, claims more pixels than is safe to decode, is smaller than
        the frame, or has colours where the frame has none.
    """
    from PIL import ImageOps

    with _opened(content, where) as image:
        picture = _grey_or_rgb(ImageOps.exif_transpose(image), where)
        if frame is not None:
            _check_fit(picture, frame, where)
            picture = frame.of(picture)
        pixels = np.asarray(picture)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


@contextmanager
def _opened(content: bytes | Path, where: str) -> Iterator[Image]:
    from PIL import Image, UnidentifiedImageError

    try:
        file = content.open("rb") if isinstance(content, Path) else io.BytesIO(content)
        with file, Image.open(file, formats=_FORMATS) as image:
            yield image
    except InputError:
        raise
    except (FileNotFoundError, PermissionError) as error:
        raise InputError(f"{where} cannot be read: {error}") from error
    except UnidentifiedImageError as error:  # its text names a place in memory
        raise InputError(
            f"{where} must be a png, jpeg, bmp, webp, gif or tiff image, but is not"
        ) from error
    except Exception as error:  # a damaged image raises whatever its decoder raises
        text = " ".join(str(error).split())
        raise InputError(f"{where} must be a whole image, but: {text}") from error


def _orientation(image: Image) -> int:
    # A png would be decoded to look for what may stand behind its pixels, and hardly ever does.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return int(image.getexif().get(_ORIENTATION, 1))


def _is_grey(image: Image) -> bool:
    return image.mode in (*_GREY, *_DEEP)


def _grey_or_rgb(image: Image, where: str) -> Image:
    """In mode L or RGB."""
    if image.mode == "F" or image.mode in _DEEP:
        return _of_8_bits(image, where)
    mode = "L" if _is_grey(image) else "RGB"
    return (_onto_white(image) if image.has_transparency_data else image).convert(mode)


def _of_8_bits(image: Image, where: str) -> Image:
    """Of 16 bits, 257 levels make one of 256."""
    from PIL import Image as Images

    levels = np.asarray(image)
    if image.mode == "F" or levels.min() < 0 or levels.max() > 65535:
        raise InputError(f"{where} must have pixels of 8 or 16 bits, but has floats or wider ones")
    return Images.fromarray(np.rint(levels / 257).astype(np.uint8))


def _onto_white(image: Image) -> Image:
    from PIL import Image as Images

    white = Images.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white


def _check_fit(picture: Image, frame: Frame, where: str) -> None:
    shape = 1 if picture.mode == "L" else 3, picture.height, picture.width
    if frame.enlarges(shape):
        raise InputError(
            f"{where} is {shape[1]} x {shape[2]}, smaller than {frame.height} x {frame.width} "
            "(height x width), and images are never enlarged"
        )
    if shape[0] > frame.channels:
        raise InputError(f"{where} has colours, but grey images are wanted")
