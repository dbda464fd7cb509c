"""``fairvision choose``: choose a method of a comparison by its validation rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fairvision.cli._show import print_json, print_table
from fairvision.plugins import clean


@click.command(
    "choose",
    epilog="""\b
Examples:
  fairvision compare --dataset celeba --root DIR --target Smiling --sensitive Male \\
      --validation-fraction 0.2 --out runs/smiling
  fairvision choose runs/smiling
  fairvision choose runs/smiling --by equalized_odds_difference --at-least "accuracy>=0.9" \\
      --out model.fv
""",
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--by",
    default="worst_group_accuracy",
    help="The metric to choose by, as a mean over the seeds.",
)
@click.option(
    "--at-least",
    multiple=True,
    metavar="METRIC>=BOUND",
    help="A constraint that the method must meet, such as accuracy>=0.9 or accuracy_gap<=0.05; "
    "may be repeated.",
)
@click.option(
    "--n-boot",
    type=click.IntRange(1),
    default=1000,
    help="Bootstrap draws that say how sure the choice is.",
)
@click.option(
    "--seed", type=int, help="Seed of the model; the best one on validation rows if not given."
)
@click.option("--out", type=click.Path(path_type=Path), help="File for the model.")
@click.option("--overwrite", is_flag=True, help="Replace the file of --out.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(folder: Path, out: Path | None, overwrite: bool, as_json: bool, **options: Any) -> None:
    """Choose a method of the comparison that `fairvision compare --out FOLDER` wrote.

    Only validation rows decide; test rows are reported for the chosen method. Among the methods
    within one standard error of the best, the choice is the first in the comparison's list; plain
    training (erm) comes before all others.

    --out writes the model that `compare --keep-models` stored; if none is stored, the model is
    trained again to the same numbers.

    Exit code 0: chosen. 2: no method meets the bounds, or the folder has no validation rows.
    """
    from fairvision.base import check_new_file
    from fairvision.comparison import read_comparison

    if out is not None:
        check_new_file(out, overwrite=overwrite)
    seed = options.pop("seed")
    choice = read_comparison(folder).choose(**options)
    model = None if out is None else choice.save(out, seed=seed, overwrite=overwrite)
    if as_json:
        print_json({**choice.to_dict(), "model": None if model is None else str(model)})
        return
    for name, table in (("validation", choice.table), (choice.method, choice.test)):
        rows = table.round(3).astype(object).fillna("").itertuples(name=None)
        print_table(rows, columns=(name, *map(str, table.columns)))
        click.echo()
    click.echo(clean(choice.sentence, limit=4000))
    if model is not None:
        click.echo(f"Model: {model}")
