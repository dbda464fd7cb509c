"""Tables and JSON on the terminal. Text of third parties is made printable."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from typing import Any

import click

from fairvision.plugins import Origin, Registry, clean, default_registry


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
    """Print rows under their columns; on a terminal, cells are wrapped to its width."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for name in columns:
        table.add_column(Text(clean(name)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell, limit=4000)) for cell in row))
    width = None if sys.stdout.isatty() else 100_000  # a pipe has no width to wrap to
    console = Console(width=width, color_system=None)
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        click.echo(line.rstrip())
