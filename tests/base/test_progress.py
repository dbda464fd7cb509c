"""The progress bar: on stderr only, and only where it is wanted."""

from __future__ import annotations

import pytest

from fairvision.base import ProgressBar, progress_bar


def test_items_pass_through_and_the_bar_counts_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress_bar("abc", "reading [x]", show=True)) == ["a", "b", "c"]
    out, err = capsys.readouterr()
    assert out == ""
    assert "reading [x]" in err
    assert "3/3" in err


@pytest.mark.parametrize("show", [False, None])
def test_nothing_is_shown_without_a_terminal(capsys, show) -> None:
    assert list(progress_bar([1, 2], "reading", show=show)) == [1, 2]
    with ProgressBar(2, "reading", show=show) as bar:
        bar.advance()
        bar.update(2, "done")
    assert capsys.readouterr() == ("", "")


def test_the_text_changes(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(10, "first", show=True) as bar:
        bar.advance()
        bar.update(7, "second")
    err = capsys.readouterr().err
    assert "second" in err
    assert "7/10" in err


def test_a_bar_within_a_bar_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(2, "outer", show=True) as outer:
        for _ in progress_bar([1, 2], "inner", show=True):
            outer.advance()
    assert "outer" in capsys.readouterr().err
