"""No module imports itself by a detour, imports for type checking and late ones included."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest


def module_name(path: Path, top: Path) -> str:
    parts = path.relative_to(top).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, known: set[str]) -> Iterator[str]:
    """The modules of the project that a file names in an import, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else str(node.module)


def graph(top: Path) -> dict[str, set[str]]:
    files = {module_name(path, top): path for path in top.rglob("*.py")}
    # The package itself imports its rooms by name, at first use.
    return {
        name: set() if name == "fairvision" else set(imported(path, set(files))) - {name}
        for name, path in files.items()
    }


def test_no_circles(root: Path) -> None:
    edges = graph(root / "src")
    assert len(edges) > 100
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def test_a_circle_is_found(tmp_path: Path) -> None:
    (tmp_path / "fairvision").mkdir()
    (tmp_path / "fairvision" / "a.py").write_text("from fairvision.b import x\n")
    (tmp_path / "fairvision" / "b.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import fairvision.a\n"
    )
    with pytest.raises(CycleError):
        TopologicalSorter(graph(tmp_path)).prepare()
