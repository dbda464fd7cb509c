"""Tables and JSON on the terminal. Text of third parties is made printable."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from typing import Any

import click

from fairvision.plugins import Origin, Registry, clean, default_registry


class KeepsWords(click.Command):
    """Keeps the command line, which a report shows, as ``context.meta["fairvision.words"]``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note the words, and parse them."""
        ctx.meta["fairvision.words"] = ["fairvision", str(self.name), *args]
        return super().parse_args(ctx, args)


def registry() -> Registry:
    """Return the default registry; what plugins print at import goes to stderr."""
    with redirect_stdout(sys.stderr):
        return default_registry()


def origin_json(origin: Origin) -> dict[str, str]:
    """Return an origin as plain data."""
    return {
        "distribution": origin.distribution,
        "version": origin.version,
        "entry_point": origin.entry_point,
        "module": origin.module,
        "license": origin.license,
    }


def print_json(value: Any) -> None:
    """Print plain data as JSON, in ASCII so that no escape sequence survives."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=True, default=repr))


def print_table(rows: Iterable[Sequence[object]], columns: Sequence[str]) -> None:
    """Print rows under their columns; on a terminal the last one is wrapped to its width."""
    # Without rich, whose import takes longer than listing all plugins.
    lines = [[clean(cell, limit=4000) for cell in line] for line in (columns, *rows)]
    widths = [max(map(len, column)) for column in list(zip(*lines, strict=True))[:-1]]
    start = sum(widths) + 2 * len(widths)
    room = shutil.get_terminal_size().columns - start if sys.stdout.isatty() else 0
    for *cells, last in lines:
        left = "".join(f"{cell:<{width}}  " for cell, width in zip(cells, widths, strict=True))
        wrapped = textwrap.wrap(last, room) if room >= 20 else [last]
        click.echo((left + ("\n" + " " * start).join(wrapped)).rstrip())
