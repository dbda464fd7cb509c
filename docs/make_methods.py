"""Write the table of methods into README.md: ``python docs/make_methods.py``.

Names and needs come from the installed methods, figures from photographs-measured.md. A test in
tests/meta fails while the README's table is not what this writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fairvision as fv

README = Path(__file__).parents[1] / "README.md"
MEASURED = Path(__file__).with_name("photographs-measured.md")
MARKS = "<!-- methods -->\n", "<!-- /methods -->\n"
_WORDS = {"fit": "training rows", "validation": "validation rows", "predict": "predicted rows"}
_STAGES = {"pre": "before training", "in": "training", "post": "after training"}
_HEAD = (
    "| method | stage | group labels | gap closed | with balanced rows | paper |\n"
    "|---|---|---|---|---|---|\n"
)
_SETTINGS = ("training rows", "validation rows")


def shares(text: str, setting: str) -> dict[str, str]:
    """The share of the gap that each method closes, by the table of frozen features."""
    table = text.partition(f"### features, {setting}, ")[2].partition("\n###")[0]
    rows = [line.split("|") for line in table.splitlines()]
    by_method = {row[1].strip(): row[3].strip() for row in rows if len(row) > 4}
    return {name: re.sub(r"\b0\.", ".", share) for name, share in by_method.items() if "[" in share}


def row(method: Any, measured: Sequence[Mapping[str, str]]) -> str:
    """A method's line."""
    groups = [word for need, word in _WORDS.items() if getattr(method.needs, need)]
    else_ = "needs pixels" if method.needs.pixels else "not measured"
    measured_as = _measured_as(method)
    figures = [table.get(measured_as, else_) for table in measured]
    reference = method.reference
    paper = "" if reference is None else f"[{_cited(reference)}]({_address(reference)})"
    cells = [_linked(method), _STAGES[method.stage], ", ".join(groups) or "never", *figures, paper]
    return "| " + " | ".join(cells) + " |"


def _linked(method: Any) -> str:
    page = f"plugins/{method.origin.distribution}/README.md"
    exists = (README.parent / page).exists()
    name = f"[`{method.name}`]({page})" if exists else f"`{method.name}`"
    return "".join([name, *(f", preset `{preset}`" for preset in method.needs.pixels_except)])


def _measured_as(method: Any) -> str:
    """Its name in the tables: features are for a preset alone, where pixels are needed else."""
    return ", ".join([method.name, *method.needs.pixels_except[:1]])


def _cited(reference: Any) -> str:
    # "De Coninck" is a surname; "Given Family" are the others.
    names = [re.sub(r"^.*?((?:De )?\S+)$", r"\1", author) for author in reference.authors]
    shown = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
    return f"{shown} {reference.year}"


def _address(reference: Any) -> str:
    if reference.doi:
        return f"https://doi.org/{reference.doi}"
    return f"https://arxiv.org/abs/{reference.arxiv}" if reference.arxiv else reference.url


def _share(figure: str) -> float:
    return float(figure.partition(" ")[0])


def table() -> str:
    """The table as it should be: what closes most of the gap first."""
    measured = [shares(MEASURED.read_text(), setting) for setting in _SETTINGS]
    order = {name: -_share(figure) for name, figure in measured[-1].items()}
    methods = sorted(fv.methods(), key=lambda method: order.get(_measured_as(method), 1.0))
    return _HEAD + "".join(f"{row(method, measured)}\n" for method in methods)


def page() -> str:
    """The README with that table in it."""
    head, _, rest = README.read_text().partition(MARKS[0])
    return head + MARKS[0] + table() + MARKS[1] + rest.partition(MARKS[1])[2]


if __name__ == "__main__":
    README.write_text(page())
