"""What plugins and host may import from each other; the host's own rooms are lint-imports' job."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def imports(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Give (where, module, name) for each absolute import; `name` is empty for `import module`."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                yield from ((where, alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield from ((where, str(node.module), alias.name) for alias in node.names)


def is_public(module: str, name: str) -> bool:
    """Whether the host offers this: `fairvision` or one room below it, and a name it lists."""
    if module.count(".") > 1 or "._" in module or name.startswith("_"):
        return False
    room = importlib.import_module(module)
    offered = getattr(room, "__all__", None)
    return not name or (hasattr(room, name) if offered is None else name in offered)


def test_is_public_tells_public_from_private() -> None:
    assert is_public("fairvision", "make")
    assert is_public("fairvision.types", "Method")
    assert not is_public("fairvision.types", "_Named")
    assert not is_public("fairvision.types", "Nothing")
    assert not is_public("fairvision.base.groups", "")


def test_a_plugin_uses_public_names_only(plugin: Path) -> None:
    private = [
        f"{where} {module}:{name}"
        for where, module, name in imports(plugin / "src")
        if module.split(".")[0] == "fairvision" and not is_public(module, name)
    ]
    assert private == []


def test_plugins_do_not_know_each_other(plugin: Path, plugins: list[Path]) -> None:
    others = {path.name.replace("-", "_") for path in plugins if path != plugin}
    found = [row for row in imports(plugin) if row[1].split(".")[0] in others]
    assert found == []


def test_the_host_knows_no_plugin(root: Path) -> None:
    found = [row for row in imports(root / "src") if row[1].startswith("fairvision_")]
    assert found == []


def test_every_room_has_a_contract(root: Path, host: dict[str, Any]) -> None:
    rooms = {path.parent.name for path in (root / "src/fairvision").glob("*/__init__.py")}
    contracts = host["tool"]["importlinter"]["contracts"]
    held = {module for contract in contracts for module in contract.get("protected_modules", ())}
    assert {f"fairvision.{room}" for room in rooms} <= held


def test_what_pytest_reads_before_its_workers_start_is_light(root: Path) -> None:
    """A conftest that imports torch makes every environment wait for it with one core."""
    # py311 alone runs the rooms that are left out, and pytest reads theirs in the workers only.
    rooms = (
        path
        for path in root.glob("tests/*/conftest.py")
        if path.parent.name not in {"cli", "comparison", "reports"}
    )
    files = [*rooms, *root.glob("plugins/*/tests/conftest.py")]
    code = "import runpy, sys\nfor path in sys.argv[1:]: runpy.run_path(path)\n"
    code += "print({'torch', 'sklearn', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
