"""The file: a safetensors file whose header carries a manifest, and a checksum over all of it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from fairvision.base import atomic_write
from fairvision.exceptions import SavingError

__all__ = ["FORMAT", "pack", "unpack", "write"]

#: Raised when older versions could no longer read what is written.
FORMAT = 1

_KEY = "fairvision"
_BLANK = "0" * 64
_LONGEST_HEADER = 100_000_000


def pack(manifest: dict[str, Any], tensors: dict[str, Tensor]) -> bytes:
    """Everything as the bytes of a safetensors file, the same for the same content.

    The checksum is computed while its own 64 characters are zeros. It tells
    damage, not forgery: whoever rewrites a file can compute it, too.
    """
    from safetensors.torch import save

    manifest = {"sha256": _BLANK, "format": FORMAT, **manifest}
    text = json.dumps(manifest, ensure_ascii=True, allow_nan=False)
    data = bytearray(save(tensors, metadata={_KEY: text}))
    place = data.index(_BLANK.encode())
    data[place : place + len(_BLANK)] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The manifest and the tensors, once the checksum is right.

    Raises
    ------
    SavingError
        If these bytes are of another kind, of a newer format, damaged or cut short.
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
    if not _whole(data, manifest.get("sha256")):
        raise SavingError("its checksum is wrong: it is damaged or cut short. Copy it again")
    try:
        # Copies: what is loaded would be read-only, and lie in memory as it did in the file.
        return manifest, {name: tensor.clone() for name, tensor in load(data).items()}
    except SafetensorError as error:
        raise SavingError(f"its tensors cannot be read ({error})") from error


def _manifest(data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(_LONGEST_HEADER, len(data) - 8):
        raise SavingError("it is no file of fairvision.save, or was cut short")
    try:
        header = json.loads(data[8 : 8 + length])
        manifest = json.loads(header["__metadata__"][_KEY])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise SavingError("it is no file of fairvision.save, or damaged") from error
    if not isinstance(manifest, dict):
        raise SavingError("it is no file of fairvision.save, or damaged")
    return manifest


def _whole(data: bytes, digest: Any) -> bool:
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        return False
    place = data.find(digest.encode())
    if place < 0:
        return False
    found = hashlib.sha256(memoryview(data)[:place])
    found.update(_BLANK.encode())
    found.update(memoryview(data)[place + len(digest) :])
    return found.hexdigest() == digest


def write(data: bytes, path: Path, *, overwrite: bool) -> None:
    """Write a file at once: what was there stays until the new one is complete.

    Raises
    ------
    SavingError
        If there is a file already, or it cannot be written.
    """
    if path.is_dir() or (path.exists() and not overwrite):
        hint = "" if path.is_dir() else ", or pass overwrite=True"
        raise SavingError(f"{path} exists. Choose another name{hint}.")
    try:
        with atomic_write(path, shared=True) as file:
            file.write(data)
    except OSError as error:
        raise SavingError(
            f"{path} cannot be written: {error.strerror or error}. What was there is untouched."
        ) from error
