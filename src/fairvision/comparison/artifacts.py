"""Artifacts that a report shows of a fitted estimator, stored beside its run.

Everything is plain data; pictures are ``data:`` addresses, small enough for JSON.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairvision.base import is_images, rows_of, take
from fairvision.metrics import Evaluation
from fairvision.plugins import Registered, default_registry, describe, resolve
from fairvision.types import ReportSection

__all__ = ["collect", "group_words", "worst_cell"]

#: Test rows that sections and the map of features are given: enough to look at, soon done.
ROWS = 300
PICTURES = 10
SAMPLE = 12  # pictures of the worst cell, right or wrong
SIDE = 96  # pixels of a test picture
_SAMPLE_SIDE = 64
_WIDEST = 1400  # pixels of a section's figure
_LARGE = 250_000  # bytes above which a PNG becomes a JPEG


def collect(
    name: str,
    estimator: Any,
    images: Any,
    y: NDArray[Any],
    groups: Any,
    y_pred: NDArray[Any],
    evaluation: Evaluation,
    classes: Sequence[str],
    seed: int,
    pictures: Any,
) -> dict[str, Any]:
    """Gather what the report shows of one fitted estimator and its test rows.

    Parameters
    ----------
    name : str
        ``distribution:name`` of the method.
    estimator : fitted estimator
    images, y, groups, y_pred : test rows
    evaluation : Evaluation
        Of these rows.
    classes : sequence of str
        What the classes are called, in the order of their labels.
    seed : int
    pictures : images of the test rows, or None

    Returns
    -------
    dict
        ``reliability``, ``embedding``, ``worst`` and ``sections``; None where the
        method has no such thing, and an ``error`` where it could not be made.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(y))[:ROWS])
    sample = (take if is_images(images) else rows_of)(images, rows), y[rows], groups.iloc[rows]
    words = dict(zip(map(str, evaluation.classes), classes, strict=True))
    return {
        "seed": seed,
        "reliability": _reliability(evaluation),
        "embedding": _embedding(estimator, *sample, words, seed),
        "worst": _worst(pictures, y, groups, y_pred, evaluation, words, seed),
        "sections": [_section(section, estimator, *sample) for section in _sections(name)],
    }


def _reliability(evaluation: Evaluation) -> list[dict[str, Any]] | None:
    """By group and bin of scores: rows, mean score, share of positives."""
    if evaluation.curves is None:
        return None
    names = list(evaluation.grouping.names)
    return [
        {"group": _words(row[name] for name in names)}
        | {key: row[key] for key in ("n", "mean_score", "observed")}
        for row in evaluation.curves.to_dict(orient="records")
    ]


def _words(labels: Any) -> str:
    return " × ".join(map(str, labels))


def _embedding(
    estimator: Any, images: Any, y: NDArray[Any], groups: Any, words: Mapping[str, str], seed: int
) -> dict[str, Any] | None:
    """The learned features in two dimensions (t-SNE)."""
    if not hasattr(estimator, "transform"):
        return None
    try:
        places = _two_dimensions(np.asarray(estimator.transform(images), dtype=np.float64), seed)
    except Exception as error:  # features are a stranger's
        return {"error": describe(error)}
    return {
        "x": places[:, 0].round(2).tolist(),
        "y": places[:, 1].round(2).tolist(),
        "group": [_words(row) for row in groups.itertuples(index=False)],
        "class": [words.get(str(label), str(label)) for label in y],
    }


def _two_dimensions(features: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    from sklearn.manifold import TSNE

    features = features.reshape(len(features), -1)
    if not np.isfinite(features).all():
        raise ValueError("the features are not finite")
    spread = features.std(0)
    features = features[:, spread > 0] / spread[spread > 0]
    if features.shape[1] < 2:
        raise ValueError("all test pictures have nearly the same features")
    perplexity = min(30.0, (len(features) - 1) / 3)
    # A start by PCA would divide by a standard deviation that may be 0.
    tsne = TSNE(perplexity=perplexity, max_iter=500, init="random", random_state=seed)
    return np.asarray(tsne.fit_transform(features), dtype=np.float64)


def _worst(
    pictures: Any,
    y: NDArray[Any],
    groups: Any,
    y_pred: NDArray[Any],
    evaluation: Evaluation,
    words: Mapping[str, str],
    seed: int,
) -> dict[str, Any] | None:
    """The test rows of the class and group with the smallest share right.

    Pictures of the first that it got wrong, and of a random sample of all of them.
    """
    cell = worst_cell(evaluation)
    if cell is None:
        return None
    group, code = cell
    parts = group_words(evaluation.groups[group])
    mine = (groups.astype(str).to_numpy() == parts).all(1) & (y == evaluation.classes[code])
    rows, errors = np.flatnonzero(mine), np.flatnonzero(mine & (y_pred != y))
    sample = np.sort(np.random.default_rng(seed).permutation(rows)[:SAMPLE])
    mistakes = errors[:PICTURES]
    if pictures is None:
        mistakes = sample = errors[:0]
    return {
        "class": words[str(evaluation.classes[code])],
        "group": _words(parts),
        "n": len(rows),
        "n_wrong": len(errors),
        "pictures": [
            {"src": src, "predicted": words.get(str(label), str(label))}
            for src, label in zip(_small(pictures, mistakes), y_pred[mistakes], strict=True)
        ],
        "rows": rows.tolist(),
        "sample": [
            {"src": src, "row": int(row)}
            for src, row in zip(_small(pictures, sample, _SAMPLE_SIDE), sample, strict=True)
        ],
    }


def _small(pictures: Any, rows: NDArray[np.intp], side: int = SIDE) -> list[str]:
    return [picture(image, side) for image in take(pictures, rows)] if len(rows) else []


def group_words(label: Any) -> list[str]:
    """The values of a group, one a sensitive column."""
    return [str(value) for value in (label if isinstance(label, tuple) else (label,))]


def worst_cell(evaluation: Evaluation) -> tuple[int, int] | None:
    """Group and class with the lowest accuracy; None if a group and class has no rows."""
    n = evaluation.counts.sum(2)
    if not n.all():
        return None
    right = np.diagonal(evaluation.counts, axis1=1, axis2=2) / n
    group, code = np.unravel_index(right.argmin(), right.shape)
    return int(group), int(code)


def picture(image: NDArray[Any], side: int = SIDE) -> str:
    """A picture of shape (n_channels, height, width), made small, as a ``data:`` address."""
    from PIL import Image

    values = np.asarray(image)
    if values.dtype != np.uint8:
        values = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    channels = values[:3] if len(values) >= 3 else np.repeat(values[:1], 3, axis=0)
    small = Image.fromarray(np.ascontiguousarray(channels.transpose(1, 2, 0)))
    small.thumbnail((side, side))
    return _address(small, "PNG" if max(small.size) <= SIDE // 2 else "JPEG")


def _address(image: Any, kind: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 88} if kind == "JPEG" else {"optimize": True}))
    return _as_address(buffer.getvalue(), kind)


def _as_address(content: bytes, kind: str) -> str:
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content).decode()}"


def _sections(name: str) -> list[Registered[ReportSection]]:
    """The sections that plugins offer for a method."""
    short = name.rpartition(":")[2]
    return [
        section
        for section in default_registry().report_sections()
        if not section.descriptor.methods or {name, short} & set(section.descriptor.methods)
    ]


def _section(
    section: Registered[ReportSection], estimator: Any, images: Any, y: NDArray[Any], groups: Any
) -> dict[str, Any]:
    """One section's figure, or why there is none."""
    entry: dict[str, Any] = {"name": section.name, "title": section.descriptor.title}
    try:
        figure = resolve(section)(estimator, images, y, sensitive_features=groups)
        return entry | {"src": _drawn(figure), "error": None}
    except Exception as error:  # a stranger's picture costs itself only
        return entry | {"src": None, "error": describe(error)}


def _drawn(figure: Any) -> str:
    """A matplotlib figure as a ``data:`` address."""
    if not hasattr(figure, "savefig"):
        raise TypeError(f"it returned {type(figure).__name__}, not a matplotlib Figure")
    buffer = io.BytesIO()
    dots = min(110.0, _WIDEST / max(figure.get_size_inches()))
    figure.savefig(buffer, format="png", dpi=dots, facecolor="white")
    content = buffer.getvalue()
    if len(content) <= _LARGE:
        return _as_address(content, "PNG")
    from PIL import Image

    return _address(Image.open(buffer).convert("RGB"), "JPEG")
