"""Data sets by name, the light import, and sheets."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fairvision as fv
from fairvision.datasets import contact_sheet, load, load_faces
from fairvision.exceptions import DatasetError, InputError, UnknownNameError


def test_a_name_stands_for_its_loader():
    one = load("faces", n_samples=20, image_size=24, target="hat", sensitive="skin_group")
    other = load_faces(20, 24, target="hat", sensitive="skin_group")
    assert_array_equal(one.images, other.images)
    assert_array_equal(one.target, other.target)
    assert fv.datasets.load("digits").images.shape == (1797, 3, 28, 28)


def test_names_and_parameters_that_there_are_not():
    with pytest.raises(UnknownNameError, match="faces"):
        load("face")
    with pytest.raises(DatasetError, match=r"no parameter 'size'.*image_size"):
        load("faces", size=3)
    with pytest.raises(DatasetError, match=r"needs root: load\('utkface', root=\.\.\.\)"):
        load("utkface")
    with pytest.raises(DatasetError, match="needs root, labels, target, sensitive"):
        load("folder")


def test_the_two_loads_point_at_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=r"name of a data set: use fairvision\.datasets\.load\('faces'"
    ):
        fv.load("faces")
    for name in ("model.fv", str(tmp_path)):
        with pytest.raises(InputError, match=r"saved estimator, use fairvision\.load\('"):
            load(name)


def test_importing_the_room_imports_nothing_heavy():
    code = (
        "import sys, fairvision.datasets; dir(fairvision.datasets); "
        "print([m for m in ('numpy', 'pandas', 'sklearn', 'PIL', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_reading_and_drawing_need_no_torch():
    code = (
        "import sys; from fairvision.datasets import load_faces, ImageFiles; "
        "load_faces(2, 24); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_public_name_is_there():
    for name in fv.datasets.__all__:
        assert getattr(fv.datasets, name).__doc__
    with pytest.raises(AttributeError, match="load_mnist"):
        _ = fv.datasets.load_mnist


def test_a_sheet_shows_each_image_in_its_place():
    images = np.arange(7, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 4, 5), np.uint8)
    sheet = np.asarray(contact_sheet(images, n_columns=3, gap=1, scale=2))
    assert sheet.shape == (3 * 9 + 1, 3 * 11 + 1, 3)
    for i in range(7):
        row, column = divmod(i, 3)
        cell = sheet[row * 9 + 1 : row * 9 + 9, column * 11 + 1 : column * 11 + 11]
        assert (cell == i).all()
    assert (sheet[0] == 255).all()
    floats = contact_sheet(images / np.float32(255), n_columns=3, gap=1, scale=2)
    assert_array_equal(np.asarray(floats), sheet)
    with pytest.raises(InputError, match="n_columns=0"):
        contact_sheet(images, n_columns=0)
