"""The findings of a data card, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairvision.cards.pictures import Pictures
from fairvision.cards.suited import FEW, cell_name
from fairvision.comparison.summary import interval_text

__all__ = ["find"]

#: Columns with a weaker association to target or group are shown in the table only.
_TIED = 0.1
#: A difference of mean brightness by this many standard deviations is a finding.
_APART = 0.5


def find(
    labels: pd.DataFrame,
    parts: NDArray[Any] | None,
    images: Pictures | None,
    *,
    counts: pd.DataFrame,
    associations: pd.DataFrame,
    copies: pd.DataFrame,
    unreadable: pd.DataFrame,
    identities: dict[str, Any],
    methods: pd.DataFrame,
    **_: Any,
) -> list[str]:
    """Sentences about the tables of a data card, the most important first."""
    return [
        *_confounded(labels, associations),
        *_tied(labels, associations),
        *_small_cells(counts),
        *_copied(labels, parts, copies),
        *_people(identities, parts),
        *_bad(unreadable, len(labels)),
        *_brightness(labels, images),
        *_methods(methods),
    ]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")


def _confounded(labels: pd.DataFrame, associations: pd.DataFrame) -> Iterator[str]:
    """Target and each sensitive column."""
    target = labels.columns[0]
    rows = associations.set_index(["a", "b"])
    for name in labels.columns[1:]:
        row = rows.loc[(target, name)]
        interval = interval_text(row[["value", "lower", "upper"]])
        number = f"normalised mutual information {interval}"
        if row["value"] <= 0 or row["lower"] <= 0:
            yield f"{target} and {name} show no association: {number}."
            continue
        label, group, in_class, in_rest = _most_apart(pd.crosstab(labels[target], labels[name]))
        yield (
            f"{target} and {name} go together: {number}. {_percent(in_class)} of the rows with "
            f"{target} = {label} have {name} = {group}, and {_percent(in_rest)} of the others."
        )


def _most_apart(counts: pd.DataFrame) -> tuple[object, object, float, float]:
    """The class and group whose share in the class is furthest above that in the other rows."""
    # Of two classes both are as far: the rarer one is named.
    counts = counts.loc[counts.sum(axis=1).sort_values(kind="stable").index]
    table = counts.to_numpy()
    rest = table.sum(0) - table
    in_class, in_rest = (one / one.sum(1, keepdims=True) for one in (table, rest))
    place = np.unravel_index((in_class - in_rest).round(9).argmax(), table.shape)
    row, column = map(int, place)
    return counts.index[row], counts.columns[column], in_class[place], in_rest[place]


def _tied(labels: pd.DataFrame, associations: pd.DataFrame) -> Iterator[str]:
    """Other columns that a net could learn instead of the target, or that reveal the group."""
    strong = associations[(associations["value"] >= _TIED) & ~(associations["lower"] <= 0)]
    for name in labels.columns:
        ends = strong[(strong["a"] == name) | (strong["b"] == name)]
        others = ends["a"].where(ends["b"] == name, ends["b"])
        pairs = [
            f"{other} ({value:.2f})"
            for other, value in zip(others, ends["value"], strict=True)
            if other not in labels
        ]
        if pairs:
            more = f" and {len(pairs) - 5} more" if len(pairs) > 5 else ""
            yield f"Other columns that go with {name}: {', '.join(pairs[:5])}{more}."


def _small_cells(counts: pd.DataFrame) -> Iterator[str]:
    for split, rows in counts.items():
        if split == "all" and len(counts.columns) > 1:
            continue
        of_split = "" if split == "all" else f" of split {split!r}"
        cell, n = cell_name(rows.index, int(np.argmin(rows))), int(rows.min())
        empty = int((rows == 0).sum())
        if empty > 1:
            yield f"{empty} of {len(rows)} cells of class and group{of_split} have no rows."
        elif empty:
            yield f"{cell} has no rows{of_split}, so nothing can be measured or learnt there."
        else:
            # The half-width of the interval of a proportion of one half, the widest case.
            margin = 98 / n**0.5
            yield (
                f"The smallest cell{of_split} is {cell}, with {_count(n, 'row')}: a rate in so "
                f"many rows is known to about ±{margin:.0f} percentage points at best."
                if margin >= 1
                else f"Every cell{of_split} has {n} rows or more."
            )


def _copied(
    labels: pd.DataFrame, parts: NDArray[Any] | None, copies: pd.DataFrame
) -> Iterator[str]:
    if not len(copies):
        return
    sets = copies.groupby("set")
    sentence = f"{len(copies)} pictures are in {_count(sets.ngroups, 'set')} of near copies"
    mixed = int((sets[labels.columns[0]].nunique() > 1).sum())
    if mixed:
        sentence += f", {mixed} of them with different classes"
    yield f"{sentence}."
    across = int((sets["part"].nunique() > 1).sum())
    if across:
        yield (
            f"In several splits: {_count(across, 'set')} of near copies, so test pictures are "
            "seen in training. Remove them from one split."
        )
    elif parts is None:
        yield "A random split would put some of them on both sides. Remove them before splitting."


def _people(identities: dict[str, Any], parts: NDArray[Any] | None) -> Iterator[str]:
    if not identities:
        return
    name, n = identities["column"], identities["n"]
    shared, repeated = identities["n_in_several_parts"], identities["n_repeated"]
    if not repeated:
        yield f"Every row has its own value of {name!r}."
    elif parts is None:
        yield (
            f"More than one row: {repeated} of {n} values of {name!r}. A random split would put "
            f"some of them on both sides; split by {name!r}."
        )
    elif shared:
        yield (
            f"In several splits: {shared} of {n} values of {name!r}, so test rows show people or "
            "things seen in training."
        )
    else:
        yield f"No value of {name!r} is in several splits."


def _bad(unreadable: pd.DataFrame, n: int) -> Iterator[str]:
    if len(unreadable):
        first = unreadable["path"].iloc[0]
        yield f"{_count(len(unreadable), 'picture')} cannot be read, the first {first!r}."


def _brightness(labels: pd.DataFrame, pictures: Pictures | None) -> Iterator[str]:
    if pictures is None:
        return
    table = pictures.table
    for name, values in labels.items():
        grouped = table["brightness"].groupby(values.reindex(table.index))
        means = grouped.mean()[grouped.size() >= FEW]
        spread = table["brightness"].std()
        if len(means) > 1 and means.max() - means.min() >= _APART * spread:
            yield (
                f"Pictures with {name} = {means.idxmin()} are darker than with {name} = "
                f"{means.idxmax()}: mean grey level {means.min():.0f} and {means.max():.0f} of 255."
            )


def _methods(methods: pd.DataFrame) -> Iterator[str]:
    counts = methods["runs"].value_counts()
    for word, reason in (
        ("no", "cannot run on these rows"),
        ("at risk", f"read groups in training, where a cell has fewer than {FEW} rows"),
    ):
        if n := int(counts.get(word, 0)):
            names = methods.loc[methods["runs"] == word, "method"]
            yield f"{n} of {len(methods)} methods {reason}: {', '.join(names)}."
