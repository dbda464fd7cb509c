"""Text, bytes and JSON as somebody hostile would write them."""

from __future__ import annotations

import copy
import io
import os
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from PIL import Image

__all__ = ["LEAVES", "NASTY", "damaged", "forged", "pictures", "times", "tree"]

#: Tests draw this many times as many cases: `tox run -e fuzz` sets it.
TIMES = int(os.environ.get("FAIRVISION_FUZZ", "1"))

#: Each would be seen to work, or breaks something that nearly everyone forgets.
NASTY = (
    "", " ", ".", "..", "../secret.jpg", "/etc/passwd", "a/../../secret.jpg", "nul\0byte.jpg",
    "line\nbreak.jpg", "carriage\rreturn", "\x1b[2J\x1b]0;title\x07", "\u202egpj.exe", "\ud800",
    "\udcff", "x" * 5000, "a/" * 2000, "<script>alert(1)</script>", '"><img src=x onerror=a(1)>',
    "{{ 7*7 }}", "{% include 'x' %}", "${x}", "$\\frac{1}{0}$", "=cmd|' /C calc'!A0", "nan", "NaN",
    "inf", "-1", "1e400", "9" * 400, "True", "None", "NA", "0x10", "\ufeff", "é", "🙂", "a,b", '"',
    "'", "a=b", "%s", "%n", "file:///etc/passwd", "https://example.org/x", "~", "$HOME", "C:\\x",
    "-rf", "--out", "CON", "a\tb", "\u2028", "\x85", "--><script>", "]]>", "&amp;", "javascript:x",
)  # fmt: skip

#: What JSON can hold, and what it should not.
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.sampled_from(NASTY),
    st.text(max_size=8), st.sampled_from([[], {}, [[]], [None], {"$": "x"}, [[1, 2], [3]]]),
)  # fmt: skip


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """Bytes cut short, changed here and there, with a piece missing, doubled or put in."""
    place = st.integers(0, len(whole) - 1)
    flips = st.lists(st.tuples(place, st.integers(1, 255)), min_size=1, max_size=8)
    start = st.integers(0, min(64, len(whole) - 1))
    return st.one_of(
        place.map(lambda n: whole[:n]),
        flips.map(lambda changes: _flipped(whole, changes)),
        # Headers decide most, and are short.
        st.lists(st.tuples(start, st.integers(1, 255)), max_size=4).map(
            lambda changes: _flipped(whole, changes)
        ),
        st.tuples(place, place).map(lambda ab: whole[: min(ab)] + whole[max(ab) :]),
        st.tuples(place, place).map(lambda ab: whole[: max(ab)] + whole[min(ab) :]),
        st.tuples(place, st.binary(min_size=1, max_size=40)).map(
            lambda p: whole[: p[0]] + p[1] + whole[p[0] :]
        ),
    )  # fmt: skip


def _flipped(whole: bytes, changes: list[tuple[int, int]]) -> bytes:
    data = bytearray(whole)
    for place, value in changes:
        data[place] ^= value
    return bytes(data)


def forged(value: Any) -> st.SearchStrategy[Any]:
    """Plain data of which one to three parts are replaced, taken away or renamed."""
    places = list(_places(value))
    change = st.tuples(st.sampled_from(places), LEAVES, st.sampled_from(["set", "drop", "rename"]))
    return st.lists(change, min_size=1, max_size=3).map(lambda changes: _edited(value, changes))


def _places(value: Any, at: tuple[Any, ...] = ()) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*at, key)
        if isinstance(item, (dict, list)):
            yield from _places(item, (*at, key))


def _edited(value: Any, changes: list[tuple[tuple[Any, ...], Any, str]]) -> Any:
    value = copy.deepcopy(value)
    for (*way, key), leaf, how in changes:
        try:
            owner = value
            for step in way:
                owner = owner[step]
            if how == "set":
                owner[key] = leaf
            elif how == "rename" and isinstance(owner, dict):
                owner[str(leaf)] = owner.pop(key)
            else:
                del owner[key]
        except (KeyError, IndexError, TypeError):  # an earlier change took it away
            continue
    return value


def times(n: int) -> settings:
    """Number of cases of a test: a quarter of `n`, times `FAIRVISION_FUZZ`."""
    slow = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    return settings(max_examples=max(1, n * TIMES // 4), deadline=None, suppress_health_check=slow)


def pictures() -> dict[str, bytes]:
    """One small picture of each kind that is read."""
    picture = Image.effect_noise((24, 20), 60).convert("RGB")
    found = {}
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"):
        buffer = io.BytesIO()
        picture.save(buffer, format=kind)
        found[kind] = buffer.getvalue()
    buffer = io.BytesIO()
    picture.convert("P").save(buffer, format="PNG", transparency=b"\0\x80\xff")
    found["PNG with a palette"] = buffer.getvalue()
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", save_all=True, append_images=[picture.rotate(90)])
    found["moving WEBP"] = buffer.getvalue()
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(buffer, format="JPEG", exif=exif, progressive=True)
    found["turned JPEG"] = buffer.getvalue()
    return found


def tree(root: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder, with size and time: what was written shows."""
    return {
        str(path.relative_to(root)): (stat.st_size, stat.st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if (stat := path.lstat()) and not path.is_dir()
    }
