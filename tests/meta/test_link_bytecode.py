"""Bytecode is linked of the same file only, and serves there as compiled."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "link_bytecode.py"


def test_what_a_neighbour_compiled_of_the_same_file_is_linked(tmp_path: Path) -> None:
    code = "from link_bytecode import link_bytecode; from pathlib import Path; import sys\n"
    code += "print(link_bytecode(*map(Path, sys.argv[1:])))"
    here, other = tmp_path / "here", tmp_path / "other"
    for folder in (here / "package", other / "package"):
        folder.mkdir(parents=True)
    for name, text in (("same", "x = 1"), ("copied", "x = 2"), ("gone", "x = 3")):
        (other / "package" / f"{name}.py").write_text(text)
        py_compile.compile(str(other / "package" / f"{name}.py"), doraise=True)
    os.link(other / "package" / "same.py", here / "package" / "same.py")
    (here / "package" / "copied.py").write_text("x = 4")
    command = [sys.executable, "-c", code, str(here), str(other)]
    for linked in ("1", "0"):  # the second time there is nothing left to do
        done = subprocess.run(command, cwd=SCRIPT.parent, capture_output=True, text=True)
        assert done.stdout.strip() == linked, done.stderr
    ours, theirs = (cache_from_source(str(f / "package" / "same.py")) for f in (here, other))
    assert os.path.samefile(ours, theirs)
    assert [path.name for path in Path(ours).parent.iterdir()] == [Path(ours).name]
    # Python takes it: nothing is compiled anew.
    code = "import sys; sys.path[0] = '.'; import package.same; print(package.same.x)"
    done = subprocess.run(
        [sys.executable, "-v", "-c", code], cwd=here, capture_output=True, text=True
    )
    assert done.stdout.strip() == "1"
    assert f"matches {Path('package') / 'same.py'}" in done.stderr.replace(f"{here}/", "")
