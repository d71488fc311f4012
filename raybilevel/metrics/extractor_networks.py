"""Two small networks from images of any size to features: one of convolutions, one of patches."""

from __future__ import annotations

from torch import Tensor, nn


def convolutions(channels: int, height: int, width: int, features: int) -> nn.Sequential:
    """The trunk of `DigitsClassifier`, up to its last linear layer, for images of any size.

    A stride brings large images to 16 pixels, poolings those to 4.
    """
    stride = _over(max(height, width), 16)
    rows, columns = _over(height, stride), _over(width, stride)
    layers = [_stem(channels, 32, stride), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()]
    inner = 32
    while max(rows, columns) > 4:
        layers += [nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(inner, 64, 3, padding=1), nn.ReLU()]
        rows, columns, inner = _over(rows, 2), _over(columns, 2), 64
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(inner * rows * columns, features))


def mixer(channels: int, height: int, width: int, features: int) -> nn.Sequential:
    """At most 7 x 7 patches of 32 numbers, mixed twice, all seen by the last linear layer.

    Tolstikhin et al. 2021, arXiv 2105.01601, MLP-Mixer; without its last mean over the patches:
    after such a mean (in a ConvMixer) FID did not see digits blurred by half a pixel.
    """
    stride, inner = _over(max(height, width), 7), 32
    patches = _over(height, stride) * _over(width, stride)
    return nn.Sequential(
        _stem(channels, inner, stride),
        nn.Flatten(2),
        _Mixing(patches, inner),
        _Mixing(patches, inner),
        nn.Flatten(),
        nn.Linear(inner * patches, features),
    )


class _Mixing(nn.Module):
    """Mixes patches, then channels; (N, channels, patches) in and out."""

    def __init__(self, patches: int, channels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        self.patches = _two_layers(patches)
        self.channels = _two_layers(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.patches(self.norms[0](x.mT).mT)
        return x + self.channels(self.norms[1](x.mT)).mT


def _two_layers(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))


def _stem(channels: int, inner: int, stride: int) -> nn.Conv2d:
    """A convolution that sees every pixel, whatever the stride."""
    return nn.Conv2d(channels, inner, 2 * stride + 1, stride, padding=stride)


def _over(size: int, by: int) -> int:
    return -(-size // by)  # rounded up, as strided convolutions and poolings do
