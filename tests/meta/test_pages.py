"""Every Python snippet of every page runs, in the order of the page; the tables are current.

Cells that Sphinx runs when it builds a page (`tox run -e docs`) are not run again here.
"""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# The README's example trains in earnest.
SLOW = {"README.md": pytest.mark.slow}
PAGES = sorted(
    page
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    if "```python" in page.read_text()
)


@pytest.mark.parametrize(
    "page", [pytest.param(p, id=p.name, marks=SLOW.get(p.name, ())) for p in PAGES]
)
def test_snippets_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": page.stem}
    text = page.read_text()
    for match in re.finditer(r"^```python\n(.*?)^```", text, flags=re.M | re.S):
        line = text[: match.start(1)].count("\n")
        # Padded, so that a traceback names the line of the page.
        exec(compile("\n" * line + match[1], str(page), "exec"), namespace)


def test_the_compatibility_table_has_a_line_for_each_cell() -> None:
    cells = set()
    for path in (ROOT / "tests" / "compat").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "cell":
                cells.add(tuple(ast.literal_eval(argument) for argument in node.args))
    lines = (ROOT / "docs" / "compatibility.md").read_text().splitlines()
    lines = [line for line in lines if line.startswith("| ") and line.endswith("| works |")]
    shown = {tuple(part.strip() for part in line.split("|")[1:3]) for line in lines}
    assert cells == shown, "run `pytest tests/compat --write-table docs/compatibility.md`"


def test_the_table_of_methods_is_current() -> None:
    page = runpy.run_path(str(ROOT / "docs/make_methods.py"))["page"]()
    text = (ROOT / "README.md").read_text()
    assert text == page, "run `python docs/make_methods.py`"
    assert len(text.splitlines()) < 120


@pytest.mark.parametrize(("name", "column"), [("README.md", 3), ("docs/choose.md", 2)])
def test_every_method_is_in_the_table(name: str, column: int) -> None:
    """With the rows whose group labels it needs; plugins that are not installed are not asked."""
    import fairvision as fv

    words = {"fit": "training", "validation": "validation", "predict": "predicted"}
    rows = [line.split("|") for line in (ROOT / name).read_text().splitlines()]
    for method in fv.methods():
        (row,) = [row for row in rows if len(row) > 3 and f"`{method.name}`" in row[1]]
        for need, word in words.items():
            assert (word in row[column]) == getattr(method.needs, need), f"{method.name}: {need}"
