"""``fairvision check``: does a method, or a plugin with all its methods, conform?"""

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
""",
)
@click.argument("name", required=False)
@click.option("--only", multiple=True, metavar="CHECK", help="Only this check; may be repeated.")
@click.option("--list", "listing", is_flag=True, help="List the checks of a method.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    ctx: click.Context, name: str | None, only: tuple[str, ...], listing: bool, as_json: bool
) -> None:
    """Check a method NAME, or a plugin (its distribution) with all its methods.

    Trains small nets, for up to a minute a method. Exit code 0: it conforms. 1: a check
    failed. What a method claims of itself stands in its descriptor (`Claims`).
    """
    from fairvision.testing import CHECKS

    unknown = [check for check in only if check not in CHECKS]
    if unknown:
        raise UnknownNameError(f"There is no check {unknown[0]!r}.{closest(unknown[0], CHECKS)}")
    if listing:
        rows = [(check, str(f.__doc__).splitlines()[0]) for check, f in CHECKS.items()]
        print_table(rows, columns=("CHECK", "WHAT MUST HOLD"))
        return
    if name is None:
        raise click.UsageError("Name a method or a plugin; `fairvision methods` lists them.")
    results = _run(_checks(name, only), quiet=as_json)
    failed = sum(result.status == "failed" for result in results)
    if as_json:
        print_json([asdict(result) for result in results])
    else:
        seconds = sum(result.seconds for result in results)
        click.echo(f"{len(results)} checks, {failed} failed, {seconds:.0f} s")
    ctx.exit(1 if failed else 0)


def _checks(name: str, only: tuple[str, ...]) -> Iterable[Any]:
    from fairvision.testing import method_checks, plugin_checks

    found = registry()
    plugins = [plugin.origin.distribution for plugin in found.plugins]
    checks = plugin_checks(name) if name in plugins else method_checks(name)
    return (check for check in checks if not only or check.name in only)


def _run(checks: Iterable[Any], *, quiet: bool) -> list[Any]:
    results = []
    for check in checks:
        result = check.run()
        results.append(result)
        if not quiet:
            line = f"{_MARKS[result.status]:8}{result.seconds:5.1f} s  {result.subject}: "
            click.echo(line + clean(result.check))
            if result.message:
                click.echo(" " * 17 + clean(result.message, limit=1000))
    return results
