"""The options of a data set, for commands that read one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fairvision.cli._method import all_of

data_options = all_of(
    click.option("--dataset", default="faces", help="A registered data set."),
    click.option("--root", type=click.Path(path_type=Path), help="Folder of the images."),
    click.option("--download", is_flag=True, help="Download what --root lacks: celeba only."),
    click.option(
        "--labels",
        help="Label table of `folder`, or additional labels for celeba: a path, looked for inside "
        "--root first and then from here.",
    ),
    click.option("--target", help="Attribute to predict."),
    click.option("--sensitive", help="Sensitive attribute; several with commas."),
    click.option("--split-column", help="Column of the CSV that says train or test."),
    click.option(
        "--path-column", help="Column of file paths in the table of `folder`: path if not given."
    ),
    click.option(
        "--sep", help="Field separator of the table: ',', ';' or tab; detected if not given."
    ),
    click.option("--image-size", type=click.IntRange(8), help="Height and width in pixels."),
    click.option("--mode", type=click.Choice(["RGB", "L"]), help="Colour, or grey."),
    click.option(
        "--resize",
        type=click.Choice(["crop", "squash"]),
        help="Crop the middle, or change the aspect ratio.",
    ),
    click.option(
        "--pixel-max",
        type=click.FloatRange(0, min_open=True),
        help="White in grey files of more than 8 bits, such as 4095: `folder` only.",
    ),
    click.option(
        "--n-samples", type=click.IntRange(1), help="Number of images to draw, for drawn data."
    ),
    click.option("--skip-bad", is_flag=True, help="Leave out unreadable images, and count them."),
    click.option("--cache", type=click.Path(path_type=Path), help="Folder for decoded images."),
)


def dataset_params(options: dict[str, Any]) -> dict[str, Any]:
    """The loader's parameters that were given; all others keep their defaults."""
    plain = (
        "root", "labels", "path_column", "sep", "split_column", "image_size", "mode", "resize",
        "pixel_max", "n_samples", "cache",
    )  # fmt: skip
    given = {name: options[name] for name in plain if options[name] is not None}
    given = {k: str(v) if isinstance(v, Path) else v for k, v in given.items()}
    if options["target"]:
        given["target"] = options["target"]
    if sensitive := names_of(options["sensitive"]):
        given["sensitive"] = sensitive
    given.update({name: True for name in ("skip_bad", "download") if options[name]})
    return given


def names_of(text: str | None) -> Any:
    """A comma list as one name or several, or None."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    return None if not names else names[0] if len(names) == 1 else names
