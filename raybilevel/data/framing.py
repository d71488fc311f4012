"""What size and colours images are brought to, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

Shape = tuple[int, int, int]
"""(C, H, W) of an image."""

Crop = Literal["center", "none"]


@dataclass(frozen=True)
class Frame:
    """Brings images to one shape; those that have it stay what they are.

    Resized by Pillow's Lanczos filter, which is as wide as the reduction asks for (antialiased):
    what diffusers' text-to-image training script and EDM's `dataset_tool.py` do by default.

    Attributes
    ----------
    channels : 1, or 3, to which grey images are repeated.
    height, width : in pixels.
    crop : "center": the largest part of that aspect in the middle; "none": all of the image,
        squeezed where its aspect is another.
    """

    channels: int
    height: int
    width: int
    crop: Crop = "center"

    @property
    def shape(self) -> Shape:
        """(C, H, W) of what comes out."""
        return self.channels, self.height, self.width

    def resizes(self, shape: Shape) -> bool:
        """Whether images (C, H, W) are changed in size."""
        return shape[1:] != (self.height, self.width)

    def enlarges(self, shape: Shape) -> bool:
        """Whether images (C, H, W) are smaller, in one direction at least."""
        return shape[1] < self.height or shape[2] < self.width

    def of(self, image: Image) -> Image:
        """The image in the frame's size."""
        from PIL import ImageOps
        from PIL.Image import Resampling

        size = self.width, self.height
        if image.size == size:
            return image
        if self.crop == "center":
            return ImageOps.fit(image, size, Resampling.LANCZOS)
        return image.resize(size, Resampling.LANCZOS)

    def of_array(self, image: NDArray[Any]) -> NDArray[Any]:
        """(C, H, W) uint8 or floats in [0, 1] in the frame's shape; floats as float32."""
        from PIL import Image

        if image.dtype != np.uint8:
            image = image.astype(np.float32)
        planes = [np.asarray(self.of(Image.fromarray(np.ascontiguousarray(p)))) for p in image]
        framed = np.stack(planes).clip(0, None if image.dtype == np.uint8 else 1)
        return np.broadcast_to(framed, self.shape)
