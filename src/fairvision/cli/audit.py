"""``fairvision audit``: evaluate predictions made elsewhere, and fail on a gap or a change."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairvision.cli._changes import Changes, measure_changes
from fairvision.cli._condition import Condition
from fairvision.cli._predictions import evaluation_arguments, read_table_file
from fairvision.cli._show import KeepsWords, print_json, print_table
from fairvision.exceptions import InputError
from fairvision.plugins import clean

if TYPE_CHECKING:
    import pandas as pd

    from fairvision.metrics import Evaluation

_RATES = ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate")


@click.command(
    "audit",
    cls=KeepsWords,
    epilog="""\b
Examples:
  fairvision audit predictions.csv   # as `fairvision predict --labels` writes it
  fairvision audit predictions.csv --y-true smiling --y-pred predicted --sensitive skin_tone
  fairvision audit predictions.parquet --y-true y --y-pred p --y-score s \\
      --sensitive gender,race --fail-if 'accuracy_gap.upper>0.1' --report audit.html
  fairvision audit scores.tsv --y-true y --y-score s --threshold 0.5 --sensitive gender
  fairvision audit september.csv october.csv --y-true y --y-pred p --sensitive gender \\
      --fail-if 'worst_group_accuracy.change.upper<-0.02'
  fairvision audit model-a.csv model-b.csv --id-column path --y-true y --y-pred p \\
      --sensitive gender
""",
)
@click.argument("predictions", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument(
    "second", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "--id-column",
    metavar="COLUMN",
    help="With two files: the column that identifies each row, such as the path.",
)
@click.option("--y-true", metavar="COLUMN", help="True labels.")
@click.option("--y-pred", metavar="COLUMN", help="Predicted labels; or pass --threshold.")
@click.option("--y-score", metavar="COLUMN", help="Scores of the positive class.")
@click.option(
    "--threshold",
    type=float,
    help="In place of --y-pred: a score of this or more is predicted positive.",
)
@click.option("--weight", metavar="COLUMN", help="Weights of the rows.")
@click.option(
    "--sensitive",
    metavar="COLUMN[,COLUMN]",
    help="Columns of group labels; several are evaluated one by one, and crossed.",
)
@click.option(
    "--privileged",
    multiple=True,
    metavar="COLUMN=LABEL",
    help="Privileged group, for signed differences. May be repeated.",
)
@click.option("--pos-label", metavar="LABEL", help="The positive class.")
@click.option("--metrics", default="default", metavar="NAMES", help="default, all, or names.")
@click.option("--n-boot", default=1000, help="Bootstrap draws.")
@click.option("--level", default=0.95, help="Coverage of the intervals.")
@click.option("--interval", type=click.Choice(["percentile", "bca"]), default="percentile")
@click.option("--min-support", default=1, help="Fewest rows of a group that is compared.")
@click.option(
    "--sep", help="Field separator of a text table: ',', ';' or tab; detected if not given."
)
@click.option("--missing", type=click.Choice(["raise", "group"]), default="raise")
@click.option("--seed", "random_state", type=int, help="Makes the intervals repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="Print only the conditions of --fail-if that hold.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="HTML file to write."
)
@click.option(
    "--fail-if",
    multiple=True,
    metavar="CONDITION",
    help="Exit with code 1 if this condition holds, or is undefined: 'accuracy_gap>0.1', "
    "'accuracy_gap.lower>0.1', or with two files 'accuracy.change<-0.02'. May be repeated.",
)
@click.pass_context
def command(
    context: click.Context,
    predictions: Path,
    second: Path | None,
    id_column: str | None,
    sep: str | None,
    report: Path | None,
    as_json: bool,
    quiet: bool,
    fail_if: tuple[str, ...],
    **options: Any,
) -> None:
    """Evaluate the predictions in a text table, Parquet, NPZ or JSON Lines file, by group.

    A file that `fairvision predict --labels` wrote needs no column options; name the columns of
    any other file. With a second file, it reports the changes from the first to the second: on
    the same rows, if --id-column matches them, else on different rows.

    Exit code 0: evaluated. 1: a --fail-if condition holds in any grouping (with two files: of the
    second). 2: the input cannot be used.
    """
    conditions = [Condition.parse(text) for text in fail_if]
    metrics = [condition.metric for condition in conditions]
    changes = None
    if second is not None:
        tables = [read_table_file(path, sep) for path in (predictions, second)]
        changes = measure_changes((predictions, second), tables, id_column, metrics, options)
        evaluation = changes.second
    elif id_column is not None:
        raise InputError(
            "--id-column matches the rows of two files, but one file is given. Leave "
            "it out, or add a second file."
        )
    else:
        evaluation = _evaluate(read_table_file(predictions, sep), metrics, options)
    evaluations = list({id(e): e for e in (evaluation, *evaluation.by_attribute.values())}.values())
    tables_of_changes = None if changes is None else changes.tables
    failed = [line for c in conditions for line in c.verdicts(evaluations, tables_of_changes)]
    if report is not None:
        source = f"{second.name} against {predictions.name}" if second else predictions.name
        _write(report, evaluation, source, context, failed, tables_of_changes)
        if not quiet:
            click.echo(f"Report: {report}", err=True)
    if as_json:
        print_json({**(changes or evaluation).to_dict(), "failed": failed})
    elif not quiet:
        if (label := evaluation.pos_label) is not None:
            click.echo(
                f"Positive class: {clean(str(label), limit=200)} (--pos-label names another)"
            )
        if changes is not None:
            _print_changes(changes)
        for one in evaluations if changes is None else ():
            _print(one)
    for line in failed:
        click.echo(f"FAILED: {clean(line, limit=4000)}", err=True)
    context.exit(1 if failed else 0)


def _evaluate(table: pd.DataFrame, metrics: list[str], options: dict[str, Any]) -> Evaluation:
    from fairvision.metrics import evaluate_predictions

    return evaluate_predictions(**evaluation_arguments(table, metrics, options))


def _write(
    path: Path,
    evaluation: Evaluation,
    source: str,
    context: click.Context,
    failed: list[str],
    changes: dict[str, pd.DataFrame] | None,
) -> None:
    from fairvision.reports import evaluation_page, write_page

    words = shlex.join(context.meta["fairvision.words"])
    page = evaluation_page(
        evaluation, source=source, command=words, failed=failed, changes=changes or {}
    )
    write_page(path, page)


def _print_changes(changes: Changes) -> None:
    """Print, for each grouping, both numbers and the second minus the first."""
    first, second = (int(one.counts.sum()) for one in (changes.first, changes.second))
    kind = "the same rows" if changes.same_rows else "different rows"
    click.echo(f"A: {first} rows, B: {second} rows, compared as {kind}.")
    level = f"{changes.first.settings['level']:.0%} INTERVAL"
    for name, table in changes.tables.items():
        # Of everyone first; of each group only the rates.
        rows = sorted(table.reset_index().to_dict("records"), key=lambda row: bool(row["group"]))
        lines = [
            (
                row["group"] or "all",
                row["metric"],
                *(_number(row[end]) for end in ("a", "b", "value")),
                f"{_number(row['lower'])} to {_number(row['upper'])}",
                row["note"],
            )
            for row in rows
            if not row["group"] or row["metric"] in _RATES
        ]
        click.echo(f"\nBy {clean(name)}")
        columns = ("GROUP", "METRIC", "A", "B", "B MINUS A", level, "NOTE")
        print_table(lines, columns=columns)


def _number(value: Any) -> str:
    return "undefined" if value != value else f"{value:.4g}"


def _print(evaluation: Evaluation) -> None:
    """Print the three tables and the notes."""
    names = clean(" x ".join(map(str, evaluation.grouping.names)))
    click.echo(f"\nBy {names}")
    table = evaluation.by_group
    rates = [rate for rate in _RATES if rate in table.columns]
    rows = [
        (
            " x ".join(map(str, group)) if isinstance(group, tuple) else group,
            row["n"],
            *(_number(row[rate]) for rate in rates),
            row["note"],
        )
        for group, row in table.iterrows()
    ]
    headings = (rate.upper().replace("_", " ") for rate in rates)
    print_table(rows, columns=("GROUP", "ROWS", *headings, "NOTE"))
    columns = ("METRIC", "VALUE", f"{evaluation.settings['level']:.0%} INTERVAL", "NOTE")
    for title, numbers in (
        ("Overall", evaluation.overall_intervals),
        (f"Over {names}", evaluation.disparities),
    ):
        click.echo(f"\n{title}")
        rows = [
            (name, _number(value), f"{_number(lower)} to {_number(upper)}", note)
            for name, value, lower, upper, note in numbers.itertuples()
        ]
        print_table(rows, columns=columns)
    for note in evaluation.notes:
        click.echo(f"Note: {clean(note, limit=4000)}")
