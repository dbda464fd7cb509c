"""Labels and numbers as readers see them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["RATES", "Estimate", "cite", "estimate", "listing", "metric_name", "short"]

#: The rates that a page shows by group.
RATES = ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate")


def short(text: object, limit: int = 60) -> str:
    """A label from anywhere as one printable line of at most `limit` characters.

    What cannot be printed cannot stand in a picture's XML either.
    """
    printable = " ".join("".join(c if c.isprintable() else "\ufffd" for c in str(text)).split())
    return printable if len(printable) <= limit else printable[: limit - 1] + "…"


def metric_name(name: str) -> str:
    """``true_positive_rate`` as words."""
    return short(name).replace("_", " ")


class Estimate(NamedTuple):
    """A number and its interval; NaN where one is not known."""

    value: float = math.nan
    lower: float = math.nan
    upper: float = math.nan

    def __bool__(self) -> bool:
        return not math.isnan(self.value)

    @property
    def bounded(self) -> bool:
        """Whether it has an interval."""
        return not (math.isnan(self.lower) or math.isnan(self.upper))

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.bounded and (self.lower > 0 or self.upper < 0)

    def text(self, sign: str = "", digits: int = 3) -> str:
        """``0.812 [0.790, 0.834]``."""
        if not self:
            return "undefined"
        numbers = [f"{number:{sign}.{digits}f}".replace("-", "−") for number in self]
        return f"{numbers[0]} [{numbers[1]}, {numbers[2]}]" if self.bounded else numbers[0]


def estimate(entry: Mapping[str, Any] | None) -> Estimate:
    """Of a mapping with value, lower and upper, None where there is none."""
    ends = ((entry or {}).get(key) for key in Estimate._fields)
    return Estimate(*(math.nan if end is None else float(end) for end in ends))


def listing(names: Sequence[str]) -> str:
    """``a, b and c``."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def cite(reference: Mapping[str, Any]) -> dict[str, str]:
    """A reference's text, and the address where it can be read."""
    names = [short(author) for author in reference["authors"]]
    authors = listing(names) if len(names) <= 3 else f"{names[0]} and others"
    venue = f". {reference['venue']}" if reference["venue"] else ""
    address = reference["url"] or ""
    for key, host in (("arxiv", "arxiv.org/abs"), ("doi", "doi.org")):
        if reference[key]:
            address = f"https://{host}/{reference[key]}"
    # Anything else, "javascript:" for example, must not become a link.
    link = address if address.startswith(("https://", "http://")) else ""
    return {"text": f"{authors} ({reference['year']}). {reference['title']}{venue}.", "link": link}
