"""Small folders of images, written where a test can break them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def photograph(path: Path, number: int, size: tuple[int, int] = (20, 24)) -> None:
    """A grey that tells its number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = 6 * number
    Image.new("RGB", size, (grey, grey, grey)).save(path, quality=95)


def numbers(images: Any) -> list[int]:
    """What `photograph` was told."""
    return [round(float(image.mean()) / 6) for image in np.asarray(images)]


CELEBA = ("Attractive", "Male", "Smiling", "Young", "No_Beard")


def celeba_rows(n: int) -> list[list[int]]:
    """Attributes by number: Male every second, Smiling every third."""
    return [[1, 1 if i % 2 else -1, -1 if i % 3 else 1, 1, -1] for i in range(n)]


def make_celeba(root: Path, n: int = 24, *, form: str = "txt", folder: str = "") -> Path:
    """CelebA's files as given out (txt), as on Kaggle (csv), or with one labels.csv (table)."""
    names = [f"{i:06d}.jpg" for i in range(n)]
    parts = [0 if i < n // 2 else 1 if i < 3 * n // 4 else 2 for i in range(n)]
    place = root / folder
    place.mkdir(parents=True, exist_ok=True)
    rows = list(zip(names, celeba_rows(n), strict=True))
    if form == "table":
        lines = [",".join(("path", *CELEBA, "identity", "partition"))]
        for i, (name, values) in enumerate(rows):
            truth = ",".join(str(int(v > 0)) for v in values)
            lines.append(f"images/{name},{truth},{i // 2 + 100},{parts[i]}")
        (place / "labels.csv").write_text("\n".join(lines) + "\n")
        for i, name in enumerate(names):
            photograph(place / "images" / name, i)
        return root
    if form == "txt":
        text = [str(n), " ".join(CELEBA) + " "]
        text += [f"{name} " + " ".join(f"{v:2d}" for v in values) for name, values in rows]
        split = [f"{name} {part}" for name, part in zip(names, parts, strict=True)]
        photos = place / "img_align_celeba"
    else:
        text = [",".join(("image_id", *CELEBA))]
        text += [",".join(map(str, (name, *values))) for name, values in rows]
        split = ["image_id,partition"] + [f"{a},{b}" for a, b in zip(names, parts, strict=True)]
        photos = place / "img_align_celeba" / "img_align_celeba"
    (place / f"list_attr_celeba.{form}").write_text("\n".join(text) + "\n")
    (place / f"list_eval_partition.{form}").write_text("\n".join(split) + "\n")
    for i, name in enumerate(names):
        photograph(photos / name, i)
    return root


FAIRFACE_RACES = ("Black", "East Asian", "White")


def make_fairface(root: Path, n: int = 18) -> Path:
    """FairFace's two folders and two lists; photograph i of either part is of grey i."""
    root.mkdir(parents=True, exist_ok=True)
    for part in ("train", "val"):
        lines = ["file,age,gender,race,service_test"]
        for i in range(n):
            age, gender = ("3-9", "20-29")[i % 2], ("Male", "Female")[i // 2 % 2]
            lines.append(f"{part}/{i}.jpg,{age},{gender},{FAIRFACE_RACES[i % 3]},{i % 2 == 0}")
            photograph(root / part / f"{i}.jpg", i)
        (root / f"fairface_label_{part}.csv").write_text("\n".join(lines) + "\n")
    return root


def make_lfw(root: Path, n: int = 16, *, images: str = "lfw", raw: bool = True) -> Path:
    """LFW with two photographs a person; the list of scores as given out, or cleaned."""
    header = "person\timagenum\tMale\tSmiling\tNo Eyewear"
    lines = ["# LFW Attributes", "#\t" + header] if raw else [header]
    for i in range(n):
        person, number = f"Person {chr(65 + i // 2)}", i % 2 + 1
        name = person.replace(" ", "_")
        smiling = 1.5 if i % 3 == 0 else -0.25
        lines.append(f"{person}\t{number}\t{0.5 if i // 2 % 2 else -0.5}\t{smiling}\t{i - 7.5}")
        photograph(root / images / name / f"{name}_{number:04d}.jpg", i)
    (root / "lfw_attributes.txt").write_text("\n".join(lines) + "\n")
    return root


def make_ppb(root: Path, n: int = 24) -> Path:
    """PPB's folder and table, line ends of an old Mac included."""
    lines = ["image_id,filename,gender,fitzpatrick skin type category,bi.fitz,country"]
    for i in range(n):
        tone, gender = i % 6 + 1, ("Female", "Male")[i // 6 % 2]
        name = f"{i:04d}_{tone}_{gender[0].lower()}_SW.jpg"
        group = "lighter" if tone < 4 else "darker"
        lines.append(f"{i},{name},{gender},{tone},{group},Sweden")
        photograph(root / "imgs" / name, i)
    (root / "PPB-2017-metadata.csv").write_bytes("\r".join(lines).encode())
    return root


@pytest.fixture(scope="session")
def makers() -> dict[str, Callable[..., Path]]:
    """What makes a folder in the layout of each published set."""
    return {
        "celeba": make_celeba,
        "fairface": make_fairface,
        "lfw": make_lfw,
        "ppb": make_ppb,
    }


@pytest.fixture
def official(tmp_path: Path, makers: dict[str, Any]) -> Callable[..., Path]:
    """``official("celeba", "place", n=24, ...)`` makes such a folder below the test's own."""
    return lambda name, at=None, **settings: makers[name](tmp_path / (at or name), **settings)


@pytest.fixture
def greys() -> Callable[[Any], list[int]]:
    """Which photographs of `official` these images are."""
    return numbers
