"""The cache of features: killed, cut, shared, and overtaken by its pictures or weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from PIL import Image
from torch import nn

from fairvision.datasets import ImageFiles, from_torch
from fairvision.exceptions import DatasetError
from fairvision.nn import FeatureExtractor
from fairvision.nn.feature_cache import FeatureCache

SHAPE = (3,)


def truth(images: np.ndarray) -> np.ndarray:
    pixels = np.asarray(images, dtype=np.float32)
    return np.stack([pixels.mean((1, 2, 3)), pixels[:, 0, 0, 0], pixels[:, -1, -1, -1]], axis=1)


class Counted:
    """Computes features, and counts the pictures; stops after so many."""

    def __init__(self, stop: int | None = None) -> None:
        self.n = 0
        self.stop = stop

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.n += len(images)
        if self.stop is not None and self.n > self.stop:
            raise KeyboardInterrupt
        return truth(images)


def pixels(n: int = 600, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 3, 4, 4), dtype=np.uint8)


def check(folder: Path, images: np.ndarray, n_computed: int, net: str = "net") -> None:
    """A new process, as it were, reads the right features and computes so many."""
    compute = Counted()
    assert_array_equal(FeatureCache(folder, net, SHAPE).read(images, compute), truth(images))
    assert compute.n == n_computed


def files(folder: Path, net: str = "net") -> tuple[Path, Path]:
    return folder / net / "features.f32", folder / net / "rows"


def test_a_second_pass_computes_nothing_and_copies_nothing(tmp_path):
    images = pixels()
    check(tmp_path, images, 600)
    again = FeatureCache(tmp_path, "net", SHAPE).read(images[100:500], Counted())
    assert isinstance(again, np.memmap)
    assert not again.flags.writeable
    order = np.random.default_rng(1).permutation(600)
    check(tmp_path, images[order], 0)


def test_only_new_pictures_are_computed_and_each_once(tmp_path):
    images = pixels()
    check(tmp_path, images[:300], 300)
    check(tmp_path, np.concatenate([images[200:400], images[350:400]]), 100)
    replaced = images[:300].copy()
    replaced[7] = 0
    check(tmp_path, replaced, 1)


def test_other_weights_and_other_kinds_of_pixels_have_rows_of_their_own(tmp_path):
    images = pixels(20)
    check(tmp_path, images, 20)
    check(tmp_path, images, 20, net="other")
    check(tmp_path, images.astype(np.float32) / 255, 20)
    check(tmp_path, images.reshape(20, 3, 2, 8), 20)


def test_a_pass_that_was_stopped_goes_on(tmp_path):
    images = pixels()
    with pytest.raises(KeyboardInterrupt):
        FeatureCache(tmp_path, "net", SHAPE).read(images, Counted(stop=300))
    check(tmp_path, images, 600 - 256)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_files_that_were_cut_anywhere(tmp_path, which, kept):
    images, file = pixels(), files(tmp_path)[which]
    check(tmp_path, images, 600)
    size = file.stat().st_size
    os.truncate(file, kept if kept >= 0 else size - 1)
    a_row = size // 600
    check(tmp_path, images, 600 - (kept // a_row if kept >= 0 else 599))
    check(tmp_path, images, 0)
    assert file.stat().st_size == size


@pytest.mark.parametrize("which", [0, 1])
def test_rows_that_are_half_written_or_damaged(tmp_path, which):
    images, file = pixels(), files(tmp_path)[which]
    check(tmp_path, images, 600)
    a_row = file.stat().st_size // 600
    with file.open("ab") as opened:  # a block whose other file was never written
        opened.write(b"garbage" * 100)
    check(tmp_path, images, 0)
    content = bytearray(file.read_bytes())
    content[5 * a_row : 6 * a_row] = b"\0" * a_row
    file.write_bytes(content)
    check(tmp_path, images[:300], 1)
    check(tmp_path, images, 0)


def test_a_file_of_another_net_in_its_place_is_not_believed(tmp_path):
    images = pixels()
    check(tmp_path, images, 600)
    features, _ = files(tmp_path)
    features.write_bytes(np.zeros((600, 3), "<f4").tobytes())
    check(tmp_path, images, 600)
    check(tmp_path, images, 0)


def test_a_cache_in_use_sees_what_others_add_or_cut(tmp_path):
    images, mine = pixels(), FeatureCache(tmp_path, "net", SHAPE)
    assert_array_equal(mine.read(images[:50], Counted()), truth(images[:50]))
    check(tmp_path, images, 550)
    assert_array_equal(mine.read(images, Counted(stop=0)), truth(images))
    os.truncate(files(tmp_path)[1], 0)
    assert_array_equal(mine.read(images, Counted()), truth(images))


def test_two_that_begin_together_share_the_work(tmp_path):
    images, found = pixels(3000), {}
    counts = [Counted(), Counted()]

    def run(i: int) -> None:
        found[i] = FeatureCache(tmp_path, "net", SHAPE).read(images, counts[i])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_array_equal(found[0], truth(images))
    assert_array_equal(found[1], truth(images))
    assert counts[0].n + counts[1].n == 3000


KILLED = """
import os, signal, sys
import numpy as np
from fairvision.nn import feature_cache
images = np.load(sys.argv[2])
write, n = feature_cache._write, 0

def killed(path, place, content):
    global n
    n += 1
    if n == int(sys.argv[3]):
        write(path, place, memoryview(content).cast("B")[: 100])
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, place, content)

feature_cache._write = killed
compute = lambda some: np.repeat(some.astype(np.float32).mean((1, 2, 3))[:, None], 3, 1)
feature_cache.FeatureCache(sys.argv[1], "net", (3,)).read(images, compute)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize(("write", "n_kept"), [(3, 256), (4, 256 + 5)])
def test_a_process_that_was_killed_while_it_wrote(tmp_path, write, n_kept):
    images = pixels()
    np.save(tmp_path / "images.npy", images)
    arguments = [str(tmp_path / "cache"), str(tmp_path / "images.npy"), str(write)]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    compute = Counted()
    mean = FeatureCache(tmp_path / "cache", "net", SHAPE).read(images, compute)[:, 0]
    np.testing.assert_allclose(mean, truth(images)[:, 0], rtol=1e-6)
    assert compute.n == 600 - n_kept


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"file/net' cannot be written.*cache=None"):
        FeatureCache(tmp_path / "file", "net", SHAPE).read(pixels(4), truth)


@pytest.mark.cpu  # bits of batches of other sizes are compared
class TestExtractor:
    @pytest.fixture
    def net(self) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())

    @pytest.fixture
    def images(self, tmp_path) -> ImageFiles:
        (tmp_path / "images").mkdir()
        paths = [tmp_path / "images" / f"{i}.png" for i in range(5)]
        for path, image in zip(paths, pixels(5), strict=True):
            Image.fromarray(image.transpose(1, 2, 0)).save(path)
        return ImageFiles(paths, image_size=8)

    def test_it_changes_no_feature_and_decodes_once(self, tmp_path, net, images):
        plain = FeatureExtractor(net).fit_transform(images)
        decoded = images.n_decoded
        for _ in range(3):
            cached = FeatureExtractor(net, cache=tmp_path / "cache")
            assert_array_equal(cached.fit_transform(images), plain)
        assert images.n_decoded == decoded + 5

    def test_a_replaced_file_is_computed_again_alone(self, tmp_path, net, images):
        extractor = FeatureExtractor(net, cache=tmp_path / "cache").fit(images)
        before, decoded = np.array(extractor.transform(images)), images.n_decoded
        Image.new("RGB", (9, 9), "red").save(images.paths[2])
        os.utime(images.paths[2], ns=(1, 1))
        after = extractor.transform(images)
        assert images.n_decoded == decoded + 1
        assert (before != after).any(axis=1).tolist() == [False, False, True, False, False]

    def test_weights_layer_and_size_have_rows_of_their_own(self, tmp_path, net, images):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())
        for params in (
            {}, {"layer": "0"}, {"image_size": 6}, {"backbone": other}, {"layer": "1"},
        ):  # fmt: skip
            given = {"backbone": net, **params}
            cached = FeatureExtractor(**given, cache=tmp_path / "cache").fit_transform(images)
            assert_array_equal(cached, FeatureExtractor(**given).fit_transform(images))
        assert len(list((tmp_path / "cache").iterdir())) == 5

    def test_items_of_a_torch_data_set(self, tmp_path, net):
        pictures = torch.rand(6, 3, 8, 8)
        lazy = from_torch(torch.utils.data.TensorDataset(pictures, torch.arange(6) % 2)).images
        for _ in range(2):
            cached = FeatureExtractor(net, cache=tmp_path / "cache").fit_transform(lazy)
            np.testing.assert_allclose(cached, net(pictures).detach(), atol=1e-6)
