"""``fairvision check``: run the conformance checks of a method or a plugin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click

from fairvision.cli._show import print_json, print_table, registry
from fairvision.exceptions import UnknownNameError
from fairvision.plugins import clean, closest

_MARKS = {"passed": "ok", "failed": "FAILED", "excused": "excused", "not applicable": "-"}


@click.command(
    "check",
    epilog="""\b
Examples:
  fairvision check jlu
  fairvision check fairvision-jlu --json
  fairvision check jlu --only constructor_only_stores
  fairvision check jlu --device cuda
""",
)
@click.argument("name", required=False)
@click.option("--only", multiple=True, metavar="CHECK", help="Only this check; may be repeated.")
@click.option("--list", "listing", is_flag=True, help="List the checks of a method.")
@click.option("--device", default="cpu", help="Train the nets on it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    name: str | None,
    only: tuple[str, ...],
    listing: bool,
    device: str,
    as_json: bool,
) -> None:
    """Check a method NAME, or a plugin (its distribution) with all its methods.

    This trains small nets for up to a minute per method. Exit code 0: all checks passed.
    1: a check failed. The claims of a method stand in its descriptor (`Claims`).
    """
    from fairvision.testing import CHECKS

    if listing:
        rows = [(check, str(f.__doc__).splitlines()[0]) for check, f in CHECKS.items()]
        print_table(rows, columns=("CHECK", "WHAT MUST HOLD"))
        return
    if name is None:
        raise click.UsageError("Name a method or a plugin; `fairvision methods` lists them.")
    checks = list(_checks(name, device))
    names = {check.name for check in checks}
    unknown = [check for check in only if check not in names]
    if unknown:
        raise UnknownNameError(f"There is no check {unknown[0]!r}.{closest(unknown[0], names)}")
    results = []
    for check in checks:
        if not only or check.name in only:
            results.append(check.run())
            if not as_json:
                _print(results[-1])
    failed = sum(result.status == "failed" for result in results)
    if as_json:
        print_json([asdict(result) for result in results])
    else:
        seconds = sum(result.seconds for result in results)
        click.echo(f"{len(results)} checks, {failed} failed, {seconds:.0f} s")
    ctx.exit(1 if failed else 0)


def _checks(name: str, device: str) -> Iterable[Any]:
    from fairvision.testing import method_checks, plugin_checks

    is_plugin = name in [plugin.origin.distribution for plugin in registry().plugins]
    checks: Any = plugin_checks if is_plugin else method_checks
    return checks(name, device=device)


def _print(result: Any) -> None:
    mark = _MARKS[result.status]
    click.echo(f"{mark:8}{result.seconds:5.1f} s  {result.subject}: {clean(result.check)}")
    if result.message:
        click.echo(" " * 17 + clean(result.message, limit=1000))
