"""`data_card`: what is in a data set, before any training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch

from fairvision.base import RandomState, as_generator
from fairvision.cards.associations import MOST_LEVELS, associations, coded
from fairvision.cards.findings import find
from fairvision.cards.pictures import read_pictures
from fairvision.cards.suited import suited_methods
from fairvision.cards.tables import (
    comparable_columns,
    count_cells,
    count_identities,
    list_copies,
    list_unreadable,
    pictures_by_group,
    read_attribute,
    read_labels,
    read_parts,
)
from fairvision.comparison.data import data_notes, read_data
from fairvision.exceptions import BadImageError, InputError

__all__ = ["DataCard", "data_card"]

#: With more columns than this, only pairs with the target or a sensitive column are compared.
_MOST_COLUMNS = 60


@dataclass(frozen=True, eq=False, repr=False)
class DataCard:
    """What is in a data set. Made by :func:`data_card`.

    Attributes
    ----------
    name : str
        Of the data set.
    findings : list of str
        Findings to know before training, one sentence each.
    counts : DataFrame
        Rows by class and group (index) and part (columns; "all" is the last).
    associations : DataFrame
        Normalised mutual information of two columns `a` and `b`: `value`, `lower`, `upper`. See
        :func:`fairvision.cards.associations`.
    pictures : DataFrame
        Mean size, brightness and contrast by class and by group; empty without pictures.
    copies : DataFrame
        A row for each picture that is there more than once, or nearly: `set`, `row`, `path`,
        `part`, class and groups.
    unreadable : DataFrame
        `path` and `reason` of pictures that cannot be read.
    identities : dict
        Of the identity column: `n`, `n_repeated`, `n_in_several_parts`. Empty without one.
    methods : DataFrame
        Every installed method, whether it `runs` on these rows, and the `reason`.
    notes : list of str
        How the data were read.
    """

    name: str
    target: str
    sensitive: list[str]
    findings: list[str]
    counts: pd.DataFrame
    associations: pd.DataFrame
    pictures: pd.DataFrame
    copies: pd.DataFrame
    unreadable: pd.DataFrame
    identities: dict[str, Any]
    methods: pd.DataFrame
    notes: list[str]
    settings: dict[str, Any] = field(default_factory=dict)
    shown: list[tuple[str, str]] = field(default_factory=list)

    def __repr__(self) -> str:
        return "\n".join([f"Data card of {self.name}", *(f"- {line}" for line in self.findings)])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data; the pictures themselves are not in it."""
        lists = ("name", "target", "sensitive", "findings", "identities", "notes", "settings")
        tables = ("associations", "copies", "unreadable", "methods")
        return {
            **{name: getattr(self, name) for name in lists},
            "counts": _records(self.counts.reset_index()),
            "pictures": _records(self.pictures.reset_index()),
            **{name: _records(getattr(self, name)) for name in tables},
        }

    def to_html(self, *, command: str = "") -> str:
        """One page that loads nothing.

        Parameters
        ----------
        command : str
            What makes the page again.
        """
        from fairvision.reports import data_card_page

        return data_card_page({**self.to_dict(), "shown": self.shown}, command=command)


def data_card(
    dataset: str | Bunch,
    *,
    dataset_params: Mapping[str, Any] | None = None,
    identity: str | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    random_state: RandomState = None,
    n_pictures: int = 0,
) -> DataCard:
    """Look at a data set before any training.

    It counts rows by class and group, measures associations between columns, finds copies and
    people that are in several splits, reads every picture once, and lists the installed methods
    that can be trained on these data.

    Parameters
    ----------
    dataset : str or Bunch
        A name, or what :func:`fairvision.datasets.load` returns.
    dataset_params : mapping or None
        Parameters of the loader.
    identity : str or None
        Attribute that identifies who or what a picture shows, such as a person or a patient.
    n_boot : int, default=1000
        Bootstrap draws of the intervals; 0 for none.
    level : float, default=0.95
        Coverage of the intervals.
    random_state : int, Generator, RandomState or None
    n_pictures : int, default=0
        Sets of near copies to show on the page. By default it holds no picture.

    Returns
    -------
    DataCard

    Raises
    ------
    InputError
        If the target or a sensitive column has more than 20 values or only one, or there is no
        column `identity`.
    DatasetError, BadImageError
        As the loader does; pictures that are missing or cannot be read are listed, not refused.

    Examples
    --------
    >>> import fairvision as fv
    >>> params = {"n_samples": 200, "image_size": 32}
    >>> card = fv.data_card("faces", dataset_params=params, n_boot=100, random_state=0)
    >>> int(card.counts["all"].sum())
    200
    """
    if n_boot < 0 or n_pictures < 0 or not 0 < level < 1:
        raise InputError(
            f"n_boot={n_boot}, level={level}, n_pictures={n_pictures}: pass n_boot and n_pictures "
            "of 0 or more, and a level between 0 and 1."
        )
    data = _read(dataset, dict(dataset_params or {}))
    labels, parts = read_labels(data), read_parts(data)
    people = None if identity is None else read_attribute(data, identity)
    pictures = read_pictures(data.images)
    codes, left_out = coded(comparable_columns(data, labels, parts, pictures, identity))
    pairs, rng = _pairs(codes, labels), as_generator(random_state)
    counts = count_cells(labels, parts)
    tables = {
        "counts": counts,
        "associations": associations(codes, pairs, n_boot=n_boot, level=level, rng=rng),
        "pictures": pictures_by_group(labels, pictures),
        "copies": list_copies(data, labels, parts, pictures),
        "unreadable": list_unreadable(data, pictures),
        "identities": count_identities(people, parts),
        "methods": suited_methods(
            counts["train" if "train" in counts else "all"],
            int(labels.iloc[:, 1:].nunique().max()),
            has_pixels=pictures is not None,
            covered=_covered(data, labels),
        ),
    }
    return DataCard(
        name=dataset if isinstance(dataset, str) else "the given data",
        target=str(labels.columns[0]),
        sensitive=[str(name) for name in labels.columns[1:]],
        findings=find(labels, parts, pictures, **tables),
        notes=_notes(data, parts, left_out),
        settings={"n_boot": n_boot, "level": level},
        shown=_pictures_of_copies(data, tables["copies"], n_pictures) if n_pictures else [],
        **tables,
    )


def _covered(data: Bunch, labels: pd.DataFrame) -> float:
    """The share of the target's image region that a sensitive attribute covers, if known."""
    known = data.get("covered") or {}
    names = (str(name).partition("=")[0] for name in labels.columns[1:])
    return max((known.get(name, 0.0) for name in names), default=0.0)


def _pairs(codes: pd.DataFrame, labels: pd.DataFrame) -> list[tuple[str, str]]:
    compare_all = len(codes.columns) <= _MOST_COLUMNS
    return [(a, b) for a, b in combinations(codes, 2) if compare_all or a in labels or b in labels]


def _notes(data: Bunch, parts: NDArray[Any] | None, left_out: list[str]) -> list[str]:
    notes = data_notes(data, {"by": "random"})
    if parts is None:
        notes.append("The data have no splits: counts are of all rows.")
    if left_out:
        notes.append(f"Not compared, with more than {MOST_LEVELS} values: {', '.join(left_out)}.")
    return notes


def _read(dataset: str | Bunch, params: dict[str, Any]) -> Bunch:
    try:
        return read_data(dataset, params)[0]
    except BadImageError:
        # A missing file is a finding here. The loaders of folders can leave it out.
        if not isinstance(dataset, str) or params.get("skip_bad"):
            raise
        return read_data(dataset, {**params, "skip_bad": True})[0]


def _pictures_of_copies(
    data: Bunch, copies: pd.DataFrame, n_pictures: int
) -> list[tuple[str, str]]:
    """Pictures of the first sets of near copies, two a set, with a caption."""
    from fairvision.comparison.artifacts import picture

    chosen = copies[copies["set"] < n_pictures].groupby("set").head(2)
    return [
        (picture(data.images[row]), f"set {number + 1}, row {row}")
        for number, row in zip(chosen["set"], chosen["row"], strict=True)
    ]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as plain data; what is not known is None."""
    return [
        {
            str(name): None if value is None or value != value else value
            for name, value in row.items()
        }
        for row in table.astype(object).to_dict("records")
    ]
