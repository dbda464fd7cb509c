"""``fairvision reproduce``: run a paper's experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fairvision.cli._backend import BACKEND_PARAMS, backend_options
from fairvision.cli._features import features_options, features_params
from fairvision.cli._show import print_json, print_table
from fairvision.plugins import clean


@click.command(
    "reproduce",
    epilog="""\b
Examples:
  fairvision reproduce --list
  fairvision reproduce jlu-age --data faces --jobs 2 --out runs/jlu
  fairvision reproduce jlu-age --data utkface --root DIR --seeds 5 --dry-run
""",
)
@click.argument("name", required=False)
@click.option("--list", "as_list", is_flag=True, help="List the recipes.")
@click.option("--data", default="faces", help="One of the recipe's data sets.")
@click.option("--root", type=click.Path(path_type=Path), help="Folder of the images.")
@click.option("--scale", default="small", help="One of the recipe's scales.")
@click.option("--seeds", type=click.IntRange(1), help="Number of seeds; default: as in the recipe.")
@features_options
@click.option("--device", default="auto")
@backend_options
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the results.")
@click.option("--dry-run", is_flag=True, help="Print the runs and their cost, and run nothing.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str | None, as_list: bool, **options: Any) -> None:
    """Run a paper's experiment, and print its table beside ours.

    The same command with the same --out resumes an interrupted one.

    Exit code 0: done; failed runs are named. 1: every run failed, or Ctrl-C was pressed.
    2: the input cannot be used.
    """
    from fairvision.recipes import count_rows, find_recipe, find_recipes, plan, reproduce

    as_json = options["as_json"]
    if as_list or name is None:
        _print_list(find_recipes(), as_json)
        return
    recipe = find_recipe(name)
    experiment = {key: options[key] for key in ("data", "scale", "seeds")}
    experiment["root"] = None if options["root"] is None else str(options["root"])
    if options["dry_run"]:
        _print_plan(count_rows(recipe, plan(recipe, **experiment)), as_json)
        return
    reproduction = reproduce(
        recipe,
        **experiment,
        out=options["out"],
        device=options["device"],
        progress=not options["quiet"],
        report=options["out"] is not None,
        **_net(options, any(block.features for block in plan(recipe, **experiment))),
        **{name: options[name] for name in BACKEND_PARAMS},
    )
    if as_json:
        print_json(reproduction.to_dict())
    else:
        for line in reproduction.to_markdown().splitlines():
            click.echo(clean(line, limit=4000))
    if reproduction.results.empty:
        raise click.exceptions.Exit(1)


def _net(options: dict[str, Any], on_features: bool) -> dict[str, Any]:
    """The options of a pretrained net; its weights alone are for the features of the recipe."""
    if on_features and not options["features"] and options["backbone"] is None:
        return {name: options[name] for name in ("weights", "features_cache")}
    return features_params(options)


def _print_list(recipes: Any, as_json: bool) -> None:
    rows = [
        {
            "name": recipe.name,
            "from": recipe.distribution,
            "data": [f"{d} ({', '.join(recipe.scales(d))})" for d in recipe.data],
            "title": recipe.title,
        }
        for recipe in recipes
    ]
    _print_rows(rows, as_json)


def _print_plan(blocks: Any, as_json: bool) -> None:
    rows = [
        {
            "block": block.name,
            "group": block.group,
            "seeds": block.seeds,
            "runs": block.n_runs,
            "steps": block.n_steps,
            "bytes": block.n_bytes,
            "rows": [row.label for row in block.rows],
            "figures": [figure.name for figure in block.figures],
        }
        for block in blocks
    ]
    _print_rows(rows, as_json)
    if not as_json:
        click.echo(
            f"{sum(block.n_runs for block in blocks)} runs. Steps are those of ERM training with "
            "batches of 64, unknown before the data are read; a method may take more."
        )


def _print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(rows)
    elif rows:
        columns = [name for name in rows[0] if any(row[name] is not None for row in rows)]
        print_table([[_text(row[name]) for name in columns] for row in rows], columns=columns)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:,}" if isinstance(value, int) else str(value or "")
