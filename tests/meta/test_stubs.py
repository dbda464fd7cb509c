"""Every name that a stub gives to type checkers is there, and imported late."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUBS = [*ROOT.glob("src/**/__init__.pyi"), *ROOT.glob("plugins/*/src/**/__init__.pyi")]


@pytest.mark.parametrize("stub", STUBS, ids=lambda path: path.parent.name)
def test_every_name_of_a_stub_is_there(stub: Path) -> None:
    module = ".".join(stub.parent.parts[stub.parts.index("src") + 1 :])
    package = pytest.importorskip(module, reason="this environment has another plugin alone")
    assert package.__all__
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert dir(package) == sorted(package.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        package.nothing  # noqa: B018
