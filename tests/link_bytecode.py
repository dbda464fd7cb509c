"""Give this environment the bytecode that others have of the same files.

``python tests/link_bytecode.py [ENVIRONMENT ...]``; without a name, its neighbours in `.tox`.

uv links every file of a package from its cache, so two environments hold one file, not two copies.
What Python has compiled of it in one of them serves the other: it compares the time and the size of
the source before it believes any bytecode, and replaces a file of bytecode, never writes into it.
Where files are copied and not linked, nothing is done.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from contextlib import suppress
from importlib.util import source_from_cache
from pathlib import Path


def link_bytecode(here: Path, other: Path) -> int:
    """Link what `other` has compiled, a folder of packages, of the files that `here` shares."""
    linked = 0
    for folder, below, names in os.walk(other):
        package, last = os.path.split(folder)
        if "__pycache__" not in below and folder != str(other):
            below.clear()  # nobody imported it, nor what is below it
        ours = here / os.path.relpath(folder, other)
        if last != "__pycache__" or not ours.parent.is_dir():
            continue
        ours.mkdir(exist_ok=True)
        for name in set(names) - set(os.listdir(ours)):
            theirs = os.path.join(folder, name)
            if not name.endswith(f".{sys.implementation.cache_tag}.pyc"):
                continue
            source = os.path.basename(source_from_cache(theirs))
            with suppress(FileNotFoundError):  # the source may be gone, there or here
                if os.path.samefile(ours.parent / source, os.path.join(package, source)):
                    os.link(theirs, ours / name)
                    linked += 1
    return linked


if __name__ == "__main__":
    packages, here = Path(sysconfig.get_path("purelib")), Path(sys.prefix)
    for other in map(Path, sys.argv[1:] or here.parent.iterdir()):
        theirs = other / packages.relative_to(here)
        if theirs.is_dir() and not theirs.samefile(packages):
            link_bytecode(packages, theirs)
