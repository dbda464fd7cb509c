"""The page of a data card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

from fairvision.reports import _draw
from fairvision.reports._page import Album, render
from fairvision.reports._svg import Picture, picture
from fairvision.reports._words import estimate, listing, short

__all__ = ["data_card_page"]

_MOST_BARS = 16
#: Rows of a long table that a page shows; the JSON has all.
_MOST_ROWS = 100
_VERSIONS = ("fairvision", "scikit-learn", "numpy", "pandas", "pillow")


def data_card_page(card: Mapping[str, Any], *, command: str = "") -> str:
    """Draw a data card as one HTML page.

    Parameters
    ----------
    card : mapping
        Of :meth:`fairvision.cards.DataCard.to_dict`; `shown`, pictures with their captions, may
        be beside it.
    command : str
        What makes the page again.

    Returns
    -------
    str
    """
    labels = {card["target"], *card["sensitive"]}
    tied = [row for row in card["associations"] if labels & {row["a"], row["b"]}]
    tied.sort(key=lambda row: not labels >= {row["a"], row["b"]})  # class and group first
    others = [row for row in card["associations"] if row not in tied]
    rows = sum(row["all"] for row in card["counts"])
    album = Album()
    pictures = [(album.admit(source), caption) for source, caption in card.get("shown", ())]
    content = {
        "title": f"Data card of {card['name']}",
        "sentence": f"{rows:,} rows; the target is {card['target']}, and groups are by "
        f"{listing(card['sensitive'])}.",
        "findings": card["findings"],
        "level": f"{card['settings']['level']:.0%}",
        "bars": _bars(tied[:_MOST_BARS]) if tied else None,
        "counts": _table(card["counts"]),
        "tables": [
            ("With target or group", _table(_numbers(tied[:_MOST_ROWS]))),
            ("Other columns among themselves", _table(_numbers(others[:_MOST_ROWS]))),
        ],
        "pictures": _table(card["pictures"]),
        "copies": _table(card["copies"][:_MOST_ROWS]),
        "n_copies": len(card["copies"]),
        "shown": [(Picture(source, caption), caption) for source, caption in pictures if source],
        "unreadable": _table(card["unreadable"][:_MOST_ROWS]),
        "n_unreadable": len(card["unreadable"]),
        "methods": _table(
            [
                {{"no_gain_reason": "why it promises no gain"}.get(k, k): v for k, v in row.items()}
                for row in card["methods"]
            ]
        ),
        "notes": card["notes"],
        "versions": {name: version(name) for name in _VERSIONS},
        "command": command,
    }
    return render("data_card.html", content)


def _numbers(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The columns `a`, `b` and the number with its interval."""
    return [{"a": r["a"], "b": r["b"], "mutual information": estimate(r)} for r in rows]


def _table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Headings, and cells as a number to sort by and a text; the first cell is the row's name."""
    return {
        "heads": [short(name) for name in rows[0]] if rows else [],
        "rows": [[_cell(value) for value in row.values()] for row in rows],
    }


def _cell(value: Any) -> tuple[Any, str]:
    if hasattr(value, "text"):
        return value.value, value.text()
    if isinstance(value, float):
        return value, f"{value:,.2f}".removesuffix(".00")
    if isinstance(value, int):
        return value, f"{value:,}"
    return None, "" if value is None else str(value)


def _bars(rows: Sequence[Mapping[str, Any]]) -> Picture:
    numbers = [(f"{short(r['a'], 18)} – {short(r['b'], 18)}", estimate(r)) for r in rows]
    words = "; ".join(f"{label} {number.text()}" for label, number in numbers)
    alt = f"Normalised mutual information: {words}."
    return picture(partial(_draw.bars, rows=numbers), alt, (4.2, 0.55 + 0.26 * len(rows)))
