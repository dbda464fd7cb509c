"""``fairvision reproduce``: a paper's experiment as one command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fairvision.cli._backend import backend_options, backend_params
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
@click.option("--list", "as_list", is_flag=True, help="List the recipes, and run nothing.")
@click.option("--data", default="faces", show_default=True, help="One of the recipe's data sets.")
@click.option("--root", type=click.Path(path_type=Path), help="Folder of the images.")
@click.option("--scale", default="small", show_default=True, help="One of the recipe's scales.")
@click.option("--seeds", type=click.IntRange(1), help="How many; the recipe's own if not given.")
@click.option("--device", default="auto", show_default=True)
@backend_options
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the results.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and what it would cost.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str | None, as_list: bool, **options: Any) -> None:
    """Run a paper's experiment, and print its table beside ours.

    The same command resumes in --out what was interrupted.

    Exit code 0: done, runs that failed are named. 1: every run failed, or it was
    interrupted. 2: the input cannot be used.
    """
    from fairvision.recipes import count_rows, find_recipe, find_recipes, plan, reproduce

    if as_list or name is None:
        _print_list(find_recipes(), options["as_json"])
        return
    recipe = find_recipe(name)
    root = None if options["root"] is None else str(options["root"])
    if options["dry_run"]:
        how = {key: options[key] for key in ("data", "scale", "seeds")}
        blocks = plan(recipe, root=root, **how)
        _print_plan(count_rows(recipe, blocks), options["as_json"])
        return
    found = reproduce(
        recipe,
        options["data"],
        options["scale"],
        seeds=options["seeds"],
        root=root,
        out=options["out"],
        device=options["device"],
        progress=not options["quiet"],
        report=options["out"] is not None,
        **backend_params(options),
    )
    if options["as_json"]:
        print_json(found.to_dict())
    else:
        for line in found.to_markdown().splitlines():
            click.echo(clean(line, limit=4000))
    if found.results.empty:
        raise click.exceptions.Exit(1)


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
    if as_json:
        print_json(rows)
        return
    print_table(
        ("recipe", "from", "data (scales)", "what it does"),
        [(r["name"], r["from"], ", ".join(r["data"]), r["title"]) for r in rows],
    )


def _print_plan(blocks: Any, as_json: bool) -> None:
    rows = [
        {
            "block": block.name,
            "group": block.group,
            "rows": [row.label for row in block.rows],
            "seeds": block.seeds,
            "runs": block.n_runs,
            "steps": block.n_steps,
            "bytes": block.n_bytes,
            "figures": [figure.name for figure in block.figures],
        }
        for block in blocks
    ]
    if as_json:
        print_json(rows)
        return
    grouped = any(r["group"] for r in rows)
    lines = [
        (
            r["block"],
            *([r["group"] or ""] if grouped else []),
            str(r["seeds"]),
            str(r["runs"]),
            "needs --root" if r["steps"] is None else f"{r['steps']:,}",
            f"{r['bytes'] / 1e6:.1f} MB",
            ", ".join(r["rows"]),
            ", ".join(r["figures"]),
        )
        for r in rows
    ]
    group = ("group",) if grouped else ()
    print_table(("block", *group, "seeds", "runs", "steps", "disk", "rows", "figures"), lines)
    click.echo(
        f"{sum(r['runs'] for r in rows)} runs. Steps are those of plain training with batches of "
        "64; a method may take more."
    )
