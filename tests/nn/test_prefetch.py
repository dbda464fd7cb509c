"""Batches read ahead: in order, errors in their place, and the same numbers."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fairvision.datasets import ImageFiles
from fairvision.exceptions import BadImageError
from fairvision.nn import TorchClassifier
from fairvision.nn.prefetch import prefetch

pytestmark = pytest.mark.cpu


class Files:
    reads_in_threads = True


def test_the_next_part_is_read_while_the_last_is_used():
    begun = [threading.Event() for _ in range(5)]

    def read(part: int) -> int:
        begun[part].set()
        return part * part

    for part, result in enumerate(prefetch(read, range(5), Files())):
        assert result == part * part
        # Waited for, not slept for: were nothing read ahead this would time out.
        assert part == 4 or begun[part + 1].wait(30)
        assert not any(event.is_set() for event in begun[part + 2 :])  # one ahead, not all


@pytest.mark.parametrize("images", [np.zeros(3), torch.zeros(3), object()])
def test_images_that_do_not_say_so_are_read_where_they_are_used(images):
    here = threading.current_thread()
    assert list(prefetch(lambda part: threading.current_thread(), [1, 2], images)) == [here] * 2


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_parts(n):
    assert list(prefetch(str, range(n), Files())) == [str(i) for i in range(n)]


def test_an_error_comes_in_its_place_and_no_thread_is_left():
    before = threading.active_count()
    parts = prefetch(lambda part: 1 // (3 - part), range(9), Files())
    assert [next(parts) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(parts)
    half = prefetch(str, range(9), Files())
    next(half)
    half.close()  # as where training stops early
    for thread in threading.enumerate():
        if thread.name.startswith("fairvision-read"):
            thread.join(30)
    assert threading.active_count() == before


@pytest.mark.parametrize("ending", [GeneratorExit, KeyboardInterrupt])
def test_who_stops_early_does_not_wait_for_the_reading_thread(ending):
    read_on = threading.Event()

    def read(part: int) -> int:
        assert part == 0 or read_on.wait(60)
        return part

    batches = prefetch(read, range(9), Files())
    assert next(batches) == 0

    # The garbage collector closes a generator where it likes, also where a wait never ends.
    def stop() -> None:
        with suppress(ending):
            batches.throw(ending)

    closing = threading.Thread(target=stop)
    closing.start()
    closing.join(30)
    assert not closing.is_alive()
    read_on.set()


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = []
    for i in range(40):
        picture = rng.integers(0, 120, (24, 24, 3)) + 100 * (i % 2)
        paths.append(tmp_path / f"{i:02d}.png")
        Image.fromarray(picture.astype(np.uint8)).save(paths[-1])
    return paths


def test_files_train_and_predict_to_the_bits_of_an_array(photographs):
    files, y = ImageFiles(photographs, image_size=24), np.arange(40) % 2
    array = np.asarray(files)
    found = []
    for images in (files, array):
        model = TorchClassifier(
            max_epochs=3, batch_size=8, random_state=0, device="cpu",
            train_transform=lambda x: x + 0.01 * torch.randn_like(x),
        ).fit(images, y)  # fmt: skip
        found.append(model.predict_proba(images))
    assert (found[0] == found[1]).all()


def test_a_bad_file_is_named_in_training_and_in_prediction(photographs):
    y = np.arange(40) % 2
    model = TorchClassifier(max_epochs=1, batch_size=8, random_state=0, device="cpu")
    model.fit(ImageFiles(photographs, image_size=24), y)
    photographs[33].write_bytes(b"")
    images = ImageFiles(photographs, image_size=24)
    with pytest.raises(BadImageError, match=r"33\.png"):
        model.predict(images)
    with pytest.raises(BadImageError, match=r"33\.png"):
        model.fit(images, y)


@pytest.mark.parametrize("images", [Files(), object()])
def test_what_was_read_comes_before_an_error_of_what_is_to_be_read(images):
    def parts():
        yield from (0, 1)
        raise RuntimeError("no more")

    got = []
    with pytest.raises(RuntimeError, match="no more"):  # noqa: PT012
        for result in prefetch(str, parts(), images):
            got.append(result)
    assert got == ["0", "1"]
