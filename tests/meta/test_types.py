"""mypy knows the names that are imported late."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SNIPPET = """
import fairvision as fv
reveal_type(fv.make)
reveal_type(fv.nn.TorchClassifier)
reveal_type(fv.datasets.load_faces)
fv.nothing
"""


@pytest.mark.slow
def test_mypy_knows_the_names_and_refuses_others() -> None:
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "-c", SNIPPET]
    # What mypy has kept of `mypy src` serves here, too; a wheel's py.typed has a test of its own.
    here = os.environ | {"MYPYPATH": str(ROOT / "src")}
    found = subprocess.run(command, cwd=ROOT, env=here, capture_output=True, text=True).stdout
    for revealed in (
        '3: note: Revealed type is "def (',
        # Its bases are without types for mypy, so a dataclass may take more than it names.
        '4: note: Revealed type is "def (*generated_args: Any, backbone: str |',
        '5: note: Revealed type is "def (',
    ):
        assert revealed in found
    assert 'Module has no attribute "nothing"' in found
