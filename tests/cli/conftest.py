"""A folder of small pictures for commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures; dogs are red, and their names need quotes in a CSV."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    (root / 'a "b", c').mkdir()
    rows = []
    for i in range(40):
        kind, coat = ("cat", "dog")[i % 2], ("plain", "spotted")[i // 2 % 2]
        pixels = rng.integers(0, 100, (14, 15, 3), dtype=np.uint8)
        pixels[..., 0] += 120 * (kind == "dog")
        path = f'a "b", c/{i:02}.png'
        Image.fromarray(pixels).save(root / path)
        rows.append({"path": path, "kind": kind, "coat": coat})
    pd.DataFrame(rows).to_csv(root / "labels.csv", index=False)
    return root
