"""Checks of features: X from a net that ran before, as a table or as the maps of a layer."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from fairvision.saving import load, save
from fairvision.testing._data import Samples, features, maps
from fairvision.testing._require import NotApplicable, identical, require, require_error, step
from fairvision.testing._subject import Subject


def takes_features(subject: Subject) -> None:
    """Unless it needs pixels, it fits features and maps of any range, and predicts.

    So it does with each preset that `Needs.pixels_except` names.
    """
    needs, n = subject.method.needs, 64
    presets: list[Mapping[str, Any]] = [{}]
    if needs.pixels:
        presets = [subject.method.presets[name] for name in needs.pixels_except]
        n = 200  # a preset's settings are not for 64 rows
    if not presets:
        raise NotApplicable("it needs pixels")
    for params, (name, data) in product(presets, (("features", features(n)), ("maps", maps(n)))):
        with step(f"{name} of shape {data.X.shape}"):
            model = subject.fit(subject.probe(**params), data)
            predicted, scores = subject.predict(model, data), subject.scores(model, data)
        require(len(predicted) == len(data.y), f"from {name}, predict has {len(predicted)} rows")
        require(set(predicted.tolist()) <= set(data.y.tolist()), f"{name}: labels that y lacks")
        require(bool(np.isfinite(scores).all()), f"from {name}, predict_proba is not finite")


def learns_from_features(subject: Subject) -> None:
    """From features that tell the class, without a bias, it predicts most rows right."""
    if subject.method.needs.pixels:
        raise NotApplicable("it needs pixels")
    data = features(400)
    model = subject.fit(subject.probe(epochs=20), data)
    accuracy = float((subject.predict(model, data) == data.y).mean())
    require(accuracy > 0.75, f"it predicts {accuracy:.0%} of the training rows right")


def saves_features_models(subject: Subject) -> None:
    """A model of features predicts the same once saved and loaded, scaling included."""
    if subject.method.needs.pixels:
        raise NotApplicable("it needs pixels")
    data = features()
    model = subject.fit(subject.probe(), data)
    with tempfile.TemporaryDirectory() as folder, step("saving and loading"):
        copy = load(save(model, Path(folder) / "model.safetensors"))
    before, after = (subject.scores(m, data) for m in (model, copy))
    require(identical(before, after), "once saved and loaded it predicts otherwise")


def refuses_features_if_it_needs_pixels(subject: Subject) -> None:
    """If it declares that it needs pixels, features and maps are a ValueError that says so."""
    if not subject.method.needs.pixels:
        raise NotApplicable("it takes features")
    for data in (features(), maps()):
        message = require_error(partial(_fit, subject, data), f"X of {data.X.shape}")
        require(
            "pixels" in message, f"the error for X of {data.X.shape} names no pixels: {message}"
        )


def _fit(subject: Subject, data: Samples) -> None:
    subject.fit(subject.probe(), data)
