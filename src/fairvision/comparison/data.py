"""The data of a comparison: loaded or passed, checked, described."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch

from fairvision.base import (
    are_maps,
    check_groups,
    check_images,
    check_labels,
    is_images,
    plain_label,
    sort_labels,
)
from fairvision.comparison.split import VALIDATION
from fairvision.datasets import left_out, load
from fairvision.exceptions import InputError

__all__ = ["class_names", "data_notes", "read_data"]


def read_data(
    dataset: str | Bunch, params: Mapping[str, Any] | None
) -> tuple[Bunch, dict[str, Any]]:
    """The data, and what identifies them in a plan.

    Raises
    ------
    InputError
        If a data set that was given lacks an entry, or its rows do not match.
    """
    if isinstance(dataset, str):
        given = load(dataset, **(params or {}))
        description: dict[str, Any] = {"name": dataset, "params": dict(params or {})}
    elif params:
        raise InputError("dataset_params are for a data set given by name.")
    else:
        given = dataset
        description = {"name": "given"}
    data = _checked(given)
    if hasattr(data.images, "fingerprint"):
        # A folder's photographs may change between two calls of the same command.
        description["pictures"] = str(data.images.fingerprint())
    elif description["name"] == "given":
        description["pictures"] = joblib.hash(np.asarray(data.images))
    if data.get("split") is not None:
        description["parts"] = joblib.hash(np.asarray(data.split).astype(str))
    elif data.get("identity") is not None:
        description["people"] = joblib.hash(np.asarray(data.identity).astype(str))
    labels = joblib.hash((data.target, data.sensitive_features.to_numpy().astype(str)))
    if data.get("fit_params"):
        description["fit_params"] = _fit_params(data.fit_params)
    return data, {**description, "n": len(data.target), "labels": labels}


def _checked(given: Any) -> Bunch:
    """The data with a plain target, and groups in a DataFrame."""
    if "images" not in given and "data" in given:  # scikit-learn's word for features
        given = Bunch(**{**given, "images": given["data"]})
    missing = [k for k in ("images", "target", "sensitive_features") if k not in given]
    if missing:
        raise InputError(
            f"the data set has no {', '.join(missing)}; pass a name or what "
            "`fairvision.datasets.load` returns."
        )
    target = check_labels(given["target"], "target")
    if target.dtype == object:  # text; object arrays would need pickle on disk
        target = target.astype(str)
    images = _checked_inputs(given["images"])
    if len(images) != len(target):
        raise InputError(f"target has {len(target)} rows, images {len(images)}.")
    groups = check_groups(given["sensitive_features"], len(target), required_by="A comparison")
    assert groups is not None
    frame = pd.DataFrame({name: groups.column(i) for i, name in enumerate(groups.names)})
    name = given.get("target_name", "target")
    _check_target(name, target, frame)
    changed = {"images": images, "target": target, "sensitive_features": frame}
    return Bunch(**{"target_name": "target", **given, **changed})


def _check_target(name: str, target: NDArray[Any], groups: pd.DataFrame) -> None:
    if name in groups and (groups[name].astype(str) == target.astype(str)).all():
        raise InputError(f"{name!r} is both target and sensitive. Name another column.")
    classes = np.unique(target)
    if len(classes) < 2:
        raise InputError(
            f"{name!r} is {classes[0]} in every row; a comparison needs two classes. Name another "
            "column, or check which rows were read."
        )


def _checked_inputs(X: Any) -> Any:
    """Images, maps, or features of shape (n_samples, n_features): an array or a DataFrame."""
    if np.ndim(X) == 2 and not is_images(X):
        return X if hasattr(X, "shape") else np.asarray(X)
    return check_images(X, maps=are_maps(X))


def _fit_params(given: Any) -> dict[str, str]:
    """A hash of each further argument of `fit`."""
    if not isinstance(given, Mapping) or {"X", "y", "sensitive_features"} & set(given):
        raise InputError(
            "fit_params of the data must map keywords of fit, other than X, y and "
            f"sensitive_features, to their values; got {_list(given)}."
        )
    return {str(name): joblib.hash(value) for name, value in given.items()}


def class_names(data: Bunch) -> list[str]:
    """What each class is called, in the order of their labels."""
    labels = np.unique(data.target)
    names = data.get("target_names")
    return [str(n) for n in (labels if names is None or len(names) != len(labels) else names)]


def data_notes(data: Bunch, split: Mapping[str, Any]) -> list[str]:
    """What the data are, and what was left out of them."""
    groups = data.sensitive_features
    sensitive = "; ".join(f"{name} ({_list(set(groups[name]))})" for name in groups.columns)
    size = "x".join(map(str, data.images.shape[1:]))
    unit = f"images of {size}" if is_images(data.images) else f"rows of {size} features"
    notes = [
        f"{len(data.target)} {unit}; target "
        f"{data.target_name} ({_list(class_names(data))}); sensitive {sensitive}."
    ]
    for name in groups.columns[groups.nunique() < 2]:
        notes.insert(0, f"{name} has one group, {groups[name].iloc[0]}: no gap can be measured.")
    two, biased = len(np.unique(data.target)) == 2, split["by"] == "confounding"
    if two or biased:
        bias = _bias(data, split) if biased else ""
        notes.append(f"{'Positive' if two else 'Last'} class: {class_names(data)[-1]}{bias}.")
    notes += [f"Near alike: {pair}; write them alike." for pair in _near_alike(data)]
    notes += [f"Left out: {line}." for line in left_out(data)]
    notes.extend(data.get("remarks") or ())
    if data.get("fit_params"):
        notes.append(f"fit is also given {_list(set(data.fit_params))}, where a method takes it.")
    if "parts" in split:
        drawn = {
            "column": "Training rows are drawn from split 'train', test rows from split 'test'.",
            "people": "No person is in both training and test pictures.",
        }
        notes.append(drawn[split["parts"]])
    if data.get("split") is not None and (split["by"] == "column" or "parts" in split):
        parts = Counter(str(split_name).lower() for split_name in data.split)
        for split_name in sorted(parts.keys() - {"train", "test"}):
            is_held_out = "n_validation" in split and split_name in VALIDATION
            use = "Only to choose a method and a threshold" if is_held_out else "Not used"
            notes.append(f"{use}: {parts[split_name]} rows of split {split_name!r}.")
    return notes


def _bias(data: Bunch, split: Mapping[str, Any]) -> str:
    """Which group goes with the last class, and how often."""
    share, rest_share = split["confounding"], split.get("counterexamples")
    rest_share = 1 - share if rest_share is None else rest_share
    name = data.sensitive_features.columns[0]
    group = f"{name} = {sort_labels(data.sensitive_features[name].unique())[-1]}"
    return (
        f"; {100 * share:.4g} % of its training rows have {group}, {100 * rest_share:.4g} % of the "
        "others"
    )


def _near_alike(data: Bunch) -> list[str]:
    """Pairs of labels of one column that `plain_label` makes one."""
    columns = {data.target_name: class_names(data)}
    columns |= {name: data.sensitive_features[name].unique() for name in data.sensitive_features}
    pairs = []
    for name, labels in columns.items():
        known: dict[str, Any] = {}
        for label in sorted(map(str, labels)):
            other = known.setdefault(plain_label(label), label)
            pairs += [f"{name} has {other!r} and {label!r}"] if other != label else []
    return pairs


def _list(names: Any, most: int = 6) -> str:
    known = sorted(map(str, names)) if isinstance(names, set) else list(names)
    more = [f"and {len(known) - most} more"] if len(known) > most else []
    return ", ".join([*known[:most], *more])
