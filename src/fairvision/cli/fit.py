"""``fairvision fit``: one method, trained and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fairvision.cli._data import data_options, dataset_params
from fairvision.cli._features import features_options, features_params
from fairvision.cli._method import estimator_of, method_options, settings_of
from fairvision.cli._show import print_json, print_table
from fairvision.exceptions import InputError
from fairvision.plugins import clean

#: Options that are parameters of `fit` by the same name.
_SAME = (
    "validation_fraction", "validation_column", "max_epochs", "device", "n_threads", "n_boot",
    "random_state",
)  # fmt: skip
#: The metrics printed; `--json` and the model file hold all.
_SHOWN = (
    "accuracy",
    "balanced_accuracy",
    "worst_group_accuracy",
    "accuracy_gap",
    "demographic_parity_difference",
    "equal_opportunity_difference",
    "equalized_odds_difference",
)


@click.command(
    "fit",
    epilog="""\b
Examples:
  fairvision fit jlu --dataset folder --root DIR --labels labels.csv \\
      --target smiling --sensitive skin_tone --out model.fv
  fairvision fit last-layer-retraining --dataset celeba --root DIR --target Smiling \\
      --sensitive Male --backbone mobilenet_v2 --weights FILE --features --out model.fv
  fairvision fit --pre reweighing --model erm --post threshold-optimizer --out model.fv
""",
)
@click.argument("method", required=False)
@data_options
@click.option("--pre", multiple=True, help="A pre-processing method; may be repeated.")
@click.option("--model", help="The classifier between --pre and --post; erm if not given.")
@click.option("--post", multiple=True, help="A post-processing method; may be repeated.")
@click.option(
    "--validation-fraction",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of the rows held out for evaluation; the data's own validation rows, or 0.2, if "
    "not given.",
)
@click.option(
    "--validation-column", help="Column that marks the held-out rows: true values, or valid."
)
@click.option("--seed", "random_state", type=click.IntRange(0), default=0)
@click.option("--epochs", "max_epochs", type=click.IntRange(0), default=10)
@method_options
@features_options
@click.option("--device", default="auto")
@click.option("--threads", "n_threads", type=click.IntRange(1), default=1, help="CPU threads.")
@click.option("--n-boot", type=click.IntRange(0), default=1000, help="Draws of intervals.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The model's file.",
)
@click.option("--overwrite", is_flag=True, help="Replace the files of --out and --onnx.")
@click.option(
    "--onnx",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file for the same model as ONNX, beside --out.",
)
@click.option("--quiet", is_flag=True, help="Print nothing, and show no progress.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(method: str | None, **options: Any) -> None:
    """Train METHOD on all rows but the validation rows, and save a model that predicts pictures.

    METHOD is a name of `fairvision methods`, or NAME=PACKAGE.MODULE:FACTORY for an estimator of
    your own; erm if not given. Rows of the split ``test`` are not used. The metrics on the
    validation rows are printed with intervals.

    Exit code 0: saved. 1: Ctrl-C; nothing was written. 2: the input cannot be used.
    """
    from fairvision.comparison import fit

    _check_places(options)
    model = fit(
        options["dataset"],
        _method_of(method),
        pre=[_method_of(method_name) for method_name in options["pre"]] or None,
        model=_method_of(options["model"]),
        post=[_method_of(method_name) for method_name in options["post"]] or None,
        dataset_params=dataset_params(options),
        **{name: options[name] for name in _SAME},
        preset=options["preset"] or None,
        params=settings_of(options["settings"]),
        **features_params(options),
        progress=not options["quiet"],
    )
    path = model.save(options["out"], overwrite=options["overwrite"])
    if options["as_json"]:
        print_json({"model": str(path), **(model.facts or {}), "evaluation": model.evaluation})
    elif not options["quiet"]:
        _print(model)
        click.echo(f"Model: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    if options["onnx"] is not None:
        from fairvision.saving import export_onnx

        export_onnx(model, options["onnx"], overwrite=options["overwrite"])


def _method_of(text: str | None) -> Any:
    """A method's name, or an estimator by its label."""
    return text if text is None or "=" not in text else dict([estimator_of(text)])


def _check_places(options: dict[str, Any]) -> None:
    """Raise an error before training if an output file cannot be written."""
    from fairvision.base import check_new_file

    for option in ("out", "onnx"):
        if options[option] is not None:
            check_new_file(options[option], overwrite=options["overwrite"])
    if options["onnx"] is not None:
        import importlib.util

        if importlib.util.find_spec("onnxscript") is None:
            raise InputError("--onnx needs onnxscript. Run: pip install 'fairvision[onnx]'")


def _print(model: Any) -> None:
    training, evaluation = model.facts, model.evaluation
    click.echo(
        f"{clean(training['method'])}: trained on {training['n_train']} rows in "
        f"{training['train_seconds']:.1f} s; {training['n_validation']} validation rows of "
        f"{clean(' x '.join(evaluation['sensitive']))} show:\n"
    )
    numbers = {**evaluation["overall"], **evaluation["disparities"]}
    rows = [(name, *_interval(numbers[name])) for name in _SHOWN if name in numbers]
    print_table(rows, columns=("METRIC", "VALUE", "95% INTERVAL", "NOTE"))
    click.echo()
    groups = [
        (" x ".join(map(str, group["group"].values())), group["n"], *_interval(accuracy))
        for group in evaluation["by_group"]
        for accuracy in (group["rates"]["accuracy"],)
    ]
    print_table(groups, columns=("GROUP", "ROWS", "ACCURACY", "95% INTERVAL", "NOTE"))
    for note in evaluation["notes"]:
        click.echo(f"Note: {clean(note, limit=4000)}")
    click.echo()


def _interval(entry: dict[str, Any]) -> tuple[str, str, str]:
    value, lower, upper = (
        "undefined" if entry[name] is None else f"{entry[name]:.4g}"
        for name in ("value", "lower", "upper")
    )
    return value, f"{lower} to {upper}", entry["note"]
