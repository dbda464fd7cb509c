"""A file that is damaged, cut short, of another kind, or newer: one clear error."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save as bare

import fairvision as fv
from fairvision.exceptions import FairvisionError, SavingError
from fairvision.nn import TorchClassifier


@pytest.fixture
def path(tiny, tmp_path):
    model = TorchClassifier.from_module(tiny, classes=["cat", "dog"], input_shape=(3, 8, 8))
    return fv.save(model, tmp_path / "m")


def test_a_change_of_any_one_of_200_bytes_is_seen(path, tiny, tmp_path):
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    header = 8 + int.from_bytes(whole[:8], "little")
    places = [*rng.integers(0, header, 100), *rng.integers(0, len(whole), 92), *range(8)]
    changed = tmp_path / "changed"
    for place in places:
        data = bytearray(whole)
        data[place] ^= int(rng.integers(1, 256))
        changed.write_bytes(data)
        with pytest.raises(SavingError, match=r"changed cannot be loaded: it"):
            fv.load(changed, objects={"backbone": tiny})


def test_no_part_of_a_file_is_taken_for_the_whole(path, tiny, tmp_path):
    whole = path.read_bytes()
    cut = tmp_path / "cut"
    for length in [*range(20), *range(20, len(whole), 97), len(whole) - 1]:
        cut.write_bytes(whole[:length])
        with pytest.raises(SavingError, match=r"cut cannot be loaded: it"):
            fv.load(cut, objects={"backbone": tiny})
    cut.write_bytes(whole + b"\0")
    with pytest.raises(SavingError, match=r"cannot be loaded"):
        fv.load(cut, objects={"backbone": tiny})


def sealed(path, **changes):
    """The file with another manifest, and the right checksum."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    manifest = json.loads(header["__metadata__"]["fairvision"]) | changes
    manifest["sha256"] = "0" * 64
    header["__metadata__"]["fairvision"] = json.dumps(manifest)
    text = json.dumps(header).encode()
    blank = len(text).to_bytes(8, "little") + text + data[8 + length :]
    digest = hashlib.sha256(blank).hexdigest().encode()
    path.write_bytes(blank.replace(b"0" * 64, digest, 1))
    return path


def test_the_checksum_is_what_the_documentation_says(path, tiny):
    assert fv.load(sealed(path), objects={"backbone": tiny}).classes_.tolist() == ["cat", "dog"]


@pytest.mark.parametrize("number", [2, 10**6])
def test_a_newer_format_says_who_wrote_it(path, number):
    with pytest.raises(
        SavingError, match=rf"format {number}, written by fairvision 9.1; .* up to format 1. Upgr"
    ):
        fv.load(sealed(path, format=number, fairvision="9.1"))


@pytest.mark.parametrize("number", [None, "1", 0, -1, 1.5])
def test_a_format_that_is_no_number(path, number):
    with pytest.raises(SavingError, match=r"its format has no number"):
        fv.load(sealed(path, format=number))


class Trap:
    """Says so if somebody unpickles it."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def a_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a", "b" * 100)
    return buffer.getvalue()


def of_torch() -> bytes:
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        pickle.dumps(Trap()),
        a_zip(),
        of_torch(),
        bytes(1000),
        b"\xff" * 1000,
        bare({"a": torch.zeros(3)}),
        bare({"a": torch.zeros(3)}, {"fairvision": "[]"}),
        bare({"a": torch.zeros(3)}, {"fairvision": "[" * 100_000}),
        (2).to_bytes(8, "little") + b"[]",
    ],
    # A zip holds the time: its bytes are no name that two workers would agree on.
    ids=range(11),
)
def test_files_of_other_kinds(content, tmp_path):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(
        SavingError, match=r"other cannot be loaded: it is not a file of fairvision.s"
    ):
        fv.load(path)


def test_no_file(tmp_path):
    with pytest.raises(SavingError, match=r"nothing cannot be read: No such file"):
        fv.load(tmp_path / "nothing")
    with pytest.raises(SavingError, match=r"cannot be read: Is a directory"):
        fv.load(tmp_path)


def test_the_error_is_one_of_ours(tmp_path):
    assert issubclass(SavingError, FairvisionError)
    assert issubclass(SavingError, ValueError)


def test_what_a_file_says_cannot_steer_a_terminal(path):
    with pytest.raises(SavingError) as error:
        fv.load(sealed(path, objects={"\x1b[2Jback\nbone": "\x1b]0;title\x07"}))
    assert re.fullmatch(r"[^\x00-\x1f\x7f]*", str(error.value))
