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
    "--by", default="worst_group_accuracy", help="The metric that decides, its mean over the seeds."
)
@click.option(
    "--at-least",
    multiple=True,
    metavar="METRIC>=BOUND",
    help="What the method must also meet, such as accuracy>=0.9 or accuracy_gap<=0.05; may be "
    "given again.",
)
@click.option(
    "--n-boot", type=click.IntRange(1), default=1000, help="Draws that say how sure the choice is."
)
@click.option(
    "--seed", type=int, help="Of the model; that of the best validation rows if not given."
)
@click.option("--out", type=click.Path(path_type=Path), help="File for the model.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(folder: Path, out: Path | None, as_json: bool, **options: Any) -> None:
    """Choose a method of what `fairvision compare --out FOLDER` compared.

    Validation rows decide, never test rows, which are reported of the chosen method only. Of
    methods within one standard error of the best, it takes the first of the comparison's list,
    plain training before all.

    With --out, the model is the one that `compare --keep-models` kept; without, it is trained
    again to the same numbers.

    Exit code 0: chosen. 2: no method meets the bounds, or the folder has no validation rows.
    """
    from fairvision.base import check_new_file
    from fairvision.comparison import read_comparison

    if out is not None:
        check_new_file(out)
    seed = options.pop("seed")
    choice = read_comparison(folder).choose(**options)
    model = None if out is None else choice.save(out, seed=seed)
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
