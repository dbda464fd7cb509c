"""Generator and critic of a progressive GAN (Karras et al., ICLR 2018).

Both have all their stages from the start; `growth` is the number in use. Stage s works
on images of 4 * 2^s pixels. Growth 2.3 means that stage 3 is faded in to 30 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, sqrt

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["SMALLEST", "ImageCritic", "Generator", "draw_images", "stage_of", "stage_widths"]

SMALLEST = 4


def stage_of(growth: float) -> tuple[int, float]:
    """The highest stage in use, and its share of the image."""
    stage = ceil(growth)
    return stage, growth - (stage - 1) if stage else 1.0


def stage_widths(image_size: int, max_width: int, base_width: int) -> list[int]:
    """Channels of each stage: `base_width` over its resolution, `max_width` at most."""
    n_stages = (image_size // SMALLEST).bit_length()
    return [min(max_width, max(1, base_width // (SMALLEST << s))) for s in range(n_stages)]


class _Linear(nn.Linear):
    """Equalised learning rate: weights of unit variance, scaled by He's constant at run time."""

    def __init__(self, n_in: int, n_out: int, gain: float = sqrt(2)) -> None:
        super().__init__(n_in, n_out)
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)
        self.scale = gain / sqrt(n_in)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias)


class _Conv(nn.Conv2d):
    """Equalised learning rate for a convolution that keeps the image size."""

    def __init__(self, n_in: int, n_out: int, size: int = 3, gain: float = sqrt(2)) -> None:
        super().__init__(n_in, n_out, size, padding=size // 2)
        nn.init.normal_(self.weight)
        assert self.bias is not None
        nn.init.zeros_(self.bias)
        self.scale = gain / sqrt(n_in * size * size)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class _PixelNorm(nn.Module):
    """Scales the vector of every pixel (or latent) to unit mean square."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8).to(x.dtype)


class _BatchSpread(nn.Module):
    """Adds a channel with the mean standard deviation over the batch.

    It shows the critic whether the generator's images vary.
    """

    def forward(self, x: Tensor) -> Tensor:
        # The 1e-8 keeps the root differentiable where all rows agree.
        spread = (x.float().var(0, unbiased=False) + 1e-8).sqrt().mean().to(x.dtype)
        return torch.cat([x, spread.expand(len(x), 1, *x.shape[2:])], 1)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class Generator(nn.Module):
    """Maps latents to images.

    Parameters
    ----------
    latent_dim : int
    n_channels : int
    widths : sequence of int
        Channels of each stage, from 4 x 4 pixels up.
    """

    def __init__(self, latent_dim: int, n_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.image_size = SMALLEST << (len(widths) - 1)
        self.growth = 0.0
        tail = (nn.LeakyReLU(0.2), _PixelNorm())
        first = widths[0]
        self.first = nn.Sequential(
            _PixelNorm(),
            _Linear(latent_dim, first * SMALLEST**2, gain=sqrt(2) / 4),
            nn.Unflatten(1, (first, SMALLEST, SMALLEST)),
            *tail,
            _Conv(first, first),
            *tail,
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(_Conv(n_in, n_out), *tail, _Conv(n_out, n_out), *tail)
            for n_in, n_out in pairwise(widths)
        )
        self.to_image = nn.ModuleList(_Conv(width, n_channels, 1, gain=1) for width in widths)

    def draw(self, z: Tensor) -> Tensor:
        """Images in about -1..1, at the resolution of the highest stage in use."""
        stage, share = stage_of(self.growth)
        x = before = self.first(z)
        for block in self.blocks[:stage]:
            before, x = x, block(_double(x))
        image = self.to_image[stage](x)
        if share < 1:
            image = torch.lerp(_double(self.to_image[stage - 1](before)), image, share)
        return image.float()

    def forward(self, z: Tensor) -> Tensor:
        """Images in 0..1, of full size at every stage; shape (n, n_channels, height, width)."""
        image = ((self.draw(z) + 1) / 2).clamp(0, 1)
        return F.interpolate(image, size=self.image_size, mode="nearest")


class ImageCritic(nn.Module):
    """Maps images to scores, higher for real ones.

    Parameters
    ----------
    n_channels : int
    widths : sequence of int
    """

    def __init__(self, n_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.growth = 0.0
        self.from_image = nn.ModuleList(
            nn.Sequential(_Conv(n_channels, width, 1), nn.LeakyReLU(0.2)) for width in widths
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                _Conv(n_in, n_in),
                nn.LeakyReLU(0.2),
                _Conv(n_in, n_out),
                nn.LeakyReLU(0.2),
                nn.AvgPool2d(2),
            )
            for n_out, n_in in pairwise(widths)
        )
        last = widths[0]
        self.last = nn.Sequential(
            _BatchSpread(),
            _Conv(last + 1, last),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            _Linear(last * SMALLEST**2, last),
            nn.LeakyReLU(0.2),
            _Linear(last, 1, gain=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Scores, shape (n,), of images as `at_growth` returns them."""
        stage, share = stage_of(self.growth)
        x = self.from_image[stage](images)
        for i in range(stage, 0, -1):
            x = self.blocks[i - 1](x)
            if i == stage and share < 1:
                old = self.from_image[stage - 1](F.avg_pool2d(images, 2))
                x = torch.lerp(old, x, share)
        return self.last(x)[:, 0].float()

    def at_growth(self, images: Tensor) -> Tensor:
        """Real images, scaled to -1..1, at the resolution of this stage."""
        stage, share = stage_of(self.growth)
        images = F.adaptive_avg_pool2d(images * 2 - 1, SMALLEST << stage)
        if share < 1:
            images = torch.lerp(_double(F.avg_pool2d(images, 2)), images, share)
        return images


def draw_images(generator: Generator, z: Tensor) -> NDArray[np.float32]:
    """Images of latents in 0..1, a batch at a time, on the CPU."""
    device = next(generator.parameters()).device
    with torch.inference_mode():
        return torch.cat([generator(batch.to(device)).cpu() for batch in z.split(256)]).numpy()
