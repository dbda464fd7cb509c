"""The net of the report: three convolutions, 128 features."""

from __future__ import annotations

from torch import nn

__all__ = ["report_cnn"]


def report_cnn(input_shape: tuple[int, ...]) -> nn.Module:
    """Convolutions of 32, 64 and 128 filters, each pooled by 2, and a 128-d representation.

    Takes images whose sides are at least 8 pixels; 96 x 96 in the report, which leaves
    kernel sizes and activations open: 3 x 3 and ReLU here.

    Parameters
    ----------
    input_shape : tuple (n_channels, height, width)
    """
    channels, height, width = input_shape
    layers: list[nn.Module] = []
    for n_in, n_out in ((channels, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    n_flat = 128 * (height // 8) * (width // 8)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(n_flat, 128), nn.ReLU(inplace=True))
