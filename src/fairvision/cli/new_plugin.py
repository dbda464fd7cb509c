"""``fairvision new-plugin``: write the start of a plugin."""

from __future__ import annotations

from pathlib import Path

import click

from fairvision.cli._show import registry
from fairvision.exceptions import InputError
from fairvision.types import STAGES, Stage


@click.command(
    "new-plugin",
    epilog="""\b
Examples:
  fairvision new-plugin my-method --stage in --into plugins
""",
)
@click.argument("name")
@click.option("--stage", type=click.Choice(STAGES), required=True, help="What it acts on.")
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    default=".",
    help="Folder in which fairvision-NAME is created.",
)
def command(name: str, stage: Stage, into: Path) -> None:
    """Write a distribution that offers a small working method NAME, with tests that pass.

    Replace what is marked with TODO.
    """
    from fairvision.scaffold import new_plugin

    _check_free(name.removeprefix("fairvision-"))
    root = new_plugin(name, stage, into)
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        click.echo(path)
    click.echo(f"\nNext: cd {root} && python -m pip install -e . && fairvision check {name}")


def _check_free(name: str) -> None:
    """Refuse the name of an installed method: the short name would then mean neither."""
    origins = [method.origin for method in registry().methods() if method.name == name]
    if origins:
        raise InputError(
            f"{name!r} is a method of {origins[0]}, which is installed here. Choose another name: "
            "two methods of one name are reached as distribution:name only."
        )
