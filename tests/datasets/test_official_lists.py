"""Lists of the published data sets, damaged and forged: one error, or rows that are right."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
from hostile import NASTY, damaged, times
from hypothesis import given
from hypothesis import strategies as st

from fairvision.datasets import load_celeba, load_fairface, load_lfw, load_ppb
from fairvision.exceptions import FairvisionError

LOADERS = {"celeba": load_celeba, "fairface": load_fairface, "lfw": load_lfw, "ppb": load_ppb}


def forged(whole: bytes) -> st.SearchStrategy[bytes]:
    """One field of a list replaced by something that no list should hold."""
    text = whole.decode()
    fields = [match.span() for match in re.finditer(r"[^,\t\n ]+", text)]
    words = st.sampled_from([n for n in NASTY if "\ud800" not in n and "\udcff" not in n])
    return st.tuples(st.sampled_from(fields), words).map(
        lambda p: (text[: p[0][0]] + p[1] + text[p[0][1] :]).encode()
    )


def load(name: str, root: Path, skip_bad: bool) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return LOADERS[name](root, image_size=8, skip_bad=skip_bad)
    except FairvisionError:
        return None


@pytest.mark.parametrize("name", sorted(LOADERS))
def test_no_list_leads_astray(official: Any, name: str) -> None:
    root = official(name)
    lists = [p for p in sorted(root.rglob("*")) if p.suffix in (".txt", ".csv")]
    assert lists
    assert load(name, root, True) is not None

    @times(40)
    @given(st.data())
    def attempt(data: Any) -> None:
        path = data.draw(st.sampled_from(lists))
        whole = path.read_bytes()
        try:
            path.write_bytes(data.draw(damaged(whole) | forged(whole)))
            found = load(name, root, data.draw(st.booleans()))
        finally:
            path.write_bytes(whole)
        if found is None:
            return
        assert len(found.images) == len(found.target) == len(found.attributes) > 0
        for place in found.images.paths:
            assert os.path.realpath(place).startswith(str(root.resolve()) + os.sep)
            assert os.path.isfile(place)

    attempt()


@pytest.mark.parametrize("name", sorted(LOADERS))
def test_names_that_are_no_utf8(official: Any, name: str) -> None:
    """Photographs that no list names, called what no text can hold."""
    root = official(name)
    folder = next(root.rglob("*.jpg")).parent
    for place in {folder, *(p.parent for p in root.rglob("*.jpg"))}:
        (place / "strange\udcff.jpg").write_bytes(b"")
    assert load(name, root, False) is not None
