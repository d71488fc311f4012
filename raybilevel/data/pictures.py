"""Encoded images to arrays of bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from raybilevel.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")  # Pillow knows many more, each with holes of its own
_GREY = ("1", "L", "LA", "La")


def stacked(encoded: Iterable[tuple[str, bytes]]) -> NDArray[np.uint8]:
    """Decode images of one size.

    Parameters
    ----------
    encoded : (where it is, for the sentence of an error, and its bytes) of each image.

    Returns
    -------
    (N, C, H, W) uint8; C is 1 if all images are grey, else 3.

    Raises
    ------
    InputError
        If an image cannot be decoded, or two differ in size.
    """
    pictures: list[NDArray[np.uint8]] = []
    first = ""
    for where, data in encoded:
        picture = decoded(data, where)
        first = first or where
        if pictures and picture.shape[1:] != pictures[0].shape[1:]:
            raise InputError(
                f"{first} is {_size(pictures[0])} and {where} is {_size(picture)} (height x "
                "width), but all images must have one size"
            )
        pictures.append(picture)
    return _stack(pictures)


def _stack(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    shape = max((p.shape for p in pictures), default=(1, 1, 1))  # they differ in channels alone
    stack = np.empty((len(pictures), *shape), np.uint8)
    for row, picture in zip(stack, pictures, strict=True):
        row[:] = picture  # one channel is broadcast to three
    return stack


def decoded(data: bytes, where: str) -> NDArray[np.uint8]:
    """Decode one image: (1, H, W) if it is grey, else (3, H, W); transparency becomes white.

    Raises
    ------
    InputError
        If `data` is no image, is truncated, or claims more pixels than is safe to decode.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return _pixels(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:  # its text names a place in memory
        raise InputError(f"{where} must be a png, jpeg, bmp or webp image, but is not") from error
    except Exception as error:  # a damaged image raises whatever its decoder raises
        text = " ".join(str(error).split())
        raise InputError(f"{where} must be a whole image, but: {text}") from error


def _pixels(image: Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):  # 16-bit grey, of which 257 levels make one of 256
        return np.rint(np.asarray(image) / 257).astype(np.uint8)[None]
    grey = image.mode in _GREY
    if image.has_transparency_data:
        image = _onto_white(image)
    if grey:
        return np.asarray(image.convert("L"))[None]
    return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def _onto_white(image: Image) -> Image:
    from PIL import Image as Images

    white = Images.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white


def _size(picture: NDArray[np.uint8]) -> str:
    return f"{picture.shape[1]} x {picture.shape[2]}"
