"""``fairvision data``: what is in a data set, before any training."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from fairvision.cli._data import data_options, dataset_params
from fairvision.cli._show import KeepsWords, print_json, print_table
from fairvision.plugins import clean

#: Pairs of columns that are printed; the page and --json have all.
_MOST_PAIRS = 12


@click.command(
    "data",
    cls=KeepsWords,
    epilog="""\b
Examples:
  fairvision data --dataset faces --target hat --sensitive skin_tone
  fairvision data --dataset celeba --root DIR --target Blond_Hair --sensitive Male \\
      --report card.html
  fairvision data --dataset folder --root DIR --labels labels.csv --target malignant \\
      --sensitive sex --split-column part --identity-column patient
""",
)
@data_options
@click.option(
    "--identity-column",
    "identity",
    help="Column that identifies who or what a picture shows, such as a patient.",
)
@click.option("--n-boot", type=click.IntRange(0), default=1000)
@click.option("--seed", "random_state", type=int, help="Makes the intervals repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="HTML file to write."
)
@click.option(
    "--pictures",
    "n_pictures",
    type=click.IntRange(0),
    default=0,
    help="With --report: sets of near copies to show. None by default.",
)
@click.pass_context
def command(context: click.Context, **options: Any) -> None:
    """Describe a data set before any training.

    Shows counts by class and group, confounders, copies and people in several splits, unreadable
    pictures, and the installed methods that can be trained on these data.

    Exit code 0: done. 2: the input cannot be used.
    """
    from fairvision.cards import data_card

    card = data_card(
        options["dataset"],
        dataset_params=dataset_params(options),
        **{name: options[name] for name in ("identity", "n_boot", "random_state", "n_pictures")},
    )
    if (path := options["report"]) is not None:
        from fairvision.reports import write_page

        write_page(path, card.to_html(command=shlex.join(context.meta["fairvision.words"])))
        click.echo(f"Report: {path}", err=True)
    if options["as_json"]:
        print_json(card.to_dict())
    else:
        _print(card)


def _print(card: Any) -> None:
    for line in card.findings:
        click.echo(f"- {clean(line, limit=4000)}")
    click.echo("\nRows by class and group")
    counts = card.counts.reset_index()
    print_table(counts.itertuples(index=False, name=None), columns=list(map(str, counts.columns)))
    labels = {card.target, *card.sensitive}
    pairs = [row for row in card.associations.itertuples(index=False) if labels & {row.a, row.b}]
    pairs.sort(key=lambda row: not labels >= {row.a, row.b})  # class and group first
    click.echo("\nWhat goes together")
    rows = [
        (a, b, f"{value:.3f}", "" if lower != lower else f"{lower:.3f} to {upper:.3f}")
        for a, b, value, lower, upper in pairs[:_MOST_PAIRS]
    ]
    columns = ("A", "B", "MUTUAL INFORMATION", f"{card.settings['level']:.0%} INTERVAL")
    print_table(rows, columns=columns)
    click.echo("\nMethods")
    names = ["method", "stage", "runs", "reason"]
    rows = card.methods[names].itertuples(index=False, name=None)
    print_table(rows, columns=[name.upper() for name in names])
    for note in card.notes:
        click.echo(f"Note: {clean(note, limit=4000)}")
