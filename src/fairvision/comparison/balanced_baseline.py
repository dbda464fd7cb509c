"""The balanced baseline: ERM on as many rows without the bias, tested on the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sklearn.utils import Bunch

from fairvision.comparison.plan import PLAIN_TRAINING, MethodPlan
from fairvision.comparison.split import split_rows
from fairvision.exceptions import DatasetError, InputError

__all__ = ["BALANCED_BASELINE", "with_balanced_baseline"]

BALANCED_BASELINE = "erm-balanced"


def with_balanced_baseline(
    methods: tuple[MethodPlan, ...],
    data: Bunch,
    split: Mapping[str, Any],
    seeds: Iterable[int],
    *,
    wanted: bool | None,
) -> tuple[tuple[MethodPlan, ...], list[str]]:
    """Put the balanced baseline after the ERM baseline.

    It shows the results that data without the bias would give.

    Parameters
    ----------
    methods : tuple of MethodPlan
    data, split, seeds : the data, the settings of the split, the seeds of the splits
    wanted : bool or None
        None adds it if possible; otherwise a note gives the reason.

    Returns
    -------
    methods : tuple of MethodPlan
    notes : list of str

    Raises
    ------
    InputError
        If `wanted` is True without `confounding`, or without ``erm`` among the methods.
    DatasetError
        If `wanted` is True and a target x group cell has too few rows.
    """
    if wanted is False:
        return methods, []
    base = next((method for method in methods if method.name == PLAIN_TRAINING), None)
    if base is None or split["by"] != "confounding":
        if wanted:
            raise InputError(
                "balanced_baseline trains erm on rows without the bias, so it needs confounding "
                "and erm. Pass confounding, and add erm to methods."
            )
        return methods, []
    if any(method.label == BALANCED_BASELINE for method in methods):
        raise InputError(
            f"a method is labelled {BALANCED_BASELINE!r}, which is the label of the balanced "
            "baseline. Choose another label."
        )
    try:
        for seed in seeds:
            split_rows(data, split, seed, balanced=True)
    except DatasetError as error:
        if wanted:
            raise
        return methods, [f"No balanced baseline. {error}"]
    balanced = replace(
        base, label=BALANCED_BASELINE, groups_seen="in the choice of rows", balanced=True
    )
    place = [method.label for method in methods].index(base.label) + 1
    return (*methods[:place], balanced, *methods[place:]), [
        f"{BALANCED_BASELINE} is plain training on as many rows that are balanced over target x "
        "group. It shows what data without the bias would give."
    ]
