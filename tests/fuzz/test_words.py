"""Names of classes, groups, columns, files and plugins that would like to be code."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hostile import NASTY, damaged, times
from hypothesis import given
from hypothesis import strategies as st

from fairvision.cli import main
from fairvision.metrics import evaluate_predictions
from fairvision.plugins import Registry
from fairvision.reports import evaluation_page


class Skeleton(HTMLParser):
    """The elements of a page and the names of their attributes: what a label must not change."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.addresses: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        for name, value in attrs:
            if name in ("src", "href"):
                self.addresses.add(str(value).partition(",")[0])


TRUE, PREDICTED = np.arange(60) % 2, (np.arange(60) * 7 % 5 < 2).astype(int)
GROUP = np.arange(60) // 2 % 2


def page(classes: tuple[str, str], groups: tuple[str, str], column: str, source: str) -> Skeleton:
    found = evaluate_predictions(
        np.array(classes, dtype=object)[TRUE],
        np.array(classes, dtype=object)[PREDICTED],
        sensitive_features={column: np.array(groups, dtype=object)[GROUP]},
        n_boot=0,
        labels=list(classes),
    )
    text = evaluation_page(found, source=source, command=f"audit {source}", failed=[source])
    return Skeleton(text.encode("utf-8", "replace").decode())


@pytest.fixture(scope="module")
def plain() -> Skeleton:
    return page(("0 no", "1 yes"), ("a", "b"), "group", "predictions.csv")


WORDS = st.sampled_from(NASTY) | st.text(max_size=20)


@times(6)
@given(WORDS, WORDS, WORDS, WORDS)
def test_labels_change_the_words_of_a_page_only(
    plain: Skeleton, first: str, second: str, column: str, source: str
) -> None:
    # In front of each a digit, so that they differ and keep their order.
    pairs = ("0" + first, "1" + second), ("a" + second, "b" + first)
    found = page(*pairs, "c" + column, source)
    assert found.elements == plain.elements
    assert found.addresses == plain.addresses


METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: {license}\n"
LINE = st.sampled_from([n for n in NASTY if "\ud800" not in n and "\udcff" not in n])


def listing(folder: Path) -> None:
    """Every plugin of a folder is listed or its failure is, in printable lines."""
    registry = Registry([folder], environ={})
    for failure in registry.failures:
        assert str(failure).isprintable()
        assert failure.hint.isprintable()
    for plugin in registry.plugins:
        assert str(plugin.origin).isprintable()
        assert plugin.status in ("loaded", "failed", "blocked")


def write(folder: Path, metadata: bytes, entry_points: bytes) -> Path:
    info = folder / "strange-1.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_bytes(metadata)
    (info / "entry_points.txt").write_bytes(entry_points)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site")


@times(100)
@given(LINE, LINE, LINE, LINE, LINE)
def test_metadata_of_nasty_words(
    site: Path, name: str, version: str, license_: str, entry: str, module: str
) -> None:
    stated = METADATA.format(name=name, version=version, license=license_).encode()
    listing(write(site, stated, f"[fairvision]\n{entry} = {module}\n".encode()))


GOOD = METADATA.format(name="strange", version="1", license="MIT").encode()
POINTS = b"[fairvision]\nmain = strange_plugin\n[console_scripts]\nx = strange:main\n"


@times(100)
@given(damaged(GOOD), damaged(POINTS))
def test_damaged_metadata(site: Path, metadata: bytes, entry_points: bytes) -> None:
    listing(write(site, metadata, entry_points))


@times(100)
@given(st.binary(max_size=300), st.booleans())
def test_modules_of_rubbish(site: Path, content: bytes, first: bool) -> None:
    """A plugin that is no Python costs itself only."""
    import importlib
    import sys

    (site / "strange_plugin.py").write_bytes(content if first else b"FAIRVISION_API = " + content)
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    try:
        listing(write(site, GOOD, POINTS))
    finally:
        sys.path.remove(str(site))
        sys.modules.pop("strange_plugin", None)


@pytest.mark.parametrize("name", [n for n in NASTY if n and n not in ("nul\0byte.jpg", "\ud800")])
def test_what_was_typed_steers_no_terminal(name: str) -> None:
    """Names on the command line may come out of a script that reads them from a file."""
    for words in (["cite", name], ["methods", "--stage", name], [name], ["report", name]):
        result = CliRunner().invoke(main, words)
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert "Traceback" not in result.output
        if words[0] != name:
            assert "\x1b" not in result.output


def test_json_on_a_terminal_is_ascii(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    table = pd.DataFrame({"y": [0, 1] * 6, "p": [0, 1] * 6, "g": ["\x1b[2J\u202e", "b"] * 6})
    table.to_csv(path, index=False)
    words = ["audit", str(path), "--y-true", "y", "--y-pred", "p", "--sensitive", "g", "--json"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0
    assert result.output.isascii()
    assert "\x1b" not in result.output
    assert json.loads(result.output)["by_group"][0]["group"]["g"] == "\x1b[2J\u202e"
