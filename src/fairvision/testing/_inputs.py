"""Checks of what goes in: images and targets of every form, and of none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from fairvision.testing._data import Rows, stripes
from fairvision.testing._outcome import NotApplicable, refuses, require, trying
from fairvision.testing._subject import Subject

__all__ = [
    "fits_and_predicts",
    "resamples_whole_rows",
    "takes_every_form_of_images",
    "takes_every_type_of_target",
    "takes_the_targets_it_declares",
    "refuses_bad_images",
    "refuses_bad_targets",
]


class Lazy:
    """Images that are read when they are asked for, as files are."""

    ndim = 4

    def __init__(self, images: Any) -> None:
        self._images = images
        self.shape, self.dtype = images.shape, images.dtype

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, key: Any) -> Any:
        found = self._images[key]
        return Lazy(found) if found.ndim == 4 else found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self._images, dtype=dtype)


def fits_and_predicts(subject: Subject) -> None:
    """It fits on images; labels are classes, probabilities sum to 1, features have a row each."""
    rows = stripes()
    model = subject.model()
    with trying("fit"):
        fitted = subject.fit(model, rows)
    require(fitted is model, "fit does not return self")
    classes: Any = getattr(model, "classes_", ())
    require(
        list(classes) == sorted(set(rows.y.tolist())),
        f"classes_ is {classes!r}; expected the sorted labels of y",
    )
    with trying("predict"):
        labels = subject.predict(model, rows)
    require(np.shape(labels) == (len(rows.y),), f"predict has shape {np.shape(labels)}")
    require(set(labels.tolist()) <= set(rows.y.tolist()), "predict gives labels that y lacks")
    if hasattr(model, "predict_proba"):
        _probabilities(subject.predict(model, rows, scores=True), len(rows.y), len(classes))
    if hasattr(model, "transform"):
        features = np.asarray(model.transform(rows.X))
        require(
            features.ndim == 2 and len(features) == len(rows.y),
            f"transform has shape {features.shape}; expected (n_samples, n_features)",
        )


def _probabilities(found: Any, n_rows: int, n_classes: int) -> None:
    require(
        found.shape == (n_rows, n_classes),
        f"predict_proba has shape {found.shape}; expected {(n_rows, n_classes)}",
    )
    require(found.dtype == np.float64, f"predict_proba is {found.dtype}; fairlearn wants float64")
    require(np.allclose(found.sum(1), 1), "predict_proba does not sum to 1")
    require(bool((found >= 0).all()), "predict_proba is negative")


def resamples_whole_rows(subject: Subject) -> None:
    """`fit_resample` gives images, targets and groups of one length, of the kinds it was given."""
    if subject.method.stage != "pre":
        raise NotApplicable("it is no sampler")
    rows, sampler = stripes(), subject.make()
    given = {"sensitive_features": rows.groups} if subject.shown_at_fit else {}
    with trying("fit_resample"):
        X, y = sampler.fit_resample(rows.X, rows.y, **given)
    if given:
        groups: Any = getattr(sampler, "sensitive_features_", None)
        require(groups is not None, "it leaves no sensitive_features_ for the new rows")
        require(len(groups) == len(y), f"sensitive_features_ has {len(groups)} rows, y {len(y)}")
        require(set(np.unique(groups)) <= set(rows.groups), "it makes groups that were not there")
    require(len(X) == len(y) > 0, f"X_new has {len(X)} rows, y_new {len(y)}")
    require(tuple(X.shape[1:]) == rows.X.shape[1:], f"X_new has images of shape {X.shape[1:]}")
    require(set(np.unique(y)) <= set(rows.y), "it makes labels that y lacks")
    require(np.asarray(X[:1]).dtype == rows.X.dtype, "it changes the images' dtype")


def _image_forms(rows: Rows) -> Iterator[tuple[str, Any]]:
    yield "one channel", stripes(channels=1).X
    yield "float32 in 0..1", (rows.X / 255).astype(np.float32)
    yield "float64 in 0..1", rows.X / 255
    yield "a torch tensor", torch.from_numpy(rows.X.copy())
    yield "a lazy sequence of images", Lazy(rows.X)


def takes_every_form_of_images(subject: Subject) -> None:
    """One or three channels, uint8 or floating, an array, a tensor or a lazy sequence."""
    rows = stripes()
    for name, X in _image_forms(rows):
        with trying(f"images as {name}"):
            model = subject.fit(subject.model(), replace(rows, X=X))
            found = subject.predict(model, replace(rows, X=X))
        require(len(found) == len(rows.y), f"images as {name}: predict has {len(found)} rows")


def takes_every_type_of_target(subject: Subject) -> None:
    """Targets are integers, text or truth values, and come back as what they were."""
    rows = stripes()
    for kind, labels in (("text", np.array(["no", "yes"])), ("bool", np.array([False, True]))):
        told = replace(rows, y=labels[rows.y])
        with trying(f"targets of {kind}"):
            found = subject.predict(subject.fitted(told), told)
        require(set(found.tolist()) <= set(labels.tolist()), f"targets of {kind} come back changed")


def takes_the_targets_it_declares(subject: Subject) -> None:
    """Three classes are taken where "multiclass" is declared, and refused where it is not."""
    rows = stripes(96, n_classes=3)
    if "multiclass" not in subject.method.targets:
        refuses(lambda: subject.fitted(rows), "a target of three classes", ValueError)
        return
    with trying("a target of three classes"):
        model = subject.fitted(rows)
        found = subject.predict(model, rows, scores=True)
    require(len(found) == len(rows.y), "predict loses rows")
    require(len(model.classes_) == 3, f"classes_ is {model.classes_!r} after three classes")


def refuses_bad_images(subject: Subject) -> None:
    """Images with NaN, beyond 0..1, of three dimensions or with channels last: a ValueError."""
    rows = stripes()
    broken = rows.X / 255
    broken[3, 0, 2, 2] = np.nan
    bad: dict[str, Any] = {
        "images with NaN": broken,
        "floating images in 0..255": rows.X.astype(np.float32),
        "images without a channel dimension": rows.X[:, 0],
        "images with channels last": rows.X.transpose(0, 2, 3, 1),
    }
    for what, X in bad.items():
        told = replace(rows, X=X)
        refuses(lambda told=told: subject.fitted(told), what, ValueError)  # type: ignore[misc]
    model, grey = subject.fitted(rows), replace(rows, X=rows.X[:, :1])
    refuses(lambda: subject.predict(model, grey), "predicting grey images after RGB", ValueError)


def refuses_bad_targets(subject: Subject) -> None:
    """Targets of another length than X, or of one class only: a ValueError."""
    rows = stripes()
    for what, y in {
        "y shorter than X": rows.y[:-4],
        "y of one class": np.zeros_like(rows.y),
    }.items():
        told = replace(rows, y=y)
        refuses(lambda told=told: subject.fitted(told), what, ValueError)  # type: ignore[misc]
