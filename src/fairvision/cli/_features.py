"""The options of a pretrained net, for commands that train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fairvision.cli._method import all_of

features_options = all_of(
    click.option(
        "--backbone", help="Backbone of every method that trains a net, such as mobilenet_v2."
    ),
    click.option(
        "--weights",
        help="Weights of the backbone: a file, package:NAME, or a published name such as DEFAULT.",
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
        help="Compute the backbone's features once, and train the methods on them instead of on "
        "images.",
    ),
    click.option(
        "--layer",
        help="With --features: the layer whose output is used, instead of what enters the head.",
    ),
    click.option(
        "--features-size",
        type=click.IntRange(1),
        help="With --features: image size in pixels; the size that the weights were trained at "
        "if not given.",
    ),
    click.option(
        "--features-cache",
        type=click.Path(path_type=Path),
        help="With --features: a cache folder for the features, which other commands can share.",
    ),
)


def features_params(options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `fairvision.comparison.compare` that the options stand for."""
    net = {name: options[name] for name in ("backbone", "weights") if options[name] is not None}
    tuning = _tuning(options["trainable"], options["trunk_lr"])
    needs_features = ("layer", "features_size", "features_cache")
    layer, size, cache = (options[name] for name in needs_features)
    if not options["features"]:
        if any(options[name] is not None for name in needs_features):
            raise click.UsageError("--layer, --features-size and --features-cache need --features.")
        return {"shared_params": {**net, **tuning}}
    if tuning:
        raise click.UsageError(
            "--trainable and --trunk-lr train the net, but --features keeps it "
            "frozen. Leave --features out."
        )
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
