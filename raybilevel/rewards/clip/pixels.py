"""Images as a CLIP wants them: resized, cropped and normalised, with a gradient to the pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raybilevel.errors import InputError
from raybilevel.imports import said_in_a_sentence

if TYPE_CHECKING:
    from torch import Tensor

_FILTERS = {2: "bilinear", 3: "bicubic"}  # by their number in PIL
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
_PIXELS = 224


@dataclass(frozen=True)
class PixelSettings:
    """What a CLIP's image processor does to an image, in this order.

    Attributes
    ----------
    size : the shorter edge after resizing, or (height, width); None where nothing is resized.
    resample : "bicubic" or "bilinear"; with antialiasing, as PIL does it.
    crop : (height, width) of the middle; None where nothing is cropped.
    mean, std : by channel, of pixels in [0, 1].
    """

    size: int | tuple[int, int] | None
    resample: str
    crop: tuple[int, int] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, settings: Mapping[str, Any], named: str) -> PixelSettings:
        """From a `preprocessor_config.json`, with the defaults of transformers' CLIPImageProcessor.

        Raises
        ------
        InputError
            If it resamples by another filter, leaves pixels in [0, 255], or has sizes of a kind
            that CLIP's does not.
        """
        resample = settings.get("resample", 3)
        if (
            not isinstance(resample, int)
            or resample not in _FILTERS
            or not settings.get("do_rescale", True)
        ):
            raise InputError(
                f"{named} makes images by resample {resample} and do_rescale "
                f"{settings.get('do_rescale', True)}, but what is done here is 2 or 3 and true"
            )
        with said_in_a_sentence(named, "reading its preprocessor_config.json"):
            return cls._of(settings, _FILTERS[resample])

    @classmethod
    def _of(cls, settings: Mapping[str, Any], resample: str) -> PixelSettings:
        normalised = settings.get("do_normalize", True)
        crop = _height_width(settings.get("crop_size", _PIXELS))
        return cls(
            _size(settings.get("size", _PIXELS)) if settings.get("do_resize", True) else None,
            resample,
            crop if settings.get("do_center_crop", True) else None,
            tuple(settings.get("image_mean", _MEAN)) if normalised else (0.0,) * 3,
            tuple(settings.get("image_std", _STD)) if normalised else (1.0,) * 3,
        )

    @property
    def square(self) -> int | None:
        """The edge of what comes out; None where that depends on the image."""
        made = self.crop or self.size
        return made[1] if isinstance(made, tuple) else None

    def prepare(self, images: Tensor) -> Tensor:
        """Pixel values (N, 3, h, w) of images (N, 1 or 3, H, W) in [0, 1], float32.

        The same as the image processor's of PIL images, but for their rounding to 256 levels before
        and after resizing.
        """
        images = images.float().expand(-1, 3, -1, -1)
        images = _middle(_resized(images, self.size, self.resample), self.crop)
        mean, std = (images.new_tensor(v)[:, None, None] for v in (self.mean, self.std))
        return (images - mean) / std


def _size(size: int | Mapping[str, int]) -> int | tuple[int, int]:
    if isinstance(size, Mapping):
        return size["shortest_edge"] if "shortest_edge" in size else _height_width(size)
    return size


def _height_width(size: int | Mapping[str, int]) -> tuple[int, int]:
    return (size["height"], size["width"]) if isinstance(size, Mapping) else (size, size)


def _resized(images: Tensor, size: int | tuple[int, int] | None, resample: str) -> Tensor:
    """First the width and then the height, clipped after each, as PIL does it."""
    from torch.nn import functional

    shape = tuple(images.shape[-2:])
    height, width = _shape_after(shape, size)
    for step in ((shape[0], width), (height, width)):
        if step != tuple(images.shape[-2:]):
            images = functional.interpolate(images, step, mode=resample, antialias=True)
            images = images.clamp(0, 1)
    return images


def _shape_after(shape: tuple[int, ...], size: int | tuple[int, int] | None) -> tuple[int, ...]:
    if not isinstance(size, int):
        return size or shape
    short, long = min(shape), int(size * max(shape) / min(shape))
    return tuple(size if edge == short else long for edge in shape)


def _middle(images: Tensor, crop: tuple[int, int] | None) -> Tensor:
    """Cropped in the middle; what is smaller is put in the middle of zeros."""
    from torch.nn import functional

    if crop is None:
        return images
    height, width = images.shape[-2:]
    down, right = max(0, crop[0] - height), max(0, crop[1] - width)
    images = functional.pad(images, ((right + 1) // 2, right // 2, (down + 1) // 2, down // 2))
    top, left = (images.shape[-2] - crop[0]) // 2, (images.shape[-1] - crop[1]) // 2
    return images[..., top : top + crop[0], left : left + crop[1]]
