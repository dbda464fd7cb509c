"""Writing a page, and words on it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from fairvision.exceptions import RunError
from fairvision.reports import write_page
from fairvision.reports._words import Estimate, cite, estimate, listing, short


def test_write_page(tmp_path: Path) -> None:
    path = write_page(tmp_path / "a" / "page.html", "ä\ud800")
    assert path.read_text(encoding="utf-8") == "ä?"
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "page.html").mkdir()
    with pytest.raises(RunError, match=r"page\.html.*Name another file"):
        write_page(tmp_path / "page.html", "")
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_estimates() -> None:
    assert estimate({"value": 0.5, "lower": 0.4, "upper": 0.6}).text() == "0.500 [0.400, 0.600]"
    assert estimate({"value": -0.5, "lower": None, "upper": None}).text("+") == "−0.500"
    assert estimate(None).text() == "undefined"
    assert not estimate({"value": None})
    assert Estimate(0.0)  # zero is a number
    assert Estimate(-0.2, -0.3, -0.1).excludes_zero
    assert not Estimate(-0.2, -0.3, 0.1).excludes_zero
    assert not Estimate(-0.2, math.nan, math.nan).excludes_zero


def test_short() -> None:
    assert short("a\x00b\n c") == "a�b� c"
    assert len(short("x" * 99, 20)) == 20


def test_cite() -> None:
    reference = {
        "title": "T", "authors": ["A B", "C D"], "year": 2020, "venue": "V",
        "doi": "10.1/x", "arxiv": "1", "url": "javascript:alert(1)",
    }  # fmt: skip
    assert cite(reference) == {
        "text": "A B and C D (2020). T. V.",
        "link": "https://doi.org/10.1/x",
    }
    assert cite(reference | {"doi": None, "arxiv": None})["link"] == ""
    assert listing(["a", "b", "c"]) == "a, b and c"
