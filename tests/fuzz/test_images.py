"""Image files that are damaged, mislabelled, enormous, or no files at all."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hostile import NASTY, damaged, pictures, times
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fairvision.datasets import ImageFiles
from fairvision.exceptions import BadImageError

PICTURES = pictures()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


def read(path: Path) -> np.ndarray | BadImageError:
    """What a user gets: for Pillow's own warnings of odd files, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ImageFiles([path], image_size=8, n_threads=1)[0]
        except BadImageError as error:
            return error


def check(found: np.ndarray | BadImageError, path: Path) -> None:
    if isinstance(found, BadImageError):
        assert path.name in str(found)
        assert "\n" not in str(found)
    else:
        assert (found.shape, found.dtype) == ((3, 8, 8), np.uint8)


@times(1000)
@given(st.sampled_from(sorted(PICTURES)).flatmap(lambda kind: damaged(PICTURES[kind])))
def test_damaged_pictures(folder: Path, content: bytes) -> None:
    path = folder / "damaged.jpg"  # the ending says nothing of the kind
    path.write_bytes(content)
    check(read(path), path)


@times(300)
@given(st.binary(max_size=200), st.sampled_from(sorted(PICTURES)), st.integers(2, 40))
def test_rubbish_behind_the_first_bytes_of_a_picture(
    folder: Path, rubbish: bytes, kind: str, n: int
) -> None:
    path = folder / "rubbish.png"
    path.write_bytes(PICTURES[kind][:n] + rubbish)
    check(read(path), path)


@pytest.mark.parametrize("kind", sorted(PICTURES))
def test_what_is_whole_is_read_whatever_its_ending(tmp_path: Path, kind: str) -> None:
    for ending in ("jpg", "png", "txt", "exe", "pkl"):
        path = tmp_path / f"whole.{ending}"
        path.write_bytes(PICTURES[kind])
        assert isinstance(read(path), np.ndarray)


def test_kinds_that_pillow_would_hand_to_others_are_refused(tmp_path: Path) -> None:
    """EPS starts Ghostscript; the others have no place among photographs."""
    picture = Image.new("RGB", (8, 8))
    for kind in ("EPS", "PDF", "ICO", "PCX", "TGA", "SGI"):
        path = tmp_path / f"odd.{kind.lower()}"
        picture.save(path, format=kind)
        assert isinstance(read(path), BadImageError)


@pytest.mark.parametrize("name", [n for n in NASTY if n and "/" not in n and "\0" not in n])
def test_any_name_that_a_file_can_have(tmp_path: Path, name: str) -> None:
    try:
        path = tmp_path / name
        path.write_bytes(PICTURES["PNG"])
    except (OSError, UnicodeEncodeError):
        pytest.skip("no file can have this name")
    found = read(path)
    assert isinstance(found, np.ndarray)
    path.write_bytes(b"")
    error = str(read(path))
    assert error.isprintable()


def test_names_that_no_file_can_have_are_named(tmp_path: Path) -> None:
    for name in ("a\0b.jpg", "\ud800.jpg", "x" * 5000, "a/" * 3000 + "x.jpg"):
        for cache in (None, tmp_path / "cache"):
            images = ImageFiles([tmp_path / name], image_size=8, cache=cache)
            with pytest.raises(BadImageError):
                images[0]
            assert list(images.without_bad()[1]) == [0]


def test_a_pipe_or_a_device_is_no_picture_and_does_not_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", Path("/dev/zero"), Path("/dev/stdin")):
        good, errors = ImageFiles([path], image_size=8).without_bad()
        assert len(good) == 0
        assert "is not a file" in errors[0]


def chunk(kind: bytes, content: bytes) -> bytes:
    whole = kind + content
    return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))


def png_bomb(side: int) -> bytes:
    """A PNG of zeros: some hundred kilobytes whose header states gigabytes."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    packer, row = zlib.compressobj(1), bytes(1 + 3 * side)
    # All rows would take long to pack; the first thousand are more than enough to be noticed.
    pixels = b"".join(packer.compress(row) for _ in range(min(side, 1000))) + packer.flush()
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bombs() -> dict[str, bytes]:
    """Small files whose headers state tens of thousands of pixels a side."""
    jpeg, webp, bmp = (bytearray(PICTURES[kind]) for kind in ("JPEG", "moving WEBP", "BMP"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65500, 65500)
    canvas = webp.index(b"VP8X") + 12
    webp[canvas : canvas + 6] = (16382).to_bytes(3, "little") * 2
    bmp[18:26] = struct.pack("<ii", 50_000, 50_000)
    gif = bytearray(PICTURES["GIF"])
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    inner = bytearray(PICTURES["GIF"])  # small outside, its first frame is not
    place = inner.index(b",", 13 + 3 * 256)
    inner[place + 5 : place + 9] = struct.pack("<HH", 65535, 65535)
    tiff = bytearray(PICTURES["TIFF"])
    for tag in (256, 257):
        place = tiff.index(struct.pack("<HHI", tag, 4, 1)) + 8
        tiff[place : place + 4] = struct.pack("<I", 50_000)
    return {
        "png": png_bomb(50_000), "jpg": bytes(jpeg), "webp": bytes(webp), "bmp": bytes(bmp),
        "gif": bytes(gif), "inner.gif": bytes(inner), "tif": bytes(tiff),
        "ppm": b"P6\n50000 50000\n255\n",
    }  # fmt: skip


MEASURE = """
import resource, sys, warnings
from fairvision.datasets import ImageFiles
from fairvision.exceptions import BadImageError
warnings.simplefilter("ignore")
first, *paths = sys.argv[1:]
ImageFiles([first], image_size=8)[0]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in paths:
    try:
        ImageFiles([path], image_size=8, max_pixels=50_000_000)[0]
    except BadImageError as error:
        print(error)
    else:
        print("DECODED", path)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_bombs_are_refused_by_their_headers_before_memory_is_taken(tmp_path: Path) -> None:
    plain = tmp_path / "plain.png"
    plain.write_bytes(PICTURES["PNG"])
    paths = []
    for name, content in bombs().items():
        paths.append(tmp_path / f"bomb.{name}")
        paths[-1].write_bytes(content)
        assert len(content) < 1_000_000
    command = [sys.executable, "-c", MEASURE, str(plain), *map(str, paths)]
    *said, grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )[:-1]
    assert [name for name in bombs() if not any(f"bomb.{name}'" in line for line in said)] == []
    assert not any("DECODED" in line for line in said)
    assert "2500000000 pixels" in said[0]
    assert float(grown) < 30  # MiB; the smallest of them decodes to 800
