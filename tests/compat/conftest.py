"""Images for the cells of the compatibility table, and the table from the tests' own results.

``pytest tests/compat --write-table docs/compatibility.md`` writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sklearn.utils import Bunch

    from fairvision.nn import TorchClassifier

HEAD = """# What works with what

Each line is a test on images, `(n_samples, n_channels, height, width)`; the table is written from
the results of these tests: `pytest tests/compat --write-table docs/compatibility.md`.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", type=Path, help="where to write the compatibility table")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("cell"):
            item.user_properties.append(("cell", mark.args))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    path = config.getoption("--write-table", default=None)
    if path is None:
        return
    found: dict[tuple[str, str], set[str]] = {}
    for outcome in ("passed", "failed", "skipped", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in report.user_properties:
                if name == "cell":
                    found.setdefault(tuple(value), set()).add(outcome)
    lines = [HEAD, "| toolkit | what | |", "|---|---|---|"]
    for (toolkit, what), outcomes in sorted(found.items()):
        result = "works" if outcomes == {"passed"} else ", ".join(sorted(outcomes))
        lines.append(f"| {toolkit} | {what} | {result} |")
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def faces() -> Bunch:
    from fairvision.datasets import load_faces

    return load_faces(200, 24, target="smiling", sensitive="skin_group", random_state=0)


@pytest.fixture(scope="session")
def X(faces: Bunch) -> Any:
    return faces.images


@pytest.fixture(scope="session")
def y(faces: Bunch) -> Any:
    return faces.target


@pytest.fixture(scope="session")
def groups(faces: Bunch) -> Any:
    return faces.sensitive_features["skin_group"].to_numpy(str)


@pytest.fixture
def erm() -> TorchClassifier:
    from fairvision.nn import TorchClassifier

    return TorchClassifier(max_epochs=1, random_state=0, device="cpu")


@pytest.fixture(scope="session")
def fitted(X: Any, y: Any) -> TorchClassifier:
    from fairvision.nn import TorchClassifier

    return TorchClassifier(max_epochs=4, random_state=0, device="cpu").fit(X, y)


@pytest.fixture
def routing() -> Iterator[None]:
    import sklearn

    with sklearn.config_context(enable_metadata_routing=True):
        yield
