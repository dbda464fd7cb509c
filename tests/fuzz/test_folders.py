"""Folders of a comparison that somebody else has had in hand."""

from __future__ import annotations

import contextlib
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hostile import LEAVES, NASTY, damaged, forged, times, tree
from hypothesis import given
from hypothesis import strategies as st

import fairvision as fv
from fairvision.cli import main
from fairvision.comparison import read_report_data
from fairvision.comparison.store import Store
from fairvision.exceptions import RunError

#: A minute in all, and the same on every Python.
pytestmark = [pytest.mark.cpu, pytest.mark.slow]


FILES = ("comparison.json", "plan.json", "erm/seed-0/run.json", "erm/seed-0/artifacts.json")


PARAMS = {"n_samples": 80, "image_size": 24, "target": "eyeglasses", "sensitive": "hat"}


def compare(out: Path, **more: Any) -> Any:
    settings: dict[str, Any] = {"seeds": 1, "max_epochs": 1, "n_boot": 10, "progress": False}
    return fv.compare("faces", ["erm"], dataset_params=PARAMS, out=out, **settings, **more)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small comparison as it should be."""
    out = tmp_path_factory.mktemp("folders") / "made"
    compare(out)
    return out


@pytest.fixture(scope="module")
def taken(made: Path) -> Path:
    """A copy for a stranger to change."""
    folder = made.parent / "taken"
    shutil.copytree(made, folder)
    return folder


def report(folder: Path) -> str:
    """What the terminal shows; one error, or a page and nothing else written."""
    before = {k: v for k, v in tree(folder.parent).items() if not k.endswith("report.html")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = CliRunner().invoke(main, ["report", str(folder)])
    assert result.exit_code in (0, 2), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert all(c.isprintable() or c == "\n" for c in result.output)
    after = {k: v for k, v in tree(folder.parent).items() if not k.endswith("report.html")}
    assert after == before
    return result.output


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("name", FILES)
def test_reports_on_forged_folders(made: Path, taken: Path, name: str) -> None:
    """Drawn whole, so there are few of them."""
    value = json.loads((made / name).read_text())

    @times(8)
    @given(forged(value).map(dumped) | damaged((made / name).read_bytes()))
    def attempt(content: bytes) -> None:
        (taken / name).write_bytes(content)
        report(taken)

    attempt()
    shutil.copy(made / name, taken / name)


@pytest.mark.parametrize("name", FILES[:3])
def test_facts_of_forged_folders(made: Path, taken: Path, name: str) -> None:
    """The same without drawing, by the hundred."""
    value = json.loads((made / name).read_text())

    @times(100)
    @given(forged(value).map(dumped))
    def attempt(content: bytes) -> None:
        (taken / name).write_bytes(content)
        try:
            read_report_data(taken)
        except RunError:
            return

    attempt()
    shutil.copy(made / name, taken / name)


def test_a_forged_run_is_done_again(made: Path, taken: Path) -> None:
    """What a run lacks shows before it is taken for one, whatever its request says."""
    place = "erm/seed-0/run.json"
    fields = json.loads((made / place).read_text())

    @times(600)
    @given(forged(fields))
    def attempt(changed: dict[str, Any]) -> None:
        (taken / place).write_bytes(dumped(changed))
        run = Store(taken).read("erm", 0, fields["request"])
        if run is not None:
            from fairvision.comparison.summary import summarize

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                summarize([run])

    attempt()
    shutil.copy(made / place, taken / place)


def test_forged_predictions_are_done_again(made: Path, taken: Path) -> None:
    place = "erm/seed-0/predictions.npz"
    request = json.loads((made / "erm/seed-0/run.json").read_text())["request"]
    whole = (made / place).read_bytes()
    right = Store(made).read("erm", 0, request)
    assert right is not None

    @times(400)
    @given(damaged(whole))
    def attempt(content: bytes) -> None:
        (taken / place).write_bytes(content)
        found = Store(taken).read("erm", 0, request)
        if found is not None:  # the zip's own checksums keep the numbers
            np.testing.assert_array_equal(found.y_pred, right.y_pred)

    attempt()
    shutil.copy(made / place, taken / place)


@pytest.mark.parametrize(
    "arrays",
    [
        {"rows": np.zeros((24, 2), int)},
        {"rows": np.full(24, -1)},
        {"rows": np.array(["a"] * 24)},
        {"y_pred": np.array(["<b>"] * 24)},
        {"y_true": np.full(24, np.nan)},
        {"y_score": np.full(24, np.inf)},
        {"y_score": np.zeros((7, 2))},
        {"y_score": np.array(["a"] * 24)},
    ],
    ids=lambda arrays: "-".join(arrays),
)
def test_predictions_of_other_rows_are_done_again(
    made: Path, tmp_path: Path, arrays: dict[str, Any]
) -> None:
    """By `compare`, which reads them and goes on to compute with them."""
    out = tmp_path / "out"
    shutil.copytree(made, out)
    place = out / "erm" / "seed-0" / "predictions.npz"
    with np.load(place) as whole:
        np.savez(place, **{**whole, **arrays})
    request = json.loads((out / "erm/seed-0/run.json").read_text())["request"]
    assert Store(out).read("erm", 0, request) is None


def test_rows_that_the_data_lack_are_done_again(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(made, out)
    place = out / "erm" / "seed-0" / "predictions.npz"
    with np.load(place) as whole:
        np.savez(place, **{**whole, "rows": np.full(24, 10**9)})
    found = compare(out)
    assert found.reused == 0
    assert found.runs[0].rows.max() < 80


@times(300)
@given(data=st.data())
def test_forged_plans(made: Path, taken: Path, data: Any) -> None:
    value = json.loads((made / "plan.json").read_text())
    (taken / "plan.json").write_bytes(dumped(data.draw(forged(value) | LEAVES)))
    with contextlib.suppress(RunError):
        Store(taken)._stored()
    shutil.copy(made / "plan.json", taken / "plan.json")


@pytest.mark.parametrize("name", FILES)
def test_brackets_without_end(made: Path, tmp_path: Path, name: str) -> None:
    """Deeper than any reader of JSON goes."""
    folder = tmp_path / "folder"
    shutil.copytree(made, folder)
    (folder / name).write_text("[" * 100_000)
    report(folder)
    with contextlib.suppress(RunError):
        Store(folder)._stored()


@pytest.mark.parametrize("label", [n for n in NASTY if n])
def test_labels_name_folders_below_the_results_only(tmp_path: Path, label: str) -> None:
    store = Store(tmp_path / "out")
    folder = store.folder(label, 0)
    assert folder.parent.parent == store.out
    assert len(folder.parent.name) < 100
    assert folder.parent.name.isprintable()


@pytest.mark.parametrize("scratch", [".report.html.partial", "report.html"])
def test_a_link_laid_in_the_way_is_not_followed(made: Path, tmp_path: Path, scratch: str) -> None:
    """A folder from a stranger may hold a link to what is dear to the reader."""
    folder, dear = tmp_path / "folder", tmp_path / "dear"
    shutil.copytree(made, folder)
    dear.write_text("dear")
    (folder / scratch).unlink(missing_ok=True)
    (folder / scratch).symlink_to(dear)
    result = CliRunner().invoke(main, ["report", str(folder)])
    assert dear.read_text() == "dear"
    assert result.exit_code in (0, 2)
    if result.exit_code == 0:
        assert not (folder / "report.html").is_symlink()


@pytest.mark.parametrize("name", [".lock", ".plan.json.partial", "plan.json", "erm", "erm/seed-0"])
@pytest.mark.parametrize("rerun", [False, True])
def test_nor_by_a_comparison(made: Path, tmp_path: Path, name: str, rerun: bool) -> None:
    """Not written through, and not emptied through."""
    folder, dear = tmp_path / "folder", tmp_path / "dear"
    shutil.copytree(made, folder)
    if (folder / name).exists():
        (folder / name).rename(dear)
    else:
        dear.write_text("dear")
    (folder / name).symlink_to(dear)
    before = tree(tmp_path)
    with pytest.raises(RunError, match="is a link, which could lead out"):
        compare(folder, rerun=rerun)
    assert tree(tmp_path) == before


def test_the_copies_are_whole_after_all(made: Path, taken: Path) -> None:
    for name in FILES:
        assert (made / name).read_bytes() == (taken / name).read_bytes()
    assert "Report:" in report(taken)
