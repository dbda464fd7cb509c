"""A file is replaced as a whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fairvision.base import atomic_write


@pytest.mark.parametrize("shared", [False, True])
def test_the_old_content_stays_until_the_new_one_is_complete(tmp_path: Path, shared: bool) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with atomic_write(path, shared=shared) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    with pytest.raises(TypeError, match="bytes-like"), atomic_write(path, shared=shared) as file:
        file.writelines([b"half", None])  # type: ignore[list-item]
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_a_shared_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_write(path, shared=True) as one, atomic_write(path, shared=True) as two:
        one.write(b"one")
        two.write(b"two")
    assert path.read_bytes() == b"one"  # renamed last
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.partial").write_bytes(b"half")
    with atomic_write(tmp_path / "a.txt") as file:
        file.write(b"whole")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("name", ["a.txt", ".a.txt.partial"])
def test_a_link_is_replaced_and_not_followed(tmp_path: Path, name: str) -> None:
    other = tmp_path / "other.txt"
    other.write_bytes(b"mine")
    (tmp_path / name).symlink_to(other)
    with atomic_write(tmp_path / "a.txt") as file:
        file.write(b"new")
    assert other.read_bytes() == b"mine"
    assert (tmp_path / "a.txt").read_bytes() == b"new"
    assert not (tmp_path / "a.txt").is_symlink()


def test_others_may_read_it_as_far_as_the_umask_lets_them(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a.txt", shared=True) as file:
        file.write(b"new")
    (tmp_path / "b.txt").touch()
    assert os.stat(tmp_path / "a.txt").st_mode == os.stat(tmp_path / "b.txt").st_mode


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "no" / "a.txt"):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_device_or_pipe_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="device or pipe"), atomic_write(pipe, shared=True) as file:
        file.write(b"new")
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]
