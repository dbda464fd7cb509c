"""``fairvision predict``: pictures in, a table of predictions out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import click

from fairvision.cli._data import names_of
from fairvision.exceptions import InputError
from fairvision.plugins import clean

_FORMATS = {".parquet": "parquet", ".pq": "parquet", ".json": "json", ".jsonl": "json"}
_MOST_NAMED = 5  # unreadable pictures


@click.command(
    "predict",
    epilog="""\b
Examples:
  fairvision predict model.fv a.jpg b.jpg
  fairvision predict model.fv DIR --out predictions.csv
  fairvision predict model.fv DIR --labels labels.csv --out predictions.csv
  fairvision audit predictions.csv
""",
)
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("pictures", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="Label table of the pictures; PICTURES is then their folder. Its target and groups are "
    "copied to the output.",
)
@click.option("--path-column", default="path", help="Column of file paths in --labels.")
@click.option("--sep", help="Field separator of --labels: ',', ';' or tab; detected if not given.")
@click.option(
    "--groups",
    metavar="COLUMN[,COLUMN]",
    help="Columns of groups in --labels, if their names differ from training.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; the same command resumes an interrupted one. Printed if not given.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "parquet", "json"]),
    help="Format of the output; by the ending of --out if not given. json has one line per "
    "picture.",
)
@click.option(
    "--pixel-max",
    type=click.FloatRange(0, min_open=True),
    help="White in grey files of more than 8 bits; as in training if not given.",
)
@click.option("--batch-size", type=click.IntRange(1), default=256)
@click.option("--device", help="A torch device; as in training if not given.")
@click.option("--skip-bad", is_flag=True, help="Leave out unreadable pictures, and count them.")
@click.option("--quiet", is_flag=True, help="Print no counts.")
def command(model: Path, pictures: tuple[Path, ...], **options: Any) -> None:
    """Predict PICTURES, files or folders, with a MODEL that `fairvision fit` saved.

    Memory use does not grow with the number of pictures. A row has the path, the class, the
    probability of each class, the true class and the groups if --labels has them, and an
    identifier of the model. `fairvision audit` reads the output as it is.

    MODEL can also be a classifier that `fairvision.save` wrote, if it was trained on pixels.

    Exit code 0: done; pictures that --skip-bad left out are counted. 1: Ctrl-C; rows are kept.
    2: the input cannot be used.
    """
    from fairvision.models import ImageModel, PredictionFile, predict_pictures, unlabelled_pictures
    from fairvision.saving import load

    out = options["out"]
    form: Any = options["form"] or _FORMATS.get("" if out is None else out.suffix.lower(), "csv")
    if out is None and form == "parquet":
        raise InputError("--format parquet needs --out, the file to write.")
    fitted = ImageModel.from_estimator(load(model, device=options["device"]))
    if options["pixel_max"] is not None:
        fitted.set_params(pixel_max=options["pixel_max"])
    rows, columns = _pictures(fitted, pictures, options)
    mark = hashlib.sha256(model.read_bytes()).hexdigest()[:12]
    bad = _Bad()
    # A folder, which may hold millions of files, is walked once more; a table's rows are all here.
    listed = rows if isinstance(rows, list) else unlabelled_pictures(pictures)
    with PredictionFile(out, columns, mark, form, listed) as file:
        done = len(file.done)
        predictions = predict_pictures(
            fitted,
            rows,
            sensitive=columns.sensitive,
            batch_size=options["batch_size"],
            done=file.done,
            on_bad=bad if options["skip_bad"] else None,
        )
        try:
            n = sum(file.write(columns.rows(*batch)) for batch in predictions)
        except KeyboardInterrupt:
            if out is not None:
                click.echo(f"Rows are kept in {out}; the same command resumes.", err=True)
            raise
        file.finish()
    if not options["quiet"]:
        _report(n, done, bad, out)


class _Bad:
    """Counts pictures that cannot be read, and names the first."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, error: str) -> None:
        self.n += 1
        if self.n <= _MOST_NAMED:
            click.echo(f"Left out: {clean(error, limit=1000)}", err=True)


def _pictures(model: Any, pictures: tuple[Path, ...], options: dict[str, Any]) -> Any:
    """The pictures, and the columns of their predictions."""
    from fairvision.datasets import LabelTable
    from fairvision.models import PredictionColumns, labelled_pictures, unlabelled_pictures

    classes = model.names_of(model.classes_) if hasattr(model.estimator, "predict_proba") else ()
    groups, labels = names_of(options["groups"]), options["labels"]
    if labels is None:
        if not pictures:
            raise InputError("name PICTURES: files, folders, or a folder with --labels.")
        if model.reads_groups or groups:
            group_names = ", ".join(model.sensitive_names)
            raise InputError(
                f"the groups of the pictures ({group_names}) come from a table: pass --labels."
            )
        return unlabelled_pictures(pictures), PredictionColumns(classes)
    if len(pictures) > 1:
        raise InputError("with --labels, PICTURES is one folder, that of the table's files.")
    root = pictures[0] if pictures else labels.absolute().parent
    groups = [groups] if isinstance(groups, str) else groups
    needed = (groups or model.sensitive_names) if model.reads_groups else ()
    table = LabelTable.read(
        root,
        labels,
        needed,
        path_column=options["path_column"],
        sep=options["sep"],
        skip_bad=options["skip_bad"],
    )
    rows, sensitive, has_true = labelled_pictures(model, table, groups)
    return rows, PredictionColumns(classes, sensitive, has_true)


def _report(n: int, done: int, bad: _Bad, out: Path | None) -> None:
    words = f"{n} picture(s) predicted"
    words += f", {done} were already there" if done else ""
    words += f", {bad.n} left out" if bad.n else ""
    click.echo(f"{words}. {'' if out is None else f'Predictions: {out}'}".rstrip(), err=True)
