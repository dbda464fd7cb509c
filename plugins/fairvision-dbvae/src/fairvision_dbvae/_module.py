"""A classifier whose features also give latents, and a decoder that draws them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

__all__ = ["DBVAEModule", "Decoder", "lab_encoder"]


class Decoder(nn.Module):
    """Latents to images: a linear layer, then transposed convolutions that double the size.

    Parameters
    ----------
    n_latents : int
    image_shape : tuple (n_channels, height, width)
        Any size: what is drawn in whole steps is cut to it.
    filters : sequence of int
        Filters of the smallest map and of each one after it; the last step
        gives the image.
    """

    def __init__(
        self, n_latents: int, image_shape: tuple[int, ...], filters: Sequence[int]
    ) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        step = 2 ** len(filters)
        self.start = (filters[0], *(-(-size // step) for size in image_shape[1:]))
        self.linear = nn.Linear(n_latents, int(torch.Size(self.start).numel()))
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise([*filters, image_shape[0]]):
            layers += [nn.ReLU(inplace=True), nn.ConvTranspose2d(n_in, n_out, 4, 2, padding=1)]
        self.layers = nn.Sequential(*layers, nn.Sigmoid())

    def forward(self, z: Tensor) -> Tensor:
        """Images in 0..1 of shape (n, n_channels, height, width)."""
        height, width = self.image_shape[1:]
        maps = self.linear(z).reshape(-1, *self.start)
        return self.layers(maps)[..., :height, :width]


class DBVAEModule(nn.Module):
    """An encoder's features lead to class logits and to latents; a decoder draws the latents.

    Parameters
    ----------
    encoder : nn.Module
        With ``features(x)`` and a linear ``head``.
    n_latents : int
    image_shape : tuple (n_channels, height, width)
    filters : sequence of int
        Of the decoder.
    """

    def __init__(
        self,
        encoder: nn.Module,
        n_latents: int,
        image_shape: tuple[int, ...],
        filters: Sequence[int],
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.n_latents = n_latents
        self.latents = nn.Linear(self.head.in_features, 2 * n_latents)
        self.decoder = Decoder(n_latents, image_shape, filters)

    @property
    def head(self) -> nn.Linear:
        return cast(nn.Linear, self.encoder.head)

    def features(self, x: Tensor) -> Tensor:
        """Images in 0..1 to what enters the head, shape (n, n_features)."""
        return self.encoder.features(x)  # type: ignore[operator]

    def forward(self, x: Tensor) -> Tensor:
        """Class logits, shape (n, n_classes). The decoder does not run."""
        return self.head(self.features(x))

    def distribution(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents, each of shape (n, n_latents)."""
        mu, log_var = self.latents(features).chunk(2, dim=1)
        return mu, log_var

    def mu(self, x: Tensor) -> Tensor:
        """Mean of the latents, shape (n, n_latents). The decoder does not run."""
        return self.distribution(self.features(x))[0]

    def decode(self, z: Tensor) -> Tensor:
        """Latents to images in 0..1."""
        return self.decoder(z)


def lab_encoder(input_shape: tuple[int, ...]) -> nn.Module:
    """The encoder of the authors' teaching lab: convolutions 5-5-3-3 of stride 2, 512 features.

    12, 24, 48 and 72 filters, each rectified and batch-normalised. Made for
    3 x 64 x 64; takes any size.
    """
    layers: list[nn.Module] = []
    filters = (input_shape[0], 12, 24, 48, 72)
    for (n_in, n_out), kernel in zip(pairwise(filters), (5, 5, 3, 3), strict=True):
        layers += [
            nn.Conv2d(n_in, n_out, kernel, stride=2, padding=kernel // 2),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(n_out),
        ]
    height, width = (-(-size // 16) for size in input_shape[1:])
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(72 * height * width, 512), nn.ReLU(inplace=True)
    )
