"""Write docs/hooks.md from the hook specs: ``python docs/make_hooks.py``.

A test in tests/meta fails while the page is not what this writes.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from fairvision import hookspecs

PAGE = Path(__file__).with_name("hooks.md")

HEAD = """# The hooks

Written from `fairvision.hookspecs` by `python docs/make_hooks.py`.

{text}

Plugin API version of this host: `{version}`.
"""


def page() -> str:
    """The page as it should be."""
    text = inspect.cleandoc(hookspecs.__doc__ or "").partition("\n")[2].strip()
    head = HEAD.format(text=_markdown(text), version=hookspecs.API_VERSION)
    parts = [_section(name, value) for name, value in vars(hookspecs).items() if _is_spec(value)]
    return "\n".join([head, *parts])


def _is_spec(value: object) -> bool:
    return hasattr(value, f"{hookspecs.PROJECT}_spec")


def _section(name: str, spec: Any) -> str:
    body, _, example = (inspect.getdoc(spec) or "").partition("\nExamples\n--------\n")
    descriptor = spec.__annotations__["return"].removeprefix("Iterable[").rstrip("]")
    code = [
        "from fairvision.hookspecs import hookimpl",
        f"from fairvision.types import {descriptor}",
        "\n",
        *(line[4:] for line in example.splitlines() if line.startswith((">>>", "..."))),
    ]
    return "\n".join([f"## {name}\n", _markdown(body), "\n```python", *code, "```\n"])


def _markdown(text: str) -> str:
    """Literals, code blocks and section heads of numpydoc as Markdown has them."""
    text = re.sub(r"::\n\n((?:    .*\n|\n)+)", _block, f"{text}\n")
    text = re.sub(r"^(\w[\w ]*)\n-+\n", r"\1: ", text, flags=re.M)
    return re.sub(r"(?<!`)``(?!`)", "`", text).strip()


def _block(match: re.Match[str]) -> str:
    return f":\n\n```python\n{inspect.cleandoc(match[1])}\n```\n\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
