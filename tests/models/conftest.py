"""A folder of small picture files, and models that were fitted on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import fairvision as fv

if TYPE_CHECKING:
    from sklearn.utils import Bunch

    from fairvision.nn import TorchClassifier


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures of 20 x 16 pixels; the red ones are dogs."""
    import pandas as pd

    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(40):
        kind, coat = ("cat", "dog")[i % 2], ("plain", "spotted")[rng.integers(2)]
        pixels = rng.integers(0, 100, (16, 20, 3), dtype=np.uint8)
        pixels[..., 0] += 120 * (kind == "dog")
        (root / str(i % 3)).mkdir(exist_ok=True)
        path = f"{i % 3}/{i:02}.png"
        Image.fromarray(pixels).save(root / path)
        rows.append({"path": path, "kind": kind, "coat": coat})
    pd.DataFrame(rows).to_csv(root / "labels.csv", index=False)
    return root


@pytest.fixture(scope="session")
def data(folder: Path) -> Bunch:
    return fv.datasets.load(
        "folder", root=folder, labels="labels.csv", target="kind", sensitive="coat",
        image_size=(12, 10), resize="squash",
    )  # fmt: skip


@pytest.fixture(scope="session")
def classifier(data: Bunch) -> TorchClassifier:
    from fairvision.nn import TorchClassifier

    return TorchClassifier("mlp", max_epochs=8, lr=0.01, random_state=0).fit(
        data.images, data.target
    )


@pytest.fixture(scope="session")
def model(classifier: TorchClassifier, data: Bunch) -> fv.ImageModel:
    return fv.ImageModel.from_dataset(classifier, data, facts={"method": "fairvision:erm"})
