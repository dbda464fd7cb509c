"""The options of a pretrained net, for commands that train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fairvision.cli._method import all_of

features_options = all_of(
    click.option("--backbone", help="The net of every method that has one: mobilenet_v2."),
    click.option(
        "--weights", help="Its weights: a file, package:NAME, or a published name as DEFAULT."
    ),
    click.option(
        "--trainable",
        help="The weights to train: all, head, last:N layers, or names of layers with commas.",
    ),
    click.option(
        "--trunk-lr", type=click.FloatRange(0), help="Learning rate of the layers before the head."
    ),
    click.option(
        "--features",
        is_flag=True,
        help="Compute its features once, and train the methods on them and not on images.",
    ),
    click.option("--layer", help="With --features: a layer of the net, in place of its last."),
    click.option(
        "--features-size",
        type=click.IntRange(1),
        help="With --features: pixels; those of the weights' training if not given.",
    ),
    click.option(
        "--features-cache",
        type=click.Path(path_type=Path),
        help="With --features: a folder that keeps them, for this and other commands.",
    ),
)


def features_params(options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `fairvision.comparison.compare` that they stand for."""
    net = {name: options[name] for name in ("backbone", "weights") if options[name] is not None}
    tuning = _tuning(options["trainable"], options["trunk_lr"])
    own = ("layer", "features_size", "features_cache")
    layer, size, cache = (options[name] for name in own)
    if not options["features"]:
        if any(options[name] is not None for name in own):
            raise click.UsageError(
                "--layer, --features-size and --features-cache go with --features."
            )
        return {"shared_params": {**net, **tuning}}
    if tuning:
        raise click.UsageError("--trainable and --trunk-lr tune a net; leave --features out.")
    if "backbone" not in net:
        raise click.UsageError("--features needs --backbone, the net that computes them.")
    from fairvision.nn import FeatureExtractor

    extractor = FeatureExtractor(
        **net,
        layer=layer,
        image_size=size,
        cache=None if cache is None else str(cache),
        device=options["device"],
    )
    return {"features": extractor}


def _tuning(trainable: str | None, trunk_lr: float | None) -> dict[str, Any]:
    """Which part of the net is trained, as parameters of `TorchClassifier`."""
    params: dict[str, Any] = {} if trunk_lr is None else {"trunk_lr": trunk_lr}
    if trainable is not None:
        whole = trainable in ("all", "head") or trainable.startswith("last:")
        params["trainable"] = trainable if whole else trainable.split(",")
    return params
