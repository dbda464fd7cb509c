"""Two files of predictions for ``fairvision audit``: what changed from the first to the second."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fairvision.cli._predictions import evaluation_arguments, take_column
from fairvision.exceptions import InputError

if TYPE_CHECKING:
    import pandas as pd

    from fairvision.metrics import Evaluation

__all__ = ["Changes", "measure_changes"]


class Changes(NamedTuple):
    """Both evaluations, and for each grouping the second minus the first.

    The tables have the index and columns of `paired_difference`; `a` is the first file.
    """

    first: Evaluation
    second: Evaluation
    tables: dict[str, pd.DataFrame]
    same_rows: bool

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "first": self.first.to_dict(),
            "second": self.second.to_dict(),
            "same_rows": self.same_rows,
            "changes": [
                {"over": name, **{k: None if v != v else v for k, v in row.items()}}
                for name, table in self.tables.items()
                for row in table.reset_index().to_dict("records")
            ],
        }


def measure_changes(
    paths: tuple[Path, Path],
    tables: list[pd.DataFrame],
    id_column: str | None,
    metrics: list[str],
    options: dict[str, Any],
) -> Changes:
    """Evaluate both files and subtract the first; paired by row if `id_column` is given.

    Raises
    ------
    InputError
        If a column is missing, the files do not hold the same rows although `id_column` says so,
        or they share no true label or no group.
    """
    from fairvision.metrics import evaluate_predictions

    if id_column is not None:
        tables = _matched(paths, tables, id_column)
    both = []
    for path, table in zip(paths, tables, strict=True):
        try:
            both.append(evaluation_arguments(table, metrics, options))
        except InputError as error:
            raise InputError(f"{path.name}: {error}") from error
    labels = _labels(paths, [[one["y_true"], one["y_pred"]] for one in both])
    groups = [one["sensitive_features"] for one in both]
    for name in groups[0].columns:
        _check_meet(paths, name, [set(one[name].dropna()) for one in groups])
    if id_column is not None:
        shared = {"true labels": "y_true", "groups": "sensitive_features"}
        if both[0]["sample_weight"] is not None:
            shared["weights"] = "sample_weight"
        for name, one in shared.items():
            _check_equal(paths, name, both[0][one], both[1][one], tables[0][id_column])
    both = [{**one, "labels": labels} for one in both]
    first, second = (evaluate_predictions(**one) for one in both)
    if id_column is None:
        return Changes(first, second, _unpaired(first, second), False)
    return Changes(first, second, _paired(*both), True)


def _matched(paths: tuple[Path, Path], tables: list[pd.DataFrame], name: str) -> list[pd.DataFrame]:
    """Both tables with their rows in the order of the first."""
    for path, table in zip(paths, tables, strict=True):
        values = take_column(table, name, f"{path.name}: --id-column")
        if values.isna().any() or values.duplicated().any():
            repeated = values[values.isna() | values.duplicated()].iloc[0]
            raise InputError(
                f"{path.name}: --id-column {name!r} has {repeated!r} more than once. Name a "
                "column with a different value in each row."
            )
    first, second = (table.set_index(name, drop=False) for table in tables)
    shared = first.index.intersection(second.index)
    if not len(shared) == len(first) == len(second):
        raise InputError(
            f"{paths[0].name} and {paths[1].name} share {len(shared)} of {len(first)} and "
            f"{len(second)} values of {name!r}. Keep the rows that are in both, or leave out "
            "--id-column to compare different rows."
        )
    return [table.reset_index(drop=True) for table in (first, second.loc[first.index])]


def _labels(paths: tuple[Path, Path], columns: list[list[pd.Series]]) -> Any:
    """All labels of both files."""
    import pandas as pd

    from fairvision.base import code_labels

    _check_meet(paths, "the true labels", [set(true.dropna()) for true, _ in columns])
    everything = pd.concat([one for pair in columns for one in pair]).dropna()
    return code_labels(everything.to_numpy())[1]


def _check_meet(paths: tuple[Path, Path], name: str, values: list[set[Any]]) -> None:
    if not values[0] & values[1]:
        labels = [sorted(map(repr, one))[:5] for one in values]
        raise InputError(
            f"{name}: {paths[0].name} has {', '.join(labels[0])} and {paths[1].name} has "
            f"{', '.join(labels[1])}. Spell the labels alike in both files."
        )


def _check_equal(paths: tuple[Path, Path], name: str, first: Any, second: Any, ids: Any) -> None:
    unequal = first.astype(object).ne(second.astype(object))
    rows = unequal.any(axis=1) if unequal.ndim == 2 else unequal
    # A missing value differs from itself; the evaluation speaks of those.
    missing = first.isna().any(axis=1) if first.ndim == 2 else first.isna()
    rows &= ~missing
    if rows.any():
        raise InputError(
            f"{int(rows.sum())} rows differ in {name} between {paths[0].name} and "
            f"{paths[1].name}, the first {ids[rows].iloc[0]!r}. Both files must hold the same "
            "rows."
        )


def _unpaired(first: Evaluation, second: Evaluation) -> dict[str, pd.DataFrame]:
    from fairvision.metrics import unpaired_difference

    pairs = [(first, second)]
    if len(first.by_attribute) > 1:
        pairs += [(one, second.by_attribute[name]) for name, one in first.by_attribute.items()]
    return {" x ".join(a.grouping.names): _negated(unpaired_difference(a, b)) for a, b in pairs}


def _paired(first: dict[str, Any], second: dict[str, Any]) -> dict[str, pd.DataFrame]:
    from fairvision.metrics import paired_difference

    groups = first["sensitive_features"]
    names = list(groups.columns)
    shared = {k: v for k, v in first.items() if k not in ("y_pred", "y_score")}
    tables = {}
    for chosen in [names, *([name] for name in names if len(names) > 1)]:
        privileged = {k: v for k, v in (first["privileged"] or {}).items() if k in chosen}
        table = paired_difference(
            **{**shared, "sensitive_features": groups[chosen], "privileged": privileged or None},
            y_pred_a=first["y_pred"],
            y_pred_b=second["y_pred"],
            y_score_a=first["y_score"],
            y_score_b=second["y_score"],
            by_group=True,
        )
        tables[" x ".join(chosen)] = _negated(table)
    return tables


def _negated(table: pd.DataFrame) -> pd.DataFrame:
    """Turn `a` minus `b` into `b` minus `a`."""
    return table.assign(
        value=0 - table["value"], lower=0 - table["upper"], upper=0 - table["lower"]
    )  # not minus zero
