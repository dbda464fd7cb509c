"""The net that reads an attribute from one patch and the place it was cut from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairvision.exceptions import InputError
from fairvision.nn import DeterministicAvgPool2d, as_double, to_device
from fairvision_attribution._algorithm import picture_probabilities
from fairvision_attribution._grid import PatchGrid

__all__ = ["RegionNet", "cifar_resnet18", "patch_cnn"]

_CHUNK = 2**20  # numbers that enter the trunk at a time: they stay in the processor's cache
_WIDE = 2**25  # the same on an accelerator, which is idle under small pieces


def patch_cnn(input_shape: tuple[int, int, int]) -> nn.Sequential:
    """Three convolutions and 256 features; 0.03 million weights.

    Its first convolution pads nothing, so that neighbouring patches share it.

    Parameters
    ----------
    input_shape : tuple (n_channels + 1, patch_size, patch_size)
        The last channel is the position.
    """
    layers: list[nn.Module] = [nn.Conv2d(input_shape[0], 16, 3, bias=False)]
    for n_in, n_out in ((16, 32), (32, 64)):
        layers += [nn.BatchNorm2d(n_in), nn.ReLU(inplace=True)]
        layers += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=False)]
    layers += [nn.BatchNorm2d(64), nn.ReLU(inplace=True), DeterministicAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers)


def cifar_resnet18(input_shape: tuple[int, int, int]) -> nn.Sequential:
    """The paper's net: ResNet-18 with a 3 x 3 first convolution and no pooling after it.

    Parameters
    ----------
    input_shape : tuple (n_channels + 1, patch_size, patch_size)
    """
    from torchvision.models import resnet18

    net = resnet18()
    stem = nn.Conv2d(input_shape[0], 64, 3, padding=1, bias=False)
    blocks = (net.layer1, net.layer2, net.layer3, net.layer4)
    return nn.Sequential(stem, net.bn1, net.relu, *blocks, net.avgpool, nn.Flatten())


class RegionNet(nn.Module):
    """A trunk over patches with a position channel, a linear head over all attributes.

    The trunk's first convolution is linear, so what it makes of a patch and of a
    position add up. Scanning computes the positions' part once, and, where that
    convolution pads nothing, the picture's part once for all overlapping patches.

    Parameters
    ----------
    factory : callable
        From (n_channels + 1, k, k) to an ``nn.Sequential`` that begins with an
        ``nn.Conv2d`` and ends in features.
    n_channels : int
    grid : PatchGrid
    sizes : sequence of int
        Levels of each attribute.
    n_scanned : int or None
        Rows and columns of the grid that `forward` and `features` look at.
    """

    autocast_methods = ("patch_logits",)

    def __init__(
        self,
        factory: Callable[..., nn.Module],
        n_channels: int,
        grid: PatchGrid,
        sizes: Sequence[int],
        n_scanned: int | None = None,
    ) -> None:
        super().__init__()
        shape = (n_channels + 1, grid.patch, grid.patch)
        self.trunk = _checked(factory(shape), shape)
        self.grid, self.sizes = grid, tuple(sizes)
        self.position = nn.Embedding(len(grid), grid.patch**2)
        self.position.weight.data = _coordinates(grid)
        with torch.no_grad():
            n_features = self.trunk.eval()(torch.zeros(2, *shape)).flatten(1).shape[1]
        self.trunk.train()
        self.head = nn.Linear(n_features, sum(self.sizes))
        rows, columns = grid.spread(n_scanned)
        self._looked = (rows[:, None] * grid.n_columns + columns[None]).reshape(-1)

    # -- training: a few patches of each picture ------------------------------------

    def patch_logits(self, images: Tensor, places: Tensor) -> Tensor:
        """Logits of the patches at `places` (n, r) of each picture, shape (n * r, sum(sizes))."""
        patches = self._cut(_normalised(images), self.grid.patch, 1, places).flatten(0, 1)
        k = self.grid.patch
        position = self.position(places.reshape(-1)).view(-1, 1, k, k).to(patches.dtype)
        return self.head(self.trunk(torch.cat([patches, position], 1)).flatten(1))

    def _cut(self, x: Tensor, size: int, step: int, places: Tensor) -> Tensor:
        """Windows of `size` at `places` (n, r), every `step` pixels: (n, r, c, size, size)."""
        windows = x.unfold(2, size, 1).unfold(3, size, 1)
        down, across = self.grid.stride
        rows = places // self.grid.n_columns * (down // step)
        columns = places % self.grid.n_columns * (across // step)
        return windows[torch.arange(len(x), device=x.device)[:, None], :, rows, columns]

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution."""
        return cast(nn.Conv2d, self.trunk[0])

    # -- scanning: many patches of each picture -------------------------------------

    def scan(self, images: Tensor, places: Tensor) -> Tensor:
        """Logits at `places` (n, m) or, alike for all pictures, (m,): (n, m, sum(sizes))."""
        parts = [self.head(features) for features in self._scan(images, places)]
        return torch.cat(parts, 1)

    def _scan(self, images: Tensor, places: Tensor) -> Iterator[Tensor]:
        """Features of the patches, a few positions of all pictures at a time: (n, r, f)."""
        stem, rest = self.stem, self.trunk[1:]
        shared, step = self._shares_stem(stem), stem.stride[0]
        weight = stem.weight[:, :-1]
        x = _normalised(images)
        if shared:
            x = F.conv2d(x, weight, stem.bias, stem.stride)
        per_position, index = self._position_share(stem, places.unique())
        size = per_position.shape[-1] if shared else self.grid.patch
        for some in places.split(self._positions_at_once(len(x), per_position), dim=-1):
            each = some.expand(len(x), -1) if some.ndim == 1 else some
            cut = self._cut(x, size, step if shared else 1, each).flatten(0, 1)
            if not shared:
                cut = F.conv2d(cut, weight, stem.bias, stem.stride, _padding(stem))
            cut = cut.view(len(x), -1, *per_position.shape[1:])
            cut = cut + per_position[index[some]]
            features = rest(cut.flatten(0, 1)).flatten(1)
            yield features.view(len(x), each.shape[1], -1)

    def _position_share(self, stem: nn.Conv2d, used: Tensor) -> tuple[Tensor, Tensor]:
        """What the first convolution makes of each position used; where to find a position's."""
        k = self.grid.patch
        index = torch.zeros(len(self.grid), dtype=torch.int64, device=used.device)
        index[used] = torch.arange(len(used), device=used.device)
        channel = self.position.weight[used].view(-1, 1, k, k)
        return F.conv2d(channel, stem.weight[:, -1:], None, stem.stride, _padding(stem)), index

    def _shares_stem(self, stem: nn.Conv2d) -> bool:
        step = stem.stride[0]
        return (
            stem.padding in ((0, 0), "valid")
            and stem.stride[0] == stem.stride[1]
            and all(stride % step == 0 for stride in self.grid.stride)
        )

    @staticmethod
    def _positions_at_once(n: int, share: Tensor) -> int:
        room = _CHUNK if share.device.type == "cpu" else _WIDE
        return max(1, room // (n * share[0].numel()))

    # -- whole pictures ---------------------------------------------------------------

    @property
    def looked(self) -> Tensor:
        """The positions that a glance at a picture takes in, shape (m,)."""
        return to_device(torch.from_numpy(self._looked), self.head.weight.device)

    def features(self, images: Tensor) -> Tensor:
        """Mean features over the patches, shape (n, n_features)."""
        return torch.cat(list(self._scan(images, self.looked)), 1).mean(1)

    def probabilities(self, images: Tensor) -> list[Tensor]:
        """Of each attribute's levels, from all patches together: (n, K) each."""
        logits = self.scan(images, self.looked).split(self.sizes, dim=-1)
        # In double precision: rows sum to 1, as TorchClassifier has it.
        return [picture_probabilities(as_double(block).softmax(-1)) for block in logits]

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the first attribute for whole pictures, shape (n, K)."""
        return self.probabilities(images)[0].clamp_min(1e-12).log()


def _padding(stem: nn.Conv2d) -> Any:
    # torch takes the word too, and types the two forms as two functions.
    return stem.padding


def _normalised(images: Tensor) -> Tensor:
    return images * 2 - 1


def _coordinates(grid: PatchGrid) -> Tensor:
    """Where each patch begins, for the channel to start from: (p, k * k).

    The upper half of the channel holds the row and the lower half the column, from
    -1 to 1. Neighbouring positions so start with similar values; with random values, each of
    hundreds of positions would have to be learned separately.
    """
    rows = torch.linspace(-1, 1, grid.n_rows) if grid.n_rows > 1 else torch.zeros(1)
    columns = torch.linspace(-1, 1, grid.n_columns) if grid.n_columns > 1 else torch.zeros(1)
    channel = torch.empty(grid.n_rows, grid.n_columns, grid.patch, grid.patch)
    half = grid.patch // 2
    channel[:, :, :half] = rows[:, None, None, None]
    channel[:, :, half:] = columns[None, :, None, None]
    return channel.reshape(len(grid), -1)


def _checked(trunk: nn.Module, shape: tuple[int, int, int]) -> nn.Sequential:
    stem = trunk[0] if isinstance(trunk, nn.Sequential) and len(trunk) > 1 else None
    if not isinstance(stem, nn.Conv2d) or stem.in_channels != shape[0]:
        raise InputError(
            f"backbone gave {type(trunk).__name__}; a region classifier needs an nn.Sequential "
            f"that begins with an nn.Conv2d of {shape[0]} input channels (those of the picture "
            "and one for the position), which scanning takes apart."
        )
    if stem.dilation != (1, 1) or stem.groups != 1 or stem.padding_mode != "zeros":
        raise InputError(
            "backbone begins with a convolution that is dilated, grouped or not padded with "
            "zeros. Begin with a plain nn.Conv2d."
        )
    assert isinstance(trunk, nn.Sequential)
    return trunk
