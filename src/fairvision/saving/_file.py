"""The format: a safetensors file whose header holds a manifest and a checksum of all bytes."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from fairvision.base import atomic_write, check_new_file
from fairvision.exceptions import SavingError

__all__ = ["FORMAT", "pack", "unpack", "write"]

#: Increased when older versions cannot read new files.
FORMAT = 1

_KEY = "fairvision"
_BLANK = "0" * 64


def pack(manifest: dict[str, Any], tensors: dict[str, Tensor]) -> bytes:
    """The bytes of the file; the same content gives the same bytes.

    The checksum is computed while its own 64 characters are zeros. It detects
    damage, not forgery: anyone who rewrites a file can compute it too.
    """
    from safetensors.torch import save

    manifest = {"sha256": _BLANK, "format": FORMAT, **manifest}
    text = json.dumps(manifest, ensure_ascii=True, allow_nan=False)
    data = bytearray(save(tensors, metadata={_KEY: text}))
    place = data.index(_BLANK.encode())
    data[place : place + len(_BLANK)] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the manifest and the tensors, after a check of the checksum.

    Raises
    ------
    SavingError
        If the bytes are another kind of file, of a newer format, damaged or cut short.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    manifest = _manifest(data)
    version = manifest.get("format")
    if not isinstance(version, int) or version < 1:
        raise SavingError("its format has no number: it is damaged")
    if version > FORMAT:
        raise SavingError(
            f"it has format {version}, written by fairvision {manifest.get('fairvision')}; this "
            f"version reads up to format {FORMAT}. Upgrade fairvision"
        )
    if not _is_intact(data, manifest.get("sha256")):
        raise SavingError("its checksum is wrong: it is damaged or cut short. Copy it again")
    try:
        # Copies: the loaded tensors are read-only and keep the bytes of the file alive.
        return manifest, {name: tensor.clone() for name, tensor in load(data).items()}
    except SafetensorError as error:
        raise SavingError(f"its tensors cannot be read ({error})") from error


def _manifest(data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
        return {**json.loads(header["__metadata__"][_KEY])}
    except (KeyError, TypeError, ValueError, RecursionError, OverflowError) as error:
        raise SavingError("it is not a file of fairvision.save, or it is damaged") from error


def _is_intact(data: bytes, digest: Any) -> bool:
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        return False
    blank = data.replace(digest.encode(), _BLANK.encode(), 1)
    return hashlib.sha256(blank).hexdigest() == digest


def write(data: bytes, path: Path, *, overwrite: bool) -> None:
    """Write a file atomically: an existing file stays until the new one is complete.

    Raises
    ------
    SavingError
        If there is a file already, or it cannot be written.
    """
    check_new_file(path, overwrite=overwrite)
    try:
        with atomic_write(path) as file:
            file.write(data)
    except OSError as error:
        raise SavingError(
            f"{path} cannot be written: {error.strerror or error}. An existing file is unchanged."
        ) from error
