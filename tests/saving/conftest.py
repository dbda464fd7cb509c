"""Tiny pictures and models, and files whose manifest has been rewritten."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from sklearn.utils import Bunch
    from torch import nn

    from fairvision.nn import TorchClassifier

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def tiny() -> nn.Module:
    """A model as somebody else might have trained it."""
    import torch
    from torch import nn

    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(3 * 8 * 8, 5)
            self.norm = nn.BatchNorm1d(5)
            self.readout = nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.readout(self.norm(self.first(x.flatten(1))).relu())

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Tiny()


@pytest.fixture(scope="session")
def data() -> Bunch:
    from sklearn.utils import Bunch

    rng = np.random.default_rng(0)
    target = np.array(["cat", "dog"])[np.arange(40) % 2]
    images = rng.integers(0, 100, (40, 3, 8, 8), dtype=np.uint8)
    images[:, 0] += ((target == "dog") * 60).astype(np.uint8)[:, None, None]
    images.setflags(write=False)
    groups = rng.choice(["left", "right"], 40)
    return Bunch(images=images, target=target, groups=groups)


@pytest.fixture(scope="session")
def model(data: Bunch) -> TorchClassifier:
    from fairvision.nn import TorchClassifier

    model = TorchClassifier("mlp", max_epochs=2, random_state=0, device="cpu")
    return model.fit(data.images, data.target, sensitive_features=data.groups)


@pytest.fixture
def rewritten(tmp_path: Path) -> Callable[[Path, Edit], Path]:
    """Edit a file's manifest and give it a right checksum again, as a forger would."""
    from fairvision.saving._file import pack, unpack

    def rewrite(path: Path, edit: Edit) -> Path:
        manifest, tensors = unpack(path.read_bytes())
        manifest = json.loads(json.dumps(manifest))
        version = manifest.pop("format")
        del manifest["sha256"]
        edit(manifest)
        forged = tmp_path / "forged.safetensors"
        forged.write_bytes(pack({"format": version} | manifest, tensors))
        return forged

    return rewrite
