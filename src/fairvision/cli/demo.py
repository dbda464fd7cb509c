"""``fairvision demo``: compare methods on two biased tasks, and keep the best models."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill, wrap
from typing import Any

import click

from fairvision.cli._comparison import marks_note, print_comparison

#: Target and sensitive attribute. A skin tone shows where a smile does; a hat hides no glasses.
_TASKS = (("smiling", "skin_group"), ("eyeglasses", "hat"))
_ROWS = {"train": 3200, "valid": 400, "test": 900}
_CONFOUNDING = 0.95
_TRAIN, _TEST, _EPOCHS = 1200, 600, 8
_FEATURE_SIZE = 96  # pixels of a face where a pretrained net looks at it
_OWN = """
On your own pictures, with a table of their labels:
  fairvision data --dataset folder --root DIR --labels labels.csv --target COLUMN --sensitive COLUMN
  fairvision compare (the same) --methods auto --budget 10m --validation-fraction 0.2 --out runs/x
  fairvision choose runs/x --out model.fv && fairvision predict model.fv NEW_PICTURES
"""


@click.command(
    "demo",
    epilog="""\b
Examples:
  fairvision demo
  fairvision demo --out runs/demo --weights mobilenet_v2-b0353104.pth
""",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/demo"),
    help="Folder for the results, the reports and the chosen models.",
)
@click.option(
    "--weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="FAIRVISION_WEIGHTS",
    help="ImageNet weights of mobilenet_v2: start from its features. Also FAIRVISION_WEIGHTS.",
)
@click.option("--jobs", type=int, default=2, help="Runs at a time.")
@click.option("--quiet", is_flag=True, help="No progress.")
def command(out: Path, weights: Path | None, jobs: int, quiet: bool) -> None:
    """Train and choose models on two tasks with drawn faces; no real person is shown.

    In 95 of 100 training faces the target agrees with the group. Methods that cannot help on
    these data are left out, with the reason. The same command resumes.
    """
    extractor = _extractor(weights, out)
    results, left_out = [], {}
    for i, task in enumerate(_TASKS):
        click.echo(f"\nTask {i + 1} of {len(_TASKS)}: {' given '.join(task)}", err=True)
        result, left_out[i + 1] = _run(*task, out / "-given-".join(task), extractor, jobs, quiet)
        results.append(result)
    for task, result in zip(_TASKS, results, strict=True):
        name = " given ".join(task).replace("_", " ")
        _print_task(f"{name}: {result.out}/report.html, model.fv", result)
    click.echo(
        "\nerm-balanced is plain training on balanced faces, to compare with; it is no method."
    )
    click.echo(f"{marks_note('erm')} Left out, and why:")
    for names, reason in _by_reason(left_out):
        for line in wrap(f"{names}: {reason}", 100, subsequent_indent="  "):
            click.secho(line, dim=True)
    click.echo(_OWN.rstrip())


def _run(
    target: str, sensitive: str, out: Path, extractor: Any, jobs: int, quiet: bool
) -> tuple[Any, dict[str, str]]:
    """The comparison, its chosen model saved, and the reason for each method left out."""
    from fairvision.comparison import compare

    # Features of small faces made large would hold little of a smile.
    data = _faces(target, sensitive, *([] if extractor is None else [_FEATURE_SIZE]))
    methods, left_out = _methods(data, sensitive, has_pixels=extractor is None)
    result = compare(
        data,
        ["erm", *methods],
        seeds=2,
        n_jobs=jobs,
        out=out,
        confounding=_CONFOUNDING,
        balanced_baseline=True,
        n_train=_TRAIN,
        n_test=_TEST,
        max_epochs=_EPOCHS,
        features=extractor,
        n_boot=300,
        keep_models=True,
        progress=not quiet,
    )
    model = out / "model.fv"
    model.unlink(missing_ok=True)  # of an earlier demo
    choice = result.choose()
    choice.save(model, dataset=data)
    click.echo(f"{choice.method} is chosen; its model is saved.", err=True)
    return result, left_out


def _print_task(title: str, result: Any) -> None:
    click.secho(f"\n{title}", bold=True)
    data = result.report_data()
    if cell := data["before_after"]:
        click.echo(
            f"{cell['class']}, {cell['group']}: right in {cell['n_right'][0]} of {cell['n']} test "
            f"faces with {cell['methods'][0]}, in {cell['n_right'][1]} with {cell['methods'][1]}."
        )
    click.echo(fill(data["choice"]["sentence"], 100))
    print_comparison(result, notes=False)


def _by_reason(left_out: dict[int, dict[str, str]]) -> list[tuple[str, str]]:
    """The names of the methods with one reason, and that reason; the task if it is not of all."""
    tasks: dict[tuple[str, str], list[int]] = {}
    for task, reasons in left_out.items():
        for name, reason in reasons.items():
            tasks.setdefault((reason, name), []).append(task)
    names: dict[str, list[str]] = {}
    for (reason, name), own in tasks.items():
        only = "" if len(own) == len(left_out) else f" (task {own[0]})"
        names.setdefault(reason, []).append(name + only)
    return [(", ".join(own), reason) for reason, own in names.items()]


def _faces(target: str, sensitive: str, image_size: int = 32) -> Any:
    """Drawn faces, split for training, validation and test."""
    import numpy as np

    from fairvision.datasets import load

    data = load(
        "faces",
        n_samples=sum(_ROWS.values()),
        image_size=image_size,
        target=target,
        sensitive=sensitive,
        random_state=0,
    )
    data.split = np.repeat(list(_ROWS), list(_ROWS.values()))
    data.splits = {name: np.flatnonzero(data.split == name) for name in _ROWS}
    return data


def _methods(data: Any, sensitive: str, *, has_pixels: bool) -> tuple[list[str], dict[str, str]]:
    """The methods expected to help on these data, and the reason for each left out."""
    from fairvision.cards import suited_methods
    from fairvision.datasets import biased_split

    rows = biased_split(
        data, confounder=sensitive, confounding=_CONFOUNDING, n_train=_TRAIN, n_test=_TEST,
        random_state=0,
    ).train  # fmt: skip
    labels = data.sensitive_features.assign(target=data.target)[["target", sensitive]]
    table = suited_methods(
        labels.iloc[rows].value_counts().sort_index(),
        n_groups=2,
        has_pixels=has_pixels,
        covered=data.covered[sensitive],
    ).set_index("method")
    table = table.drop("erm")
    table["why"] = table["reason"].where(table["runs"] == "no", table["no_gain_reason"])
    left_out = table["why"][table["why"] != ""]
    return [name for name in table.index if name not in left_out.index], left_out.to_dict()


def _extractor(weights: Path | None, out: Path) -> Any:
    if weights is None:
        return None
    from fairvision.nn import FeatureExtractor

    return FeatureExtractor(
        "mobilenet_v2", weights=str(weights), image_size=_FEATURE_SIZE, cache=str(out / "features")
    )
