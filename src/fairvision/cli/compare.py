"""``fairvision compare``: methods by seeds on one data set."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from fairvision.cli._backend import backend_options, backend_params
from fairvision.cli._comparison import print_comparison
from fairvision.cli._features import features_options, features_params
from fairvision.cli._show import print_json, print_table
from fairvision.exceptions import InputError
from fairvision.plugins import clean, describe, resolve


def _value(text: str) -> Any:
    """A parameter as typed: JSON if it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _settings(entries: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """``jlu.alpha=0.4`` as {"jlu": {"alpha": 0.4}}."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        left, equals, value = entry.partition("=")
        owner, dot, name = left.rpartition(".")
        if not equals or not dot or not owner or not name:
            raise click.BadParameter(f"{entry!r}; write METHOD.PARAMETER=VALUE.")
        found.setdefault(owner, {})[name] = _value(value)
    return found


def _methods(options: dict[str, Any]) -> list[Any]:
    """The names of --methods, and the estimators of --method by their labels."""
    names = [name.strip() for name in options["methods"].split(",") if name.strip()]
    estimators = dict(_estimator(entry) for entry in options["method"])
    return [*names, estimators] if estimators else names


def _estimator(entry: str) -> tuple[str, Any]:
    """``mine=package.module:factory`` as ("mine", the estimator that the factory returns)."""
    label, equals, target = entry.partition("=")
    if not label or not equals or ":" not in target:
        raise click.BadParameter(f"{entry!r}; write NAME=PACKAGE.MODULE:FACTORY.")
    if "" not in sys.path:  # as `python -m` does: a module of the working directory
        sys.path.insert(0, "")
    factory = resolve(target)
    try:
        return label, factory()
    except Exception as error:  # the factory may do anything
        raise InputError(
            f"--method {label}: {target}() fails: {describe(error)}. A factory takes no "
            "arguments and returns an unfitted estimator."
        ) from error


def _names(text: str | None) -> Any:
    """A comma list as one name or several, or None."""
    names = [part.strip() for part in (text or "").split(",") if part.strip()]
    return None if not names else names[0] if len(names) == 1 else names


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
""",
)
@click.option("--dataset", default="faces", show_default=True, help="A registered data set.")
@click.option("--root", type=click.Path(path_type=Path), help="Folder of the images.")
@click.option("--download", is_flag=True, help="Fetch what is not in --root: celeba only.")
@click.option(
    "--labels", help="Table of `folder`, or labels beside celeba's; absolute or inside --root."
)
@click.option("--target", help="Attribute to predict.")
@click.option("--sensitive", help="Sensitive attribute; several with commas.")
@click.option("--split-column", help="Column of the CSV that says train or test.")
@click.option(
    "--path-column", help="Column of the files in the table of `folder`: path if not given."
)
@click.option("--sep", help="What parts the table's fields: ',', ';', tab; sniffed if not given.")
@click.option("--image-size", type=click.IntRange(8), help="Height and width in pixels.")
@click.option("--mode", type=click.Choice(["RGB", "L"]), help="Colour, or grey.")
@click.option(
    "--resize",
    type=click.Choice(["crop", "squash"]),
    help="Crop the middle, or change the aspect ratio.",
)
@click.option(
    "--pixel-max",
    type=click.FloatRange(0, min_open=True),
    help="White in grey files of more than 8 bits, such as 4095: `folder` only.",
)
@click.option("--n-samples", type=click.IntRange(1), help="Images to make, for drawn data.")
@click.option("--skip-bad", is_flag=True, help="Leave out unreadable images, and count them.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder for decoded images.")
@click.option("--methods", default="all", show_default=True, help="Names with commas, or all.")
@click.option(
    "--method",
    multiple=True,
    metavar="NAME=PACKAGE.MODULE:FACTORY",
    help="An estimator of your own: its class, or a function that returns it unfitted. Beside "
    "--methods; may be given again.",
)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="How many.")
@click.option("--epochs", type=click.IntRange(0), default=10, show_default=True)
@click.option(
    "--confounding",
    type=click.FloatRange(0, 1),
    help="Bias the training rows: this share of each class has the group that goes with it; "
    "test on balanced rows.",
)
@click.option(
    "--counterexamples",
    type=click.FloatRange(0, 1),
    help="With --confounding: that share in the other classes; 1 - confounding if not given.",
)
@click.option(
    "--balanced-baseline/--no-balanced-baseline",
    default=None,
    help="With --confounding: erm on as many balanced rows, too. By default with --methods all.",
)
@click.option("--n-train", type=click.IntRange(2), help="Training rows, with --confounding.")
@click.option("--n-test", type=click.IntRange(4), help="Test rows, with --confounding.")
@click.option(
    "--test-size",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.3,
    show_default=True,
    help="Share of test rows, where neither --confounding nor --split-column decides.",
)
@click.option(
    "--preset", default="quick", show_default=True, help="For methods that have it; '' for none."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="METHOD.PARAMETER=VALUE",
    help="A parameter of a method; may be given again.",
)
@features_options
@click.option("--device", default="auto", show_default=True)
@backend_options
@click.option(
    "--n-boot", type=click.IntRange(0), default=1000, show_default=True, help="Draws of intervals."
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the results.")
@click.option(
    "--rerun",
    is_flag=True,
    help="Do the runs in --out again that were made with other data, parameters, code or versions.",
)
@click.option(
    "--report/--no-report",
    default=True,
    show_default=True,
    help="Keep pictures of the models, and write report.html into --out.",
)
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--full", is_flag=True, help="Print every measure and note, in wide tables.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(**options: Any) -> None:
    """Train methods on a data set with several seeds, and report them side by side.

    All methods of a seed see the same training and test rows. With --out, a run
    that is already done is not done again: the same command resumes or extends.
    A run whose worker process dies is tried three times.

    Exit code 0: done, runs that failed are named. 1: every run failed, or it was
    interrupted. 2: the input cannot be used.
    """
    from fairvision.comparison import compare

    try:
        result = compare(
            options["dataset"],
            _methods(options),
            seeds=options["seeds"],
            out=options["out"],
            rerun=options["rerun"],
            dataset_params=_dataset_params(options),
            confounding=options["confounding"],
            counterexamples=options["counterexamples"],
            balanced_baseline=options["balanced_baseline"],
            n_train=options["n_train"],
            n_test=options["n_test"],
            test_size=options["test_size"],
            max_epochs=options["epochs"],
            preset=options["preset"] or None,
            params=_settings(options["settings"]),
            **features_params(options),
            device=options["device"],
            n_boot=options["n_boot"],
            progress=not options["quiet"],
            # Without a folder there is no place for a page.
            report=options["report"] and options["out"] is not None,
            **backend_params(options),
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


def _dataset_params(options: dict[str, Any]) -> dict[str, Any]:
    """What was given for the loader; what was not is left to its defaults."""
    plain = (
        "root", "labels", "path_column", "sep", "split_column", "image_size", "mode", "resize",
        "pixel_max", "n_samples", "cache",
    )  # fmt: skip
    given = {name: options[name] for name in plain if options[name] is not None}
    given = {k: str(v) if isinstance(v, Path) else v for k, v in given.items()}
    if options["target"]:
        given["target"] = options["target"]
    if sensitive := _names(options["sensitive"]):
        given["sensitive"] = sensitive
    given.update({name: True for name in ("skip_bad", "download") if options[name]})
    return given


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
