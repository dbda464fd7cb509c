"""The range of a pixel: stated, seen, given or refused; never assumed."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fairvision.base import LazyImages, check_images, take
from fairvision.datasets import ImageFiles, from_torch
from fairvision.exceptions import BadImageError, InputError

RAMP = np.arange(256, dtype=np.uint16).reshape(16, 16)


def read(path: Path, **options: Any) -> np.ndarray:
    return np.asarray(ImageFiles([path], image_size=16, mode="L", **options))[0, 0]


def chunk(name: bytes, content: bytes) -> bytes:
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png(path: Path, values: np.ndarray, colour: int) -> Path:
    """A PNG of 16 bits, of the kinds that Pillow does not write: 2 is RGB, 4 grey with alpha."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


@pytest.mark.parametrize(("bits", "white"), [(8, 255), (10, 1023), (12, 4095), (16, 65535)])
def test_the_same_ramp_from_any_number_of_bits(tmp_path: Path, bits: int, white: int) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(RAMP << (bits - 8)).save(path)
    assert (read(path, pixel_max=white) == RAMP).all()
    if bits == 16:
        assert (read(path) == RAMP).all()  # a value above 32767 needs all of them
    else:
        with pytest.raises(BadImageError, match=r"highest value is \d+ .* pixel_max"):
            read(path)


def test_black_is_black_and_values_above_white_are_refused(tmp_path: Path) -> None:
    Image.fromarray(RAMP * 0).save(tmp_path / "black.png")
    assert (read(tmp_path / "black.png") == 0).all()
    Image.fromarray(RAMP << 4).save(tmp_path / "x.png")
    with pytest.raises(BadImageError, match="0 to 4080; expected 0 to 1023"):
        read(tmp_path / "x.png", pixel_max=1023)
    with pytest.raises(InputError, match="pixel_max"):
        read(tmp_path / "x.png", pixel_max=0)


def test_headers_that_state_white(tmp_path: Path) -> None:
    values = RAMP << 4
    (tmp_path / "x.pgm").write_bytes(b"P5 16 16 4095\n" + values.astype(">u2").tobytes())
    assert abs(read(tmp_path / "x.pgm").astype(int) - RAMP).max() <= 1
    Image.fromarray(values).save(tmp_path / "x.tif", tiffinfo={281: 4095})
    assert (read(tmp_path / "x.tif") == RAMP).all()
    Image.fromarray(values).save(tmp_path / "none.tif")
    with pytest.raises(BadImageError, match="pixel_max"):
        read(tmp_path / "none.tif")


@pytest.mark.parametrize(("kind", "white"), [("f", 1.0), ("f", 255.0), ("i", 100_000)])
def test_floats_and_wide_integers_need_to_be_told(tmp_path: Path, kind: str, white: float) -> None:
    values = (RAMP * (white / 255)).astype(np.float32 if kind == "f" else np.int32)
    Image.fromarray(values).save(tmp_path / "x.tif")
    with pytest.raises(BadImageError, match="pixel_max"):
        read(tmp_path / "x.tif")
    assert abs(read(tmp_path / "x.tif", pixel_max=white).astype(int) - RAMP).max() <= 1
    Image.fromarray(-values).save(tmp_path / "x.tif")
    with pytest.raises(BadImageError, match="expected 0 to"):
        read(tmp_path / "x.tif", pixel_max=white)


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_colours_of_sixteen_bits(tmp_path: Path, colour: int, channels: int) -> None:
    def values(bits: int) -> np.ndarray:
        stacked = np.repeat((RAMP << (bits - 8))[..., None], channels, axis=2)
        if channels != 3:
            stacked[..., -1] = 65535  # opaque
        return stacked

    assert (read(png(tmp_path / "x.png", values(16), colour)) == RAMP).all()
    with pytest.raises(BadImageError, match="pixel_max"):
        read(png(tmp_path / "x.png", values(12), colour))
    with pytest.raises(BadImageError, match="with 8 bits"):
        read(tmp_path / "x.png", pixel_max=4095)


def test_transparency_is_dropped(tmp_path: Path) -> None:
    image = Image.new("RGBA", (16, 16), (200, 100, 50, 0))
    image.save(tmp_path / "x.png")
    pixels = np.asarray(ImageFiles([tmp_path / "x.png"], image_size=4))
    assert pixels[0, :, 0, 0].tolist() == [200, 100, 50]


class Batches(LazyImages):
    """Lazy images of somebody's own."""

    def __init__(self, pixels: np.ndarray) -> None:
        super().__init__(len(pixels), pixels.shape[1:], pixels.dtype)
        self.pixels = pixels

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self.pixels[rows]


GREY = np.full((6, 1, 24, 24), 0.5, dtype=np.float32)


@pytest.mark.parametrize(
    ("pixels", "word"),
    [
        (GREY * 255, r"to 127\.5; expected 0\.\.1"),
        (GREY - 1.5, "undo a normalisation"),
        (GREY * np.nan, "NaN"),
    ],
)
def test_every_batch_that_is_decoded_lies_in_the_range(pixels: np.ndarray, word: str) -> None:
    import fairvision as fv

    mixed = np.where(np.arange(6)[:, None, None, None] == 5, pixels, GREY)
    images = Batches(mixed)
    assert check_images(images) is images  # nothing is read yet
    assert take(images, np.arange(5)).shape == (5, 1, 24, 24)
    with pytest.raises(InputError, match=word):
        take(images, np.arange(6))
    with pytest.raises(InputError, match=word):
        fv.make("erm", max_epochs=1).fit(images, [0, 1] * 3)
    with pytest.raises(InputError, match=word):
        from_torch([(pixel, 0) for pixel in mixed]).images[5]


def test_arrays_of_wide_integers_say_how_to_scale() -> None:
    with pytest.raises(InputError, match=r"4080.*X / 4095"):
        check_images(np.broadcast_to(RAMP << 4, (2, 1, 16, 16)))
