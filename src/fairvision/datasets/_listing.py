"""Images and the rows that describe them, as one data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch

from fairvision.base import ImageFiles
from fairvision.datasets._bunch import make_bunch, split_rows, text
from fairvision.datasets._lists import check_distinct
from fairvision.exceptions import BadImageError, DatasetError

__all__ = ["Listing", "image_bunch", "left_out"]

# Why a row or an image is left out; the Bunch has ``n_<reason>`` and the names in ``<reason>``.
_REASONS = {
    "skipped": "unreadable image(s)",
    "missing_race": "file(s) without a race in the name",
    "unreadable": "file(s) with another name",
    "outside": "image(s) outside the age bins",
    "bad_values": "row(s) with missing, unknown or contradictory values",
    "no_split": "row(s) without a split in the partition list",
    "two_labels": "image(s) that the label file labels twice, differently",
    "no_label": "image(s) without a usable label in the label file",
    "missing_image": "row(s) whose image is missing",
    "no_entry": "image(s) that the list does not name",
}


def left_out(data: Mapping[str, Any]) -> list[str]:
    """The rows that a loader left out: their number, the reason and the first name.

    Parameters
    ----------
    data : Bunch or mapping
        With ``n_<reason>``, and the names in ``<reason>``.
    """
    lines = []
    for reason, words in _REASONS.items():
        if n := int(data.get(f"n_{reason}") or 0):
            names = data.get(reason)
            lines.append(f"{n} {words}{f', the first {names[0]!r}' if names else ''}")
    return lines


def _summary(left_out: Mapping[str, Sequence[str]]) -> str:
    parts = [f"{len(left_out[r])} {words}" for r, words in _REASONS.items() if left_out.get(r)]
    return ", ".join(parts) or "nothing"


def image_bunch(
    images: ImageFiles,
    table: pd.DataFrame,
    *,
    root: str,
    source: str,
    skip_bad: bool,
    split: Any = None,
    identity: Any = None,
    left_out: Mapping[str, list[str]] | None = None,
    path_column: str = "path",
    descr: str,
    **settings: Any,
) -> Bunch:
    """Make a data set of image files and their rows.

    Parameters
    ----------
    images : ImageFiles
    table : DataFrame
        One row per image.
    root, source : str
        Folder of the images, and name of the table.
    skip_bad : bool
        Whether to decode every image once and leave out those that cannot be read.
    split : array-like of shape (n_samples,) or None
        The split of each row.
    identity : array-like of shape (n_samples,) or None
        Who is on each image.
    left_out : mapping of str to list of str
        Names that are left out already, by reason.
    path_column : str
        Column of the names.
    descr : str
        ``{root}``, ``{source}``, ``{n}`` and ``{left_out}`` in it are filled in.
    **settings
        Of :func:`make_bunch`.
    """
    left_out = {**(left_out or {}), "skipped": []}
    rows = np.arange(len(images))
    if skip_bad:
        good, errors = images.without_bad()
        if not len(good):
            raise BadImageError(f"none of the {len(images)} images can be read; {errors[0]}")
        images, rows = good, np.delete(rows, sorted(errors))
        left_out["skipped"] = text(table[path_column].iloc[sorted(errors)]).tolist()
    counts = {f"n_{reason}": len(names) for reason, names in left_out.items()}
    if split is not None:
        settings["split"] = np.asarray(split, dtype=object)[rows]
        settings["splits"] = split_rows(settings["split"])
    if identity is not None:
        settings["identity"] = np.asarray(identity)[rows]
    return make_bunch(
        images,
        table.iloc[rows],
        descr=descr.format(root=root, source=source, n=len(images), left_out=_summary(left_out)),
        **{**left_out, **counts, **settings},
    )


@dataclass
class Listing:
    """The list of a published data set and the images that it names.

    Parameters
    ----------
    root : str
        From :func:`check_root`.
    files : mapping of str to str
        Paths of the images by name, from :func:`scan`.
    table : DataFrame
        The list; its column ``path`` holds the names, ``split``, if there is one,
        the parts.
    source : str
        Name of the list, for errors.
    bad : mapping of str to bool arrays of shape (n_rows,)
        Rows to leave out, by reason.
    descr, labels
        As in :func:`image_bunch` and :func:`make_bunch`.
    more : dict
        Further entries of the data set.
    """

    root: str
    files: Mapping[str, str]
    table: pd.DataFrame
    source: str
    bad: Mapping[str, NDArray[np.bool_]]
    descr: str
    labels: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def bunch(
        self,
        target: str,
        sensitive: str | Sequence[str],
        *,
        skip_bad: bool,
        **read: Any,
    ) -> Bunch:
        """The data set: rows and images matched by name; `read` is for :class:`ImageFiles`.

        Raises
        ------
        DatasetError
            If a name comes twice, no row is left, or the target or a sensitive
            feature has one value only.
        """
        names = text(self.table["path"].fillna(""))
        check_distinct(names.tolist(), self.source)
        missing = np.array([name not in self.files for name in names], dtype=bool)
        left_out, used = {}, np.ones(len(names), dtype=bool)
        for reason, mask in {**self.bad, "missing_image": missing}.items():
            left_out[reason] = names[used & mask].tolist()  # each under its first reason
            used &= ~mask
        left_out["no_entry"] = sorted(self.files.keys() - set(names))
        if not used.any():
            raise DatasetError(
                f"none of the {len(names)} rows of {self.source!r} is usable: {_summary(left_out)}."
            )
        paths = [self.files[name] for name in names[used]]
        table = self.table[used]
        data = image_bunch(
            ImageFiles(paths, **read),
            table.drop(columns="split", errors="ignore"),
            root=self.root,
            source=self.source,
            skip_bad=skip_bad,
            split=table.get("split"),
            identity=table.get("identity"),
            left_out=left_out,
            target=target,
            sensitive=sensitive,
            labels=self.labels,
            descr=self.descr,
            **self.more,
        )
        _check_varies(data)
        return data


def _check_varies(data: Bunch) -> None:
    """Raise for a constant target or sensitive feature."""
    columns = {data.target_name: data.target, **data.sensitive_features}
    for name, values in columns.items():
        if len(data.target) > 1 and pd.Series(values).nunique(dropna=False) < 2:
            raise DatasetError(
                f"{name!r} has the same value in all {len(data.target)} usable rows. Name "
                f"another attribute; there are {', '.join(map(str, data.attributes.columns))}."
            )
