"""The cache of decoded images, killed, shared, and overtaken by its files."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from fairvision.base.decoded_cache import Cache
from fairvision.base.image_decoder import Decoder
from fairvision.datasets import ImageFiles
from fairvision.exceptions import DatasetError

# One process that has everything imported, and children of it: a kill takes a millisecond.
KILLED = """
import os, signal, sys, time
import numpy as np
from fairvision.datasets import ImageFiles
cache, *paths = sys.argv[1:]
paths = paths * 40
truth = np.asarray(ImageFiles(paths, image_size=16, n_threads=1))
rng = np.random.default_rng(0)

def child():
    pid = os.fork()
    if pid == 0:
        np.asarray(ImageFiles(paths, image_size=16, n_threads=1, cache=cache))
        os._exit(0)
    return pid

start = time.perf_counter()
child_time = child(); os.waitpid(child_time, 0)
whole = time.perf_counter() - start
for name in os.listdir(cache):
    os.unlink(os.path.join(cache, name))
killed = complete = 0
for _ in range(60):  # some end before they are killed: on a busy machine most of the first
    if killed == 20:
        break
    pid = child()
    time.sleep(whole * 1.1 * rng.random())
    os.kill(pid, signal.SIGKILL)
    if os.waitpid(pid, 0)[1] == signal.SIGKILL:
        killed += 1
    else:
        whole *= 0.8
    found = ImageFiles(paths, image_size=16, n_threads=1, cache=cache)._reader.cache.open()
    if found is not None:
        complete += 1
        assert (found[0] == truth).all(), "a half-written cache was believed"
        for name in os.listdir(cache):
            os.unlink(os.path.join(cache, name))
assert killed >= 10, killed
assert (np.asarray(ImageFiles(paths, image_size=16, n_threads=1, cache=cache)) == truth).all()

for name in os.listdir(cache):
    os.unlink(os.path.join(cache, name))
both = [child(), child()]
assert [os.waitpid(pid, 0)[1] for pid in both] == [0, 0]
again = ImageFiles(paths, image_size=16, n_threads=1, cache=cache)
assert (np.asarray(again) == truth).all() and again.n_decoded == 0
assert sorted(os.path.splitext(name)[1] for name in os.listdir(cache)) == [".json", ".npy"]
print("killed", killed, "complete", complete)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_twenty_kills_and_two_writers_leave_no_cache_that_is_wrong(
    photo_paths: list[str], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "cache"), *photo_paths]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("killed")


def test_a_photograph_that_changes_while_it_is_decoded_makes_no_cache(
    photo_paths: list[str], tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache", photo_paths, Decoder(8, 8))

    def decoding():
        yield np.zeros((12, 3, 8, 8), np.uint8), {}
        Image.new("RGB", (50, 50), "white").save(photo_paths[3])

    with pytest.raises(DatasetError, match="changed while"):
        cache.write(decoding())
    assert list((tmp_path / "cache").iterdir()) == []
    images = ImageFiles(photo_paths, image_size=8, cache=tmp_path / "cache")
    assert images[3].min() == 255


def test_what_a_killed_process_left_is_removed_and_what_is_being_written_is_not(
    photo_paths: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    images = ImageFiles(photo_paths, image_size=8, cache=folder)
    folder.mkdir()
    name = images._reader.cache.name
    dead, alive, other = (folder / f".{n}.npy.x.partial" for n in (name, name + "y", "0" * 32))
    for part in (dead, alive, other):
        part.write_bytes(b"half")
    for part in (dead, other):
        os.utime(part, (time.time() - 3600,) * 2)
    assert_array_equal(np.asarray(images), np.asarray(ImageFiles(photo_paths, image_size=8)))
    assert not dead.exists()
    assert alive.exists()
    assert other.exists()
