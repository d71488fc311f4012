"""How a user says that data are read."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from raybilevel.config.settings import Settings
from raybilevel.data import Columns, Crop

Side = Annotated[int, Field(ge=1)]


class DataOptions(Settings):
    """How the data are read.

    Parameters
    ----------
    resolution
        Pixels a side, or (H, W), that images are brought to; None for what the network draws, or,
        where it is yet to be trained, for the size that all images have. Larger images are resized
        by Pillow's Lanczos filter, which is antialiased; smaller ones are refused.
    crop
        "center": of an image of another aspect, its middle is taken, so that the shorter side fits;
        "none": all of it is, squeezed.
    image_column, label_column
        Columns of tables, or arrays of an npz, that `raybilevel.data.load` does not know by name.
    """

    said_as: ClassVar[str | None] = "data_options"

    resolution: Side | tuple[Side, Side] | None = None
    crop: Crop = "center"
    image_column: str | None = None
    label_column: str | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """(H, W) that was asked for."""
        side = self.resolution
        return (side, side) if isinstance(side, int) else side

    @property
    def columns(self) -> Columns:
        """The columns that were named."""
        return Columns(self.image_column, self.label_column)
