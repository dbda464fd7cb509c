"""Pictures to predict, with their labels from a table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from fairvision.datasets import LabelTable
from fairvision.exceptions import InputError
from fairvision.models.image_model import ImageModel
from fairvision.models.pictures import picture_files

__all__ = ["Picture", "labelled_pictures", "unlabelled_pictures"]


class Picture(NamedTuple):
    """A picture to predict.

    Attributes
    ----------
    name : str
        Its name in the table of predictions.
    path : str
        Where the file is.
    true_class : str or None
    groups : tuple of str or numbers
        One for each sensitive column, as in training.
    """

    name: str
    path: str
    true_class: str | None = None
    groups: tuple[Any, ...] = ()


def unlabelled_pictures(pictures: Iterable[str | os.PathLike[str]]) -> Iterator[Picture]:
    """Give the files, and those of the folders, one at a time."""
    for path in picture_files(pictures):
        yield Picture(path, path)


def labelled_pictures(
    model: ImageModel, table: LabelTable, groups: Sequence[str] | None = None
) -> tuple[list[Picture], list[str], bool]:
    """The pictures of a table.

    Parameters
    ----------
    model : ImageModel
    table : LabelTable
    groups : sequence of str or None
        The columns that are the model's sensitive attributes, in their order; None takes those
        of the same names, as far as the table has them.

    Returns
    -------
    pictures : list of Picture
    sensitive : list of str
        The names of their groups.
    has_true_class : bool
        Whether the table has the model's target.

    Raises
    ------
    FairvisionError
        If a column is missing, or its values are none of the model's classes.
    """
    model_groups = list(model.sensitive_names)
    if groups is None:
        columns_by_group = {name: name for name in model_groups if table.has(name)}
    elif model_groups and len(groups) != len(model_groups):
        raise InputError(
            f"{len(groups)} column(s) of groups are given, {', '.join(groups)}; the model has "
            f"{len(model_groups)}: {', '.join(model_groups)}."
        )
    else:
        columns_by_group = dict(zip(model_groups or groups, groups, strict=True))
    columns = [table.values(column, name) for name, column in columns_by_group.items()]
    true = _true_classes(model, table) if table.has(model.target_name) else None
    rows = zip(*columns, strict=True) if columns else ((),) * len(table.names)
    pictures = [
        Picture(name, path, None if true is None else true[i], tuple(row))
        for i, (name, path, row) in enumerate(zip(table.names, table.paths, rows, strict=True))
    ]
    return pictures, list(columns_by_group), true is not None


def _true_classes(model: ImageModel, table: LabelTable) -> list[str]:
    words = table.words(model.target_name)
    classes = model.names_of(model.classes_)
    if unknown := sorted({*words} - {*classes, ""}):
        raise InputError(
            f"column {model.target_name!r} has {', '.join(map(repr, unknown[:5]))}; the model's "
            f"classes are {', '.join(map(repr, classes))}. Spell the classes as the model does, "
            "or rename the column."
        )
    return words


def as_frame(pictures: Sequence[Picture], sensitive: Sequence[str]) -> pd.DataFrame | None:
    """The groups of some pictures, as estimators take them; None without."""
    if not sensitive:
        return None
    return pd.DataFrame([picture.groups for picture in pictures], columns=list(sensitive))
