"""What is kept on disk between two runs: checkpoints, decoded images, weights by name of a file."""

from __future__ import annotations

import io
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile import damaged, forged, times
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from fairvision.datasets import ImageFiles
from fairvision.exceptions import DatasetError, DivergedError, InputError
from fairvision.nn import TorchClassifier, TrainingCheckpoint
from fairvision.nn.weights import load_trunk, read_state

pytestmark = pytest.mark.cpu

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 3, 8, 8), dtype=np.uint8)
Y = np.arange(8) % 2


def small(shape: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 2))


def model(folder: Path | None, **params: Any) -> TorchClassifier:
    keeper = [] if folder is None else [TrainingCheckpoint(folder, every=1, keep=True)]
    given = {"backbone": small, "optimizer": "sgd", "max_epochs": 2, "random_state": 0}
    return TorchClassifier(**given | params, callbacks=keeper)


def weights(fitted: TorchClassifier) -> bytes:
    return b"".join(t.numpy().tobytes() for t in fitted.module_.state_dict().values())


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, bytes]:
    """The file of a training that is over, what it holds, and the weights."""
    folder = tmp_path_factory.mktemp("kept")
    whole = weights(model(folder).fit(IMAGES, Y))
    (path,) = folder.glob("*.pt")
    return path, path.read_bytes(), whole


def assert_trained(kept: tuple[Path, bytes, bytes], content: bytes) -> None:
    path, _, whole = kept
    path.write_bytes(content)
    assert weights(model(path.parent).fit(IMAGES, Y)) == whole


@times(20)
@given(st.data())
def test_damaged_checkpoints_are_none(kept: Any, data: Any) -> None:
    assert_trained(kept, data.draw(damaged(kept[1])))


@times(20)
@given(st.data())
def test_forged_checkpoints_run_nothing_and_raise_nothing(kept: Any, data: Any) -> None:
    """With a checksum that is right: whoever can do that can change numbers, and no more."""
    path, content, _ = kept
    inside = torch.load(io.BytesIO(content[32:]), weights_only=True)
    changed = data.draw(forged({k: v for k, v in inside.items() if k != "name"}))
    buffer = io.BytesIO()
    torch.save({**changed, "name": inside["name"]}, buffer)
    path.write_bytes(sha256(buffer.getvalue()).digest() + buffer.getvalue())
    with suppress(DivergedError):  # of numbers that are not finite
        model(path.parent).fit(IMAGES, Y)


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, bytes], Path]:
    """Photographs, the two files of their cache, and its folder."""
    root = tmp_path_factory.mktemp("photos")
    for i, pixels in enumerate(IMAGES[:3].transpose(0, 2, 3, 1)):
        Image.fromarray(pixels).save(root / f"{i}.png")
    paths, folder = [str(path) for path in sorted(root.glob("*.png"))], root / "cache"
    opened(paths, folder)
    return paths, {path.suffix: path.read_bytes() for path in folder.iterdir()}, folder


def opened(paths: list[str], folder: Path) -> None:
    found = np.asarray(ImageFiles(paths, image_size=8, cache=folder))
    np.testing.assert_array_equal(found, np.asarray(ImageFiles(paths, image_size=8)))


@pytest.mark.parametrize("ending", [".npy", ".json"])
@times(60)
@given(st.data())
def test_a_cache_that_is_no_cache_is_made_anew(cached: Any, ending: str, data: Any) -> None:
    paths, whole_of, folder = cached
    (path,) = folder.glob(f"*{ending}")
    whole = whole_of[ending]
    header = whole[:128] if ending == ".npy" else whole  # pixels have no checksum
    words = [b"", b"[]", b"null", b'{"x": 1}', b"[" * 9000, b"PK\5\6" + bytes(18), b'{"0": []}']
    changed = data.draw(damaged(header) | st.sampled_from(words))
    path.write_bytes(
        changed + whole[128:] if ending == ".npy" and changed not in words else changed
    )
    images = ImageFiles(paths, image_size=8, cache=folder)
    with suppress(DatasetError):  # the notes say which images are bad
        assert np.asarray(images).shape == (3, 3, 8, 8)
    path.write_bytes(whole)
    opened(paths, folder)


@times(60)
@given(st.data())
def test_weights_by_the_name_of_a_damaged_file(tmp_path: Path, data: Any) -> None:
    buffer, trunk = io.BytesIO(), nn.Linear(2, 2)
    torch.save({**trunk.state_dict(), "more": [1, "a"]}, buffer)
    path = tmp_path / "weights.pt"
    path.write_bytes(data.draw(damaged(buffer.getvalue())))
    with suppress(InputError):
        load_trunk(trunk, read_state(path), (), path, "net")
