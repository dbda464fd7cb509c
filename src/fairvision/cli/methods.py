"""``fairvision methods``: the debiasing methods that are installed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from fairvision.cli._show import origin_json, print_json, print_table, registry
from fairvision.cli.cite import bibtex, short
from fairvision.plugins import RegisteredMethod
from fairvision.types import STAGES, Stage

_NEEDS = ("never", "fit", "validation", "predict")


@click.command(
    "methods",
    epilog="""\b
Examples:
  fairvision methods
  fairvision methods --stage post --needs validation --json
""",
)
@click.option("--stage", type=click.Choice(STAGES), help="Only this stage.")
@click.option(
    "--needs", type=click.Choice(_NEEDS), help="Only methods that read group labels at this time."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(stage: Stage | None, needs: str | None, as_json: bool) -> None:
    """List the debiasing methods that are installed, importing none of them."""
    plugins = registry()
    methods = plugins.methods(stage, needs)
    if as_json:
        print_json([_json(method) for method in methods])
    else:
        ambiguous = plugins.duplicates("method")
        rows = [
            (
                m.qualified_name if m.name in ambiguous else m.name,
                m.stage,
                str(m.needs),
                _pixels(m),
                str(m.origin),
                m.origin.license or "(none stated)",
                short(m.reference),
                m.summary,
            )
            for m in methods
        ]
        columns = ("NAME", "STAGE", "GROUPS SEEN", "PIXELS", "FROM", "LICENCE", "PAPER", "SUMMARY")
        print_table(rows, columns=columns)
    if plugins.failures:
        click.echo(
            f"{len(plugins.failures)} plugin(s) failed; `fairvision plugins` says why.", err=True
        )


def _pixels(method: RegisteredMethod) -> str:
    without = ", ".join(method.needs.pixels_except)
    needed = f"needed, not by {without}" if without else "needed"
    return needed if method.needs.pixels else ""


def _json(method: RegisteredMethod) -> dict[str, Any]:
    return {
        "name": method.name,
        "qualified_name": method.qualified_name,
        "stage": method.stage,
        "summary": method.summary,
        "target": method.target,
        "needs": asdict(method.needs),
        "targets": method.targets,
        "groups": method.groups,
        "presets": {name: dict(values) for name, values in method.presets.items()},
        "reference": asdict(method.reference) if method.reference else None,
        "citation": bibtex(method.reference) if method.reference else None,
        "origin": origin_json(method.origin),
    }
