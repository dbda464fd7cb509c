"""Comparisons to draw: small ones, one of them with labels that would like to be code."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.comparison import Comparison
from fairvision.plugins import _registry

#: Each would be seen to work: a script, a picture that loads, a way out of an attribute, a
#: formula, a terminal's escape, a character that no XML may hold.
HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=https://evil.example/x.png onerror="document.title=\'owned\'">',
    "$\\frac{1}$ {{ 7*7 }}\x1b[31m\x00!",
)

SECTIONS = """
from matplotlib.figure import Figure

@hookimpl
def fairvision_report_sections():
    yield ReportSection("drawn", f"{__name__}:drawn", "Rows that a section <b>sees</b>")
    yield ReportSection("raises", f"{__name__}:raises", "It raises")
    yield ReportSection("no-figure", f"{__name__}:no_figure", "It returns text", methods=("erm",))
    yield ReportSection("not-mine", f"{__name__}:raises", "Of another", methods=("jlu",))

def drawn(estimator, X, y, *, sensitive_features):
    figure = Figure(figsize=(3, 1))
    assert len(estimator.predict(X)) == len(y) == len(sensitive_features)
    figure.text(0, 0.5, f"{len(y)} rows")
    return figure

def raises(estimator, X, y, *, sensitive_features):
    raise RuntimeError("<script>document.title='owned'</script>")

def no_figure(estimator, X, y, *, sensitive_features):
    return "a figure"
"""


class Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="session")
def parse() -> type[Page]:
    """Reads a page."""
    return Page


@pytest.fixture(scope="session")
def names() -> tuple[str, ...]:
    """Labels that would like to be code."""
    return HOSTILE


@pytest.fixture(scope="session")
def small() -> dict[str, Any]:
    return {"max_epochs": 1, "n_boot": 30, "progress": False}


@pytest.fixture(scope="session")
def faces() -> Bunch:
    return fv.datasets.load(
        "faces", n_samples=400, image_size=24, target="eyeglasses", sensitive="hat", random_state=0
    )


@pytest.fixture(scope="session")
def finished(
    small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Comparison, Path]:
    """Plain training at two speeds, two seeds, in a folder."""
    out = tmp_path_factory.mktemp("report") / "out"
    params = {
        "n_samples": 400, "image_size": 24, "target": "eyeglasses", "sensitive": "hat",
    }  # fmt: skip
    methods = {"erm": "erm", "slow": ("erm", {"lr": 1e-4})}
    split = {"confounding": 0.9, "n_train": 120, "n_test": 60}
    found = fv.compare("faces", methods, dataset_params=params, seeds=2, out=out, **split, **small)
    return found, out


@pytest.fixture(scope="session")
def hostile(small: dict[str, Any], faces: Bunch) -> Comparison:
    """Groups, classes and methods whose names are HOSTILE; one method that fails."""
    groups = np.array(HOSTILE)[np.arange(400) % 3]
    data = Bunch(
        images=faces.images,
        target=faces.target,
        target_name=HOSTILE[0],
        target_names=np.array(HOSTILE[:2]),
        sensitive_features=groups,
    )
    methods = {HOSTILE[1]: "erm", HOSTILE[2]: ("erm", {"lr": 1e-4}), "bad": ("erm", {"lr": -1.0})}
    return fv.compare(data, methods, seeds=1, baseline=HOSTILE[1], **small)


@pytest.fixture
def with_sections(site: Any) -> Iterator[Callable[..., Comparison]]:
    """`fv.compare` while a plugin with good and bad sections is installed."""
    importlib.import_module(site.add("sections", SECTIONS))
    _registry._default.cache_clear()
    yield fv.compare
    _registry._default.cache_clear()
