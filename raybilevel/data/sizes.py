"""Images brought to one size: what that refuses, and what a user is told of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from raybilevel.data.dataset import Dataset
from raybilevel.data.encoded import Encoded
from raybilevel.data.framing import Crop, Frame, Shape
from raybilevel.data.images import Framed, StoredImages
from raybilevel.errors import InputError

_HOW = {
    "center": "the middle of each, in that aspect, is resized",
    "none": "all of each is squeezed into it",
}


def framed(
    dataset: Dataset,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    crop: Crop = "center",
) -> Dataset:
    """The same with images of one size; see `Frame` for how.

    Parameters
    ----------
    size : (H, W) in pixels; None for the size that all images have.
    channels : 3 repeats grey images to RGB; None for RGB if any image is.
    crop : what becomes of images of another size.

    Raises
    ------
    InputError
        If no size is given and images differ in it.
    """
    images = dataset.images
    if isinstance(images, Encoded):
        frame = Frame(channels or images.channels, *(size or images.size), crop)
        return replace(dataset, images=Encoded(images.cells, frame))
    found, height, width = dataset.shape
    frame = Frame(max(found, channels or 1), *(size or (height, width)), crop)
    return (
        dataset if frame.shape == dataset.shape else replace(dataset, images=Framed(images, frame))
    )


def shape_found(dataset: Dataset) -> Shape:
    """(C, H, W) of its images, with colours where any image has them before it is framed."""
    channels = max(channels for channels, *_ in _found(dataset))
    return max(channels, dataset.shape[0]), *dataset.shape[1:]


def check_sizes(dataset: Dataset, where: str) -> None:
    """Refuse images that would have to be enlarged: FID to them would prefer blur.

    Parameters
    ----------
    where : names the data in the sentence of an error.

    Raises
    ------
    InputError
        If there are any, or an image's header is damaged; one of them is named.
    """
    images = dataset.images
    if not isinstance(images, StoredImages) or images.frame is None:
        return
    frame, found = images.frame, images.found()
    small = {shape: count for shape, count in found.items() if frame.enlarges(shape)}
    if small:
        shape = min(small)
        raise InputError(
            f"{where} has {sum(small.values())} of {found.total()} images smaller than the "
            f"{frame.height} x {frame.width} pixels that are wanted: {images.named(shape)} is "
            f"{shape[1]} x {shape[2]} (height x width); images are made smaller, never larger, "
            "so leave them out"
        )


def remark(dataset: Dataset) -> str | None:
    """What was done to its images, in a sentence; None if nothing was."""
    images = dataset.images
    frame = images.frame if isinstance(images, StoredImages) else None
    if frame is None:
        return None
    found = _found(dataset)
    resized = sum(count for shape, count in found.items() if frame.resizes(shape))
    repeated = sum(count for shape, count in found.items() if shape[0] < frame.channels)
    said = []
    if resized:
        said.append(f"{resized} of {found.total()} images are not {frame.height} x {frame.width} "
                    f"(height x width): {_HOW[frame.crop]} by Pillow's Lanczos filter")  # fmt: skip
    if repeated:
        said.append(f"{repeated} of {found.total()} images are grey, and repeated to RGB")
    return "; ".join(said) or None


def _found(dataset: Dataset) -> Counter[Shape]:
    images = dataset.images
    return (
        images.found()
        if isinstance(images, StoredImages)
        else Counter({dataset.shape: len(images)})
    )
