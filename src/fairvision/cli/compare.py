"""``fairvision compare``: methods by seeds on one data set."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from fairvision.cli._backend import backend_options, backend_params
def _print(result: Any, *, full: bool) -> None:
    if full:
        _print_all(result)
    else:
        print_comparison(result)
    if result.reused:
        click.echo(f"{result.reused} of {len(result.runs)} runs were already done.")
    if result.out is not None:
        click.echo(f"Results: {result.out / 'results.csv'}, {result.out / 'comparison.json'}")
        if result.plan.report:
            click.echo(f"Report: {result.out / 'report.html'}")


def _print_all(result: Any) -> None:
    tables = {"method": result.table()}
    if len(result.differences):
        tables[f"minus {result.baseline}"] = result.difference_table()
    for corner, table in tables.items():
        print_table(table.itertuples(name=None), columns=(corner, *table.columns))
        click.echo()
    for note in result.notes():
        click.echo(clean(note, limit=4000))
