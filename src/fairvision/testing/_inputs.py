"""Checks of the input: valid images and targets in every form, and invalid ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from fairvision.testing._data import Samples, stripes
from fairvision.testing._require import NotApplicable, require, require_error, step
from fairvision.testing._subject import Subject


class LazyImages:
    """An image sequence that is decoded on access, as files are."""

    ndim = 4

    def __init__(self, images: Any) -> None:
        self._images = images
        self.shape, self.dtype = images.shape, images.dtype

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, key: Any) -> Any:
        images = self._images[key]
        return LazyImages(images) if images.ndim == 4 else images

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self._images, dtype=dtype)


def fits_and_predicts(subject: Subject) -> None:
    """It fits; labels are classes, probabilities sum to 1, `transform` returns a row per image."""
    data, model = stripes(), subject.model()
    n, labels = len(data.y), set(data.y.tolist())
    with step("fit"):
        fitted = subject.fit(model, data)
    require(fitted is model, "fit does not return self")
    classes: Any = getattr(model, "classes_", ())
    require(
        list(classes) == sorted(labels),
        f"classes_ is {classes!r}; expected the sorted labels of y",
    )
    with step("predict"):
        predicted = subject.predict(model, data)
    require(np.shape(predicted) == (n,), f"predict has shape {np.shape(predicted)}")
    require(set(predicted.tolist()) <= labels, "predict gives labels that y lacks")
    if hasattr(model, "predict_proba"):
        _check_probabilities(subject.scores(model, data), (n, len(classes)))
    if hasattr(model, "transform"):
        shape = np.shape(model.transform(data.X))
        require(
            len(shape) == 2 and shape[0] == n,
            f"transform has shape {shape}; expected (n_samples, n_features)",
        )


def _check_probabilities(scores: Any, shape: tuple[int, int]) -> None:
    require(scores.shape == shape, f"predict_proba has shape {scores.shape}; expected {shape}")
    require(scores.dtype == np.float64, f"predict_proba is {scores.dtype}; fairlearn wants float64")
    require(np.allclose(scores.sum(1), 1), "predict_proba does not sum to 1")
    require(bool((scores >= 0).all()), "predict_proba is negative")


def resamples_whole_rows(subject: Subject) -> None:
    """`fit_resample` returns as many images as targets and groups, of the types it was given."""
    if subject.method.stage != "pre":
        raise NotApplicable("it is no sampler")
    data, sampler = stripes(), subject.make()
    params = subject.fit_params(data)
    with step("fit_resample"):
        X, y = sampler.fit_resample(data.X, data.y, **params)
    if params:
        groups: Any = getattr(sampler, "sensitive_features_", None)
        require(groups is not None, "it leaves no sensitive_features_ for the new rows")
        require(len(groups) == len(y), f"sensitive_features_ has {len(groups)} rows, y {len(y)}")
        require(set(np.unique(groups)) <= set(data.groups), "it invents groups")
    require(len(X) == len(y) > 0, f"X_new has {len(X)} rows, y_new {len(y)}")
    require(tuple(X.shape[1:]) == data.X.shape[1:], f"X_new has images of shape {X.shape[1:]}")
    require(set(np.unique(y)) <= set(data.y), "it invents labels")
    require(np.asarray(X[:1]).dtype == data.X.dtype, "it changes the images' dtype")


def takes_every_form_of_images(subject: Subject) -> None:
    """One or three channels, uint8 or floating, an array, a tensor or a lazy sequence."""
    data = stripes()
    forms: dict[str, Any] = {
        "one channel": stripes(channels=1).X,
        "float32 in 0..1": (data.X / 255).astype(np.float32),
        "float64 in 0..1": data.X / 255,
        "a torch tensor": torch.from_numpy(data.X.copy()),
        "a lazy sequence of images": LazyImages(data.X),
    }
    for name, X in forms.items():
        samples = replace(data, X=X)
        with step(f"images as {name}"):
            predicted = subject.predict(subject.fitted(samples), samples)
        n = len(predicted)
        require(n == len(data.y), f"images as {name}: predict has {n} rows")


def takes_every_type_of_target(subject: Subject) -> None:
    """Targets may be integers, text or booleans; predictions are of the same type."""
    data = stripes()
    for kind, labels in (("text", np.array(["no", "yes"])), ("bool", np.array([False, True]))):
        samples = replace(data, y=labels[data.y])
        with step(f"targets of {kind}"):
            predicted = subject.predict(subject.fitted(samples), samples)
        unchanged = set(predicted.tolist()) <= set(labels.tolist())
        require(unchanged, f"targets of {kind} come back changed")


def takes_the_targets_it_declares(subject: Subject) -> None:
    """It takes three classes if it declares "multiclass", else it raises a ValueError."""
    data = stripes(96, n_classes=3)
    if "multiclass" not in subject.method.targets:
        require_error(lambda: subject.fitted(data), "a target of three classes")
        return
    with step("a target of three classes"):
        model = subject.fitted(data)
        scores = subject.scores(model, data)
    require(len(scores) == len(data.y), "predict loses rows")
    require(len(model.classes_) == 3, f"classes_ is {model.classes_!r} after three classes")


def _refuses(subject: Subject, samples: Samples, name: str) -> None:
    require_error(lambda: subject.fitted(samples), name)


def refuses_bad_images(subject: Subject) -> None:
    """NaN, values beyond 0..1, three dimensions, channels last: each is a ValueError."""
    data = stripes()
    with_nan = data.X / 255
    with_nan[3, 0, 2, 2] = np.nan
    bad: dict[str, Any] = {
        "images with NaN": with_nan,
        "floating images in 0..255": data.X.astype(np.float32),
        "images without a channel dimension": data.X[:, 0],
        "images with channels last": data.X.transpose(0, 2, 3, 1),
    }
    for name, X in bad.items():
        _refuses(subject, replace(data, X=X), name)
    model, grey = subject.fitted(data), replace(data, X=data.X[:, :1])
    require_error(lambda: subject.predict(model, grey), "predicting grey images after RGB")


def refuses_bad_targets(subject: Subject) -> None:
    """A target of another length than X, or of one class, is a ValueError."""
    data = stripes()
    _refuses(subject, replace(data, y=data.y[:-4]), "y shorter than X")
    _refuses(subject, replace(data, y=np.zeros_like(data.y)), "y of one class")
