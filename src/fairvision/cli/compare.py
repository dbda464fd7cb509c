"""``fairvision compare``: methods by seeds on one data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fairvision.cli._backend import BACKEND_PARAMS, backend_options
from fairvision.cli._comparison import print_comparison
from fairvision.cli._data import data_options, dataset_params
from fairvision.cli._features import features_options, features_params
from fairvision.cli._method import estimator_of, method_options, settings_of
from fairvision.cli._show import print_json, print_table
from fairvision.plugins import clean


def _methods(options: dict[str, Any]) -> list[Any]:
    """The names of --methods, and the estimators of --method by their labels."""
    names = [name.strip() for name in options["methods"].split(",") if name.strip()]
    estimators = dict(estimator_of(entry) for entry in options["method"])
    return [*names, estimators] if estimators else names


#: Options that are parameters of `compare` by the same name.
_SAME = (
    "confounding", "counterexamples", "balanced_baseline", "n_train", "n_test", "test_size",
    "validation_fraction", "seeds", "out", "rerun", "max_epochs", "device", "n_boot", "budget",
    *BACKEND_PARAMS,
)  # fmt: skip


@click.command(
    "compare",
    epilog="""\b
Examples:
  fairvision compare --dataset faces --methods all --seeds 2 --out runs/faces
  fairvision compare --dataset utkface --root DIR --target old --sensitive gender \\
      --methods erm,jlu --seeds 3 --out runs/x
  fairvision compare --dataset celeba --root DIR --target Smiling --sensitive Male
  fairvision compare --dataset folder --root DIR --labels labels.csv \\
      --target smiling --sensitive skin_tone
  fairvision compare --dataset utkface --root DIR --target old --sensitive gender \\
      --image-size 224 --backbone mobilenet_v2 --weights FILE --features
  fairvision compare --methods erm,jlu --method mine=my_package.models:make_classifier
  fairvision compare --dataset folder --root DIR --labels labels.csv --target smiling \\
      --sensitive skin_tone --image-size 224 --backbone mobilenet_v2 --weights FILE --features \\
      --methods auto --budget 10m --validation-fraction 0.2 --out runs/x --choose model.fv
""",
)
@data_options
@click.option(
    "--methods",
    default="all",
    help="Names with commas, or all; auto for those that did best on photographs.",
)
@click.option(
    "--method",
    multiple=True,
    metavar="NAME=PACKAGE.MODULE:FACTORY",
    help="An estimator of your own: its class, or a function that returns it unfitted. Added to "
    "--methods; may be repeated.",
)
@click.option("--seeds", type=click.IntRange(1), default=3, help="How many.")
@click.option("--epochs", "max_epochs", type=click.IntRange(0), default=10)
@click.option(
    "--confounding",
    type=click.FloatRange(0, 1),
    help="Bias the training rows: the share of the last class (in sorted order) that is in the "
    "last group; below 0.5, most of it is in the first group. Test rows are balanced.",
)
@click.option(
    "--counterexamples",
    type=click.FloatRange(0, 1),
    help="With --confounding: the same share in the other classes; 1 - confounding if not given.",
)
@click.option(
    "--balanced-baseline/--no-balanced-baseline",
    default=None,
    help="With --confounding: also train erm on as many balanced rows. Default with --methods all.",
)
@click.option("--n-train", type=click.IntRange(2), help="Training rows, with --confounding.")
@click.option("--n-test", type=click.IntRange(4), help="Test rows, with --confounding.")
@click.option(
    "--test-size",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.3,
    help="Share of test rows, without --confounding and --split-column.",
)
@click.option(
    "--validation-fraction",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of the training rows held out to choose a method.",
)
@method_options
@features_options
@click.option("--device", default="auto")
@backend_options
@click.option("--n-boot", type=click.IntRange(0), default=1000, help="Draws of intervals.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the results.")
@click.option(
    "--rerun",
    is_flag=True,
    help="Repeat the runs in --out that were made with other data, parameters, code or versions.",
)
@click.option(
    "--report/--no-report",
    default=True,
    help="Keep pictures of the models, and write report.html into --out.",
)
@click.option(
    "--budget",
    metavar="TIME",
    help="Begin no run after this time: 90s, 20m, 1.5h. Methods that are worse on validation "
    "rows are dropped.",
)
@click.option(
    "--keep-models",
    is_flag=True,
    help="Store each run's model, so that `fairvision choose` need not train it again.",
)
@click.option(
    "--choose",
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="Write the model that `fairvision choose` would write; needs validation rows.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file of --choose.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--full", is_flag=True, help="Print every measure and note, in wide tables.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(**options: Any) -> None:
    """Train methods on a data set with several seeds, and report them side by side.

    All methods of a seed see the same training and test rows. With --out, finished runs are not
    repeated: the same command resumes or extends the comparison. A run whose worker process dies
    is tried three times.

    Exit code 0: done; failed runs are named. 1: every run failed, or it was interrupted. 2: the
    input cannot be used.
    """
    from fairvision.comparison import compare

    if options["choose"] is not None:
        from fairvision.base import check_new_file

        check_new_file(options["choose"], overwrite=options["overwrite"])
    try:
        result = compare(
            options["dataset"],
            _methods(options),
            dataset_params=dataset_params(options),
            **{name: options[name] for name in _SAME},
            preset=options["preset"] or None,
            params=settings_of(options["settings"]),
            **features_params(options),
            progress=not options["quiet"],
            # Without a folder there is no place for a page.
            report=options["report"] and options["out"] is not None,
            keep_models=options["keep_models"] or options["choose"] is not None,
        )
    except KeyboardInterrupt:
        if options["out"]:
            click.echo("Finished runs are kept; the same command again resumes.", err=True)
        raise
    if options["as_json"]:
        print_json(result.to_dict())
    else:
        _print(result, full=options["full"])
    if not result.runs:
        raise click.exceptions.Exit(1)
    if options["choose"] is not None:
        choice = result.choose()
        choice.save(options["choose"], overwrite=options["overwrite"])
        click.echo(
            clean(f"{choice.sentence} Model: {options['choose']}", limit=4000),
            err=options["as_json"],
        )


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
