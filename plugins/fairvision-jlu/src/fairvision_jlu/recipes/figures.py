"""The report's Figures 8 and 9: what the features know of the group, in two dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["embeddings"]

_ROWS = 400  # of the test rows: enough to see, and t-SNE takes a second
_MARKERS = ("o", "^", "s", "D")


def embeddings(shown: Any) -> Any:
    """Draw the test rows' features by t-SNE: a panel a row of the table.

    Parameters
    ----------
    shown : fairvision.recipes.BlockResult
        A block whose methods have features.

    Returns
    -------
    matplotlib.figure.Figure
        Points are coloured by group and shaped by class; each title has the balanced
        accuracy of the fresh probe that read the group from all test rows' features.
    """
    from matplotlib.figure import Figure

    test = shown.test
    rows = np.random.default_rng(shown.seed).permutation(len(test.target))[:_ROWS]
    group, shape = _groups(test)[rows], _shapes(test)[rows]
    runs = [run for run in shown.comparison.runs if run.seed == shown.seed and run.leakage]
    figure = Figure(figsize=(2.7 * len(runs), 3.4), layout="constrained")
    for panel, run in zip(figure.subplots(1, len(runs), squeeze=False)[0], runs, strict=True):
        places = _places(shown.fit(run.method).transform(test.images[rows]), shown.seed)
        for name, colour, marker, own in _kinds(group, shape):
            panel.scatter(
                *places[own].T, s=9, c=colour, marker=marker, linewidths=0, alpha=0.75, label=name
            )
        panel.set_title(f"{run.method}\n{_probe(run)}", fontsize=9)
        panel.set(xticks=[], yticks=[])  # t-SNE's places have no unit
    handles, labels = panel.get_legend_handles_labels()
    options: dict[str, Any] = {"loc": "outside lower center", "ncols": 4, "markerscale": 2}
    figure.legend(handles, labels, fontsize=8, frameon=False, **options)
    return figure


def _probe(run: Any) -> str:
    """The leakage, as in the table, of the attribute that leaks most."""
    tables = [table for table in run.leakage.values() if "note" not in table]
    accuracies = [table["target_balanced_accuracy"]["value"] for table in tables]
    return f"probe {100 * max(accuracies):.1f} %" if accuracies else "probe undefined"


def _places(features: Any, seed: int) -> NDArray[np.float64]:
    """Two dimensions of shape (n, 2); features that do not vary have no say."""
    from sklearn.manifold import TSNE

    values = np.asarray(features, dtype=np.float64).reshape(len(features), -1)
    spread = values.std(axis=0)
    values = values[:, spread > 0] / spread[spread > 0]
    if not values.size:
        return np.zeros((len(values), 2))  # all rows in one place: collapsed
    near = min(30.0, (len(values) - 1) / 3)
    # From random places: the default start divides by a spread that collapsed features lack.
    tsne = TSNE(perplexity=near, init="random", random_state=seed, n_jobs=1)
    return np.asarray(tsne.fit_transform(values), dtype=np.float64)


def _groups(test: Any) -> NDArray[Any]:
    columns: pd.DataFrame = test.sensitive_features
    return columns.astype(str).agg(" × ".join, axis=1).to_numpy(dtype=object)


def _shapes(test: Any) -> NDArray[Any]:
    """A few words for each row's class: of many classes in order, which half it is in."""
    levels, codes = np.unique(np.asarray(test.target), return_inverse=True)
    names = [str(name) for name in test.get("target_names", levels)]
    if len(names) > len(_MARKERS):
        half = len(names) // 2
        parts = (names[:half], names[half:])
        names = [f"{half_names[0]} to {half_names[-1]}" for half_names in parts for _ in half_names]
    return np.array(names, dtype=object)[codes]


def _kinds(
    group: NDArray[Any], shape: NDArray[Any]
) -> Iterator[tuple[str, str, str, NDArray[np.bool_]]]:
    """Name, colour, marker and rows of each combination that there is."""
    shapes = list(dict.fromkeys(sorted(shape)))
    for i, g in enumerate(sorted(set(group))):
        for j, s in enumerate(shapes):
            own = (group == g) & (shape == s)
            if own.any():
                # The host's colours, which readers with any colour vision tell apart.
                yield f"{g}, {s}", f"C{i}", _MARKERS[j], own
