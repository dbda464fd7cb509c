"""The reference of hooks is what the specs say."""

from __future__ import annotations

import runpy
from pathlib import Path


def test_the_page_is_current(root: Path) -> None:
    page = runpy.run_path(str(root / "docs/make_hooks.py"))["page"]()
    assert (root / "docs/hooks.md").read_text() == page, "run `python docs/make_hooks.py`"


def test_every_hook_has_a_section_with_all_that_it_must_say(root: Path) -> None:
    from fairvision import hookspecs

    names = [name for name in vars(hookspecs) if name.startswith("fairvision_")]
    assert len(names) == 6
    sections = (root / "docs/hooks.md").read_text().split("\n## ")[1:]
    assert [section.splitlines()[0] for section in sections] == names
    for section in sections:
        assert "Returns: iterable of" in section
        assert "The target" in section or "A section" in section
        assert "```python" in section
