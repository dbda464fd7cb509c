"""The columns of a file of predictions, where the command line does not name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairvision.exceptions import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["named_columns"]


def named_columns(table: pd.DataFrame, options: dict[str, Any]) -> dict[str, Any]:
    """The options of `audit`, with those columns that are known to mean what is not named.

    Raises
    ------
    InputError
        If the true labels or the groups are neither named nor known.
    """
    from fairvision.models import PredictionColumns

    known = PredictionColumns.of(table.columns)
    named = dict(options)
    if known is not None:
        named["y_true"] = named["y_true"] or ("true_class" if known.has_true_class else None)
        named["sensitive"] = named["sensitive"] or ",".join(known.sensitive)
        if named["y_pred"] is None and named["threshold"] is None:
            named["y_pred"] = "class"
        if named["y_score"] is None and named["y_true"] == "true_class":
            named["y_score"] = _score(table, known, named["pos_label"])
    for name, what in (("y_true", "true labels"), ("sensitive", "group labels")):
        if not named[name]:
            why = "" if known is None else ", and the predictions were made without: use --labels"
            raise InputError(
                f"--{name.replace('_', '-')}, the column of {what}, is not given{why}. There are "
                f"{list(map(str, table.columns))}."
            )
    return named


def _score(table: pd.DataFrame, known: Any, positive: str | None) -> str | None:
    """The column of the positive class's probability, of two classes."""
    import pandas as pd

    from fairvision.base import code_labels

    if len(known.classes) != 2:
        return None
    if positive is None:
        labels = pd.concat([table["class"], table["true_class"]]).dropna()
        positive = str(code_labels(labels.to_numpy())[1][-1])
    return f"probability_{positive}" if positive in known.classes else None
