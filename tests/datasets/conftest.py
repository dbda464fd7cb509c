"""Small folders of images, written where a test can break them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """Twelve JPEGs of 40 x 30 pixels, each of one grey that its number tells."""
    root = tmp_path / "photos"
    root.mkdir()
    for i in range(12):
        Image.new("RGB", (40, 30), (20 * i, 20 * i, 20 * i)).save(root / f"{i:02d}.jpg", quality=95)
    return root


@pytest.fixture
def photo_paths(photo_folder: Path) -> list[str]:
    return sorted(str(path) for path in photo_folder.iterdir())


@pytest.fixture(scope="session")
def utkface() -> Path:
    root = os.environ.get("FAIRVISION_UTKFACE")
    if not root:
        pytest.skip("FAIRVISION_UTKFACE names no folder")
    return Path(root)


def truncate(path: Path) -> None:
    """Cut a photograph short, as a broken download does."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture
def broken(photo_folder: Path) -> Path:
    path = photo_folder / "05.jpg"
    truncate(path)
    return path
