"""Fill a template with plain data: one file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from fairvision.base import atomic_write
from fairvision.exceptions import RunError

__all__ = ["LIMIT", "Album", "render", "write_page"]

#: Bytes that stored pictures may take, so that a page stays well under 5 MB.
LIMIT = 3_500_000
_PICTURE = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/]+={0,2}")


class Album:
    """Admits stored values that are pictures, until they fill their share of the page.

    Parameters
    ----------
    limit : int
        Characters in all.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = self.left = limit
        self.n_admitted = self.n_left_out = 0

    def admit(self, source: object) -> str | None:
        """The address of a picture, or None if it is not one: a folder's content is not trusted."""
        if not isinstance(source, str) or not _PICTURE.fullmatch(source):
            return None
        if len(source) > self.left:
            self.n_left_out += 1
            return None
        self.left -= len(source)
        self.n_admitted += 1
        return source


@cache
def _part(name: str) -> str:
    return (files("fairvision.reports") / "templates" / name).read_text(encoding="utf-8")


def render(template: str, content: Mapping[str, Any]) -> str:
    """Fill a template; everything from outside is escaped.

    The page's content security policy forbids loading anything and running any script but ours.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    pages = Environment(
        loader=FunctionLoader(_part),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = _part("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return pages.get_template(template).render(
        **content, style=_part("style.css"), script=script, script_hash=digest
    )


def write_page(path: str | Path, page: str) -> Path:
    """Write a page atomically: an existing file stays until the new one is complete.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            # A label may hold half a character, which no encoding knows.
            file.write(page.encode("utf-8", "replace"))
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}. Name another file."
        ) from error
    return path
