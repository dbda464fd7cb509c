"""Read a file of predictions, and find its columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairvision.exceptions import InputError
from fairvision.plugins import describe

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["evaluation_arguments", "read_table_file", "take_column"]


def _named_columns(table: pd.DataFrame, options: dict[str, Any]) -> dict[str, Any]:
    """The options of `audit`; columns not named are taken from the header of `fairvision predict`.

    Raises
    ------
    InputError
        If the column of the true labels or of the groups is not known.
    """
    from fairvision.models import PredictionColumns

    known = PredictionColumns.of(table.columns)
    columns = dict(options)
    if known is not None:
        columns["y_true"] = columns["y_true"] or ("true_class" if known.has_true_class else None)
        columns["sensitive"] = columns["sensitive"] or ",".join(known.sensitive)
        if columns["y_pred"] is None and columns["threshold"] is None:
            columns["y_pred"] = "class"
        if columns["y_score"] is None and columns["y_true"] == "true_class":
            columns["y_score"] = _score(table, known, columns["pos_label"])
    for name, content in (("y_true", "true labels"), ("sensitive", "group labels")):
        if not columns[name]:
            reason = (
                "" if known is None else ", and `fairvision predict` writes it with --labels only"
            )
            raise InputError(
                f"--{name.replace('_', '-')}, the column of {content}, is not given{reason}. Name "
                f"one of {list(map(str, table.columns))}."
            )
    return columns


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


def read_table_file(path: Path, sep: str | None) -> pd.DataFrame:
    """Read a text table, Parquet, JSON Lines or NPZ file."""
    from fairvision.datasets import clean_table, read_table

    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        return read_table(path, sep=sep)
    return clean_table(_read_binary(path), path.name)


def _read_binary(path: Path) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    kind = path.suffix.lower()
    try:
        if kind in (".parquet", ".pq"):
            return pd.read_parquet(path)
        if kind in (".json", ".jsonl"):
            return pd.read_json(path, lines=True, dtype=False)
        if kind == ".npz":
            # Opened here: numpy leaves a damaged archive open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return pd.DataFrame({name: arrays[name] for name in arrays.files})
    except ImportError as error:
        message = f"{path.name} needs a Parquet reader: pip install fairvision[parquet]."
        raise InputError(message) from error
    except Exception as error:  # a damaged archive raises anything from KeyError to zlib.error
        reason = error if isinstance(error, (ValueError, OSError)) else describe(error)
        raise InputError(f"{path.name} cannot be read as {kind[1:]}: {reason}") from error
    raise InputError(
        f"{path.name} is of kind {kind!r}; expected .csv, .tsv, .txt, .parquet, .json or .npz."
    )


def take_column(table: pd.DataFrame, name: str, option: str) -> Any:
    """The column that an option names."""
    if name not in table.columns:
        raise InputError(f"{option} {name!r} is not a column; there are {list(table.columns)}.")
    return table[name]


def _label(text: str, known: Any, option: str) -> Any:
    """The label of the data whose text is `text`."""
    import pandas as pd

    labels = [label for label in pd.unique(known) if not pd.isna(label)]
    for label in labels:
        if str(label) == text:
            return label.item() if hasattr(label, "item") else label
    raise InputError(f"{option} {text!r} is not a label; there are {sorted(map(str, labels))}.")


def _privileged(table: pd.DataFrame, pairs: tuple[str, ...], sensitive: list[str]) -> Any:
    labels: dict[str, list[Any]] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or name not in sensitive:
            raise InputError(
                f"--privileged {pair!r}: expected column=label with a column of {sensitive}."
            )
        labels.setdefault(name, []).append(_label(text, table[name], "--privileged"))
    return labels or None


def _predict_at(threshold: float, score: Any, true: Any, positive: Any) -> Any:
    """The label that the threshold gives each score."""
    import numpy as np

    from fairvision.base import check_labels, code_labels

    if not np.isfinite(threshold):
        raise InputError(f"--threshold is {threshold}; pass a number.")
    if score is None:
        raise InputError("--threshold needs --y-score, the column of scores that it is applied to.")
    labels = code_labels(check_labels(true, "--y-true"))[1]
    if len(labels) != 2:
        raise InputError(
            f"--threshold needs two labels; --y-true has {labels.tolist()[:10]}. Pass --y-pred."
        )
    try:
        scores = np.asarray(score, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"--y-score is not numeric: {error}. Convert it.") from error
    low, high = scores.min(), scores.max()
    if 0 <= low <= high <= 1 and not 0 <= threshold <= 1:  # 50 for 50 %
        raise InputError(
            f"--threshold is {threshold:g}, but the scores are {low:g} to {high:g}. Pass a number "
            "from 0 to 1."
        )
    second = positive is None or labels[1] == positive
    return labels[((scores >= threshold) == second).astype(int)]


def evaluation_arguments(
    table: pd.DataFrame, condition_metrics: list[str], options: dict[str, Any]
) -> dict[str, Any]:
    """The arguments of `evaluate_predictions`, from the columns and labels that options name."""
    columns = _named_columns(table, options)
    y_pred, y_score, threshold, weight, pos_label = (
        columns.pop(name) for name in ("y_pred", "y_score", "threshold", "weight", "pos_label")
    )
    names = [name.strip() for name in columns.pop("sensitive").split(",") if name.strip()]
    for name in names:
        take_column(table, name, "--sensitive")
    true = take_column(table, columns.pop("y_true"), "--y-true")
    score = None if y_score is None else take_column(table, y_score, "--y-score")
    positive = None if pos_label is None else _label(pos_label, true, "--pos-label")
    if (y_pred is None) == (threshold is None):
        raise InputError("pass --y-pred, or --y-score with --threshold; one of the two.")
    if threshold is None:
        predicted = take_column(table, str(y_pred), "--y-pred")
    else:
        predicted = _predict_at(threshold, score, true, positive)
    return {
        **columns,
        "y_true": true,
        "y_pred": predicted,
        "sensitive_features": table[names],
        "y_score": score,
        "sample_weight": None if weight is None else take_column(table, weight, "--weight"),
        "metrics": [*columns["metrics"].split(","), *condition_metrics],
        "pos_label": positive,
        "privileged": _privileged(table, columns["privileged"], names),
    }
