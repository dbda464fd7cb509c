"""``fairvision audit``: evaluate predictions made elsewhere, and fail on a gap."""

from __future__ import annotations

import operator
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairvision.cli._show import print_json, print_table
from fairvision.exceptions import InputError
from fairvision.plugins import clean, describe

if TYPE_CHECKING:
    import pandas as pd

    from fairvision.metrics import Evaluation

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_RATES = ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate")
_CONDITION = re.compile(
    r"\s*(?P<metric>[\w-]+)(?:\.(?P<end>lower|upper))?\s*(?P<sign>>=|<=|>|<)\s*(?P<bound>\S+)\s*"
)


@dataclass(frozen=True)
class Condition:
    """One ``--fail-if``: a metric, or an end of its interval, and a bound."""

    text: str
    metric: str
    column: str
    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read ``accuracy_gap>0.1`` or ``accuracy_gap.upper>=0.1``."""
        match = _CONDITION.fullmatch(text)
        try:
            assert match is not None
            bound = float(match["bound"])
        except (AssertionError, ValueError):
            raise click.BadParameter(
                f"{text!r} is no condition; expected metric, sign and number, such as "
                "'accuracy_gap>0.1' or 'worst_group_accuracy.lower<0.7'."
            ) from None
        return cls(text, match["metric"], match["end"] or "value", match["sign"], bound)

    def verdicts(self, evaluations: list[Evaluation]) -> list[str]:
        """Why this condition fails the audit, in each grouping where it does."""
        verdicts = []
        for evaluation in evaluations:
            try:
                interval = evaluation.interval(self.metric)
            except KeyError:  # signed, and no privileged group was named for this column
                continue
            verdicts.append(self._verdict(interval, " x ".join(evaluation.grouping.names)))
        if not verdicts:
            raise InputError(f"--fail-if {self.text!r}: {self.metric} was not evaluated.")
        return [verdict for verdict in verdicts if verdict]

    def _verdict(self, interval: pd.Series, grouping: str) -> str | None:
        value, metric = (
            float(interval[self.column]),
            f"{self.metric} ({self.column}) over {grouping}",
        )
        if value != value:
            # Undefined must fail, or an audit of a group without rows would pass.
            reason = interval["note"] or "no interval was computed"
            return f"{metric} is undefined ({reason}), which {self.text!r} needs"
        met = _OPERATORS[self.sign](value, self.bound)
        return f"{metric} is {value:.4g}: {self.text}" if met else None


def _read(path: Path, sep: str | None) -> pd.DataFrame:
    from fairvision.datasets import clean_table, read_table

    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        return read_table(path, sep=sep)
    return clean_table(_read_binary(path), path.name)


def _read_binary(path: Path) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    kind = path.suffix.lower()
    try:
        if kind in (".parquet", ".pq"):
            return pd.read_parquet(path)
        if kind == ".npz":
            # Opened here: numpy leaves a damaged archive open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return pd.DataFrame({name: arrays[name] for name in arrays.files})
    except ImportError as error:
        message = f"{path.name} needs a Parquet reader: pip install fairvision[parquet]."
        raise InputError(message) from error
    except Exception as error:  # a damaged archive raises anything from KeyError to zlib.error
        reason = error if isinstance(error, (ValueError, OSError)) else describe(error)
        raise InputError(f"{path.name} cannot be read as {kind[1:]}: {reason}") from error
    raise InputError(
        f"{path.name} is of kind {kind!r}; expected .csv, .tsv, .txt, .parquet or .npz."
    )


def _column(table: pd.DataFrame, name: str, option: str) -> Any:
    if name not in table.columns:
        raise InputError(f"{option} {name!r} is no column; there are {list(table.columns)}.")
    return table[name]


def _label(text: str, known: Any, option: str) -> Any:
    """The label of the data that `text` spells."""
    import pandas as pd

    labels = [label for label in pd.unique(known) if not pd.isna(label)]
    for label in labels:
        if str(label) == text:
            return label.item() if hasattr(label, "item") else label
    raise InputError(f"{option} {text!r} is no label; there are {sorted(map(str, labels))}.")


def _privileged(table: pd.DataFrame, pairs: tuple[str, ...], sensitive: list[str]) -> Any:
    labels: dict[str, list[Any]] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or name not in sensitive:
            raise InputError(
                f"--privileged {pair!r}: expected column=label with a column of {sensitive}."
            )
        labels.setdefault(name, []).append(_label(text, table[name], "--privileged"))
    return labels or None


class _Audit(click.Command):
    """Keeps the command line, which the report shows."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["fairvision.words"] = ["fairvision", "audit", *args]
        return super().parse_args(ctx, args)


@click.command(
    "audit",
    cls=_Audit,
    epilog="""\b
Examples:
  fairvision audit predictions.csv --y-true smiling --y-pred predicted --sensitive skin_tone
  fairvision audit predictions.parquet --y-true y --y-pred p --y-score s \\
      --sensitive gender,race --fail-if 'accuracy_gap.upper>0.1' --report audit.html
  fairvision audit scores.tsv --y-true y --y-score s --threshold 0.5 --sensitive gender
""",
)
@click.argument("predictions", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--y-true", required=True, metavar="COLUMN", help="True labels.")
@click.option("--y-pred", metavar="COLUMN", help="Predicted labels; or pass --threshold.")
@click.option("--y-score", metavar="COLUMN", help="Scores of the positive class.")
@click.option(
    "--threshold",
    type=float,
    help="In place of --y-pred: scores from here on are predicted positive.",
)
@click.option("--weight", metavar="COLUMN", help="Weights of the rows.")
@click.option(
    "--sensitive",
    required=True,
    metavar="COLUMN[,COLUMN]",
    help="Group labels; several are evaluated each, and crossed.",
)
@click.option(
    "--privileged",
    multiple=True,
    metavar="COLUMN=LABEL",
    help="Privileged group, for signed differences. May be repeated.",
)
@click.option("--pos-label", metavar="LABEL", help="The positive class.")
@click.option("--metrics", default="default", metavar="NAMES", help="default, all, or names.")
@click.option("--n-boot", default=1000, show_default=True, help="Bootstrap draws.")
@click.option("--level", default=0.95, show_default=True, help="Coverage of the intervals.")
@click.option(
    "--interval", type=click.Choice(["percentile", "bca"]), default="percentile", show_default=True
)
@click.option("--min-support", default=1, show_default=True, help="Rows that a group needs.")
@click.option(
    "--sep", help="What parts the fields of a text table: ',', ';', tab; sniffed if not given."
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
    help="Exit with 1 if it holds, or is undefined: 'accuracy_gap>0.1'. May be repeated.",
)
@click.pass_context
def command(
    context: click.Context,
    predictions: Path,
    sep: str | None,
    report: Path | None,
    as_json: bool,
    quiet: bool,
    fail_if: tuple[str, ...],
    **options: Any,
) -> None:
    """Evaluate the predictions in a text table, Parquet or NPZ file, by group, with intervals.

    Exit code 0: evaluated. 1: a --fail-if condition holds in any grouping.
    2: the input cannot be used.
    """
    conditions = [Condition.parse(text) for text in fail_if]
    evaluation = _evaluate(_read(predictions, sep), [c.metric for c in conditions], **options)
    evaluations = list({id(e): e for e in (evaluation, *evaluation.by_attribute.values())}.values())
    failed = [verdict for c in conditions for verdict in c.verdicts(evaluations)]
    if report is not None:
        _write(report, evaluation, predictions, context, failed)
        if not quiet:
            click.echo(f"Report: {report}", err=True)
    if as_json:
        print_json({**evaluation.to_dict(), "failed": failed})
    elif not quiet:
        if (label := evaluation.pos_label) is not None:
            click.echo(
                f"Positive class: {clean(str(label), limit=200)} (--pos-label names another)"
            )
        for one in evaluations:
            _print(one)
    for verdict in failed:
        click.echo(f"FAILED: {clean(verdict, limit=4000)}", err=True)
    context.exit(1 if failed else 0)


def _evaluate(
    table: pd.DataFrame,
    condition_metrics: list[str],
    *,
    y_true: str,
    y_pred: str | None,
    y_score: str | None,
    threshold: float | None,
    weight: str | None,
    sensitive: str,
    privileged: tuple[str, ...],
    pos_label: str | None,
    metrics: str,
    **options: Any,
) -> Evaluation:
    """Read the columns and labels that the options name, and evaluate them."""
    from fairvision.metrics import evaluate_predictions

    names = [name.strip() for name in sensitive.split(",") if name.strip()]
    for name in names:
        _column(table, name, "--sensitive")
    true = _column(table, y_true, "--y-true")
    score = None if y_score is None else _column(table, y_score, "--y-score")
    positive = None if pos_label is None else _label(pos_label, true, "--pos-label")
    if (y_pred is None) == (threshold is None):
        raise InputError("pass --y-pred, or --y-score with --threshold; one of the two.")
    if threshold is None:
        predicted = _column(table, str(y_pred), "--y-pred")
    else:
        predicted = _at(threshold, score, true, positive)
    return evaluate_predictions(
        true,
        predicted,
        sensitive_features=table[names],
        y_score=score,
        sample_weight=None if weight is None else _column(table, weight, "--weight"),
        metrics=[*metrics.split(","), *condition_metrics],
        pos_label=positive,
        privileged=_privileged(table, privileged, names),
        **options,
    )


def _at(threshold: float, score: Any, true: Any, positive: Any) -> Any:
    """The label that each score gives."""
    import numpy as np

    from fairvision.base import check_labels, code_labels

    if not np.isfinite(threshold):
        raise InputError(f"--threshold is {threshold}; pass a number.")
    if score is None:
        raise InputError("--threshold needs --y-score, the column that it is applied to.")
    labels = code_labels(check_labels(true, "--y-true"))[1]
    if len(labels) != 2:
        raise InputError(
            f"--threshold needs two labels; --y-true has {labels.tolist()[:10]}. Pass --y-pred."
        )
    try:
        at_least = np.asarray(score, dtype=np.float64) >= threshold
    except (TypeError, ValueError) as error:
        raise InputError(f"--y-score is not numeric: {error}. Convert it.") from error
    second = positive is None or labels[1] == positive
    return labels[(at_least == second).astype(int)]


def _write(
    path: Path, evaluation: Evaluation, source: Path, context: click.Context, failed: list[str]
) -> None:
    from fairvision.reports import evaluation_page, write_page

    words = shlex.join(context.meta["fairvision.words"])
    write_page(path, evaluation_page(evaluation, source=source.name, command=words, failed=failed))


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
