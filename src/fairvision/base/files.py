"""Files that are replaced at once: the old content stays until the new one is complete."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fairvision.exceptions import SavingError

__all__ = ["atomic_write", "check_new_file"]


@contextmanager
def atomic_write(path: str | Path, *, shared: bool = False) -> Iterator[BinaryIO]:
    """Open a new file that replaces `path` when the block ends without an error.

    The content goes to a temporary file in the same folder, is flushed to the
    disk, and is then renamed. After an error the temporary file is removed and
    `path` is as it was.

    Parameters
    ----------
    path : str or Path
        Its folder must exist. A link at this place is replaced, not followed.
    shared : bool, default=False
        Whether several processes may write this file at the same time. Each then
        writes a temporary file with a name of its own. Otherwise the name is
        ``.NAME.partial``, so that the next attempt removes what a killed process left.

    Yields
    ------
    file
        Binary, open for writing.

    Raises
    ------
    OSError
        If the folder does not exist, the file cannot be written, or a device or pipe is there.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "a device or pipe is there, which a file would replace")
    token = f".{secrets.token_hex(4)}" if shared else ""
    scratch = path.with_name(f".{path.name}{token}.partial")
    scratch.unlink(missing_ok=True)
    try:
        with scratch.open("xb") as file:  # a new file: never through a link that lies there
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise


def check_new_file(path: str | Path, *, overwrite: bool = False) -> None:
    """Refuse, before anything is trained, a file that could not be written afterwards.

    Parameters
    ----------
    path : str or Path
    overwrite : bool, default=False
        Whether there may be a file already.

    Raises
    ------
    SavingError
        If it exists and may not be replaced, or its folder does not exist.
    """
    path = Path(path)
    if path.is_dir() or (path.exists() and not overwrite):
        hint = "" if path.is_dir() else ", or pass overwrite=True (--overwrite)"
        raise SavingError(f"{path} exists. Choose another name{hint}.")
    if not path.absolute().parent.is_dir():
        raise SavingError(f"{path} cannot be written: there is no folder {path.parent}. Make it.")
