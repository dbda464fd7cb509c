"""The page of a comparison: what it says, what it escapes, what it does not load."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.utils import Bunch

from fairvision.comparison import Comparison, read_report_data
from fairvision.comparison.report_data import report_data
from fairvision.reports import comparison_page
from fairvision.reports._comparison import _points, _rows, _sentence, table_of
from fairvision.reports._draw import Point, front
from fairvision.reports._page import Album
from fairvision.reports._words import Estimate

Finished = tuple[Comparison, Path]


@pytest.fixture(scope="module")
def page(finished: Finished, parse: Any) -> Any:
    return parse((finished[1] / "report.html").read_text(encoding="utf-8"))


def test_the_folder_has_the_page_of_its_numbers(finished: Finished, tmp_path: Path) -> None:
    found, out = finished
    held = (out / "report.html").read_bytes()
    assert comparison_page(read_report_data(out)).encode() == held
    assert found.report(tmp_path / "new" / "page.html").read_bytes() == held
    assert len(held) < 1_000_000


def test_a_page_is_drawn_without_torch(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text(json.dumps(finished[0].report_data(), default=str))
    code = (
        "import json, sys; from fairvision.reports import comparison_page\n"
        "page = comparison_page(json.load(open(sys.argv[1])))\n"
        "print(len(page) > 10000, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "data.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_every_number_of_the_table(finished: Finished, page: Any) -> None:
    found, _ = finished
    cells = [a["data-value"] for a in page.all("td") if "data-value" in a]
    shown = {float(cell) for cell in cells if re.fullmatch(r"[\d.e-]+", cell)}
    for key in ("accuracy", "worst_group_accuracy", "equalized_odds_difference"):
        for method in ("erm", "slow"):
            assert found.summary.loc[(method, key), "value"] in shown
    difference = found.differences.loc[("slow", "accuracy"), "value"]
    assert f"{difference:+.3f}".replace("-", "−") in page.text


def test_every_part_is_there(page: Any) -> None:
    linked = {a["href"] for a in page.all("a") if a["href"].startswith("#")}
    made = {f"#{a['id']}" for _, a in page.elements if "id" in a}
    wanted = {"table", "groups", "needs", "worst", "calibration", "features", "training", "cite"}
    assert {f"#{name}" for name in wanted} <= linked == linked & made
    assert "2 methods on “faces”" in page.text
    assert "probe reads hat: " in page.text
    assert "fairvision compare --dataset faces" not in page.text  # `slow` is no name for the shell
    assert "fairvision.compare( 'faces', {'erm'" in page.text


def test_every_picture_is_inside_and_has_words(page: Any) -> None:
    pictures = page.all("img")
    assert len(pictures) >= 1 + 2 * 4
    for picture in pictures:
        assert picture["src"].startswith("data:image/")
        assert len(picture["alt"]) > 20
    hero = base64.b64decode(pictures[0]["src"].partition(",")[2]).decode()
    assert ">slow<" in hero
    assert "equalized odds difference" in hero
    assert "slow: accuracy" in pictures[0]["alt"]


def loads_nothing(page: Any) -> bool:
    loaders = {"link", "iframe", "object", "embed", "video", "audio", "source", "form", "base"}
    addresses = [
        a[key] for _, a in page.elements for key in ("src", "srcset", "poster") if key in a
    ]
    return not loaders & {tag for tag, _ in page.elements} and all(
        address.startswith("data:") for address in addresses
    )


def test_nothing_is_loaded(page: Any) -> None:
    assert loads_nothing(page)
    (policy,) = [a["content"] for a in page.all("meta") if "http-equiv" in a]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy.replace("style-src 'unsafe-inline'", "")


def test_hostile_labels_are_text(hostile: Comparison, parse: Any, names: Any) -> None:
    text = comparison_page(hostile.report_data())
    page = parse(text)
    assert loads_nothing(page)
    assert len(page.all("script")) == 1
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    assert names[0] in page.text
    assert "{{ 7*7 }}" in page.text
    for picture in page.all("img"):
        if picture["src"].startswith("data:image/svg"):
            code = base64.b64decode(picture["src"].partition(",")[2])
            assert b"<script" not in code
            assert b"<image" not in code
            _parses(code)


def _parses(code: bytes) -> None:
    from xml.etree import ElementTree

    ElementTree.fromstring(code)


def test_a_method_that_failed_is_shown(hostile: Comparison, parse: Any) -> None:
    text = parse(comparison_page(hostile.report_data())).text
    assert "bad" in text
    assert "failed: " in text


def test_hostile_labels_can_be_written(hostile: Comparison, tmp_path: Path, parse: Any) -> None:
    held = hostile.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert len(parse(held).all("script")) == 1


def test_sections_and_their_failures(
    with_sections: Any, small: Any, faces: Bunch, parse: Any
) -> None:
    found = with_sections(faces, {"erm": "erm"}, seeds=1, **small)
    sections = {s["name"]: s for s in found.runs[0].artifacts["sections"]}
    assert set(sections) == {"drawn", "raises", "no-figure"}
    assert sections["drawn"]["src"].startswith("data:image/png")
    page = parse(comparison_page(found.report_data()))
    assert "erm: Rows that a section <b>sees</b>" in page.text
    assert "This section failed: RuntimeError: <script>" in page.text
    assert "it returned str, not a matplotlib Figure" in page.text
    assert "Of another" not in page.text
    assert len(page.all("script")) == 1


def test_only_the_first_seed_is_kept(finished: Finished) -> None:
    found, out = finished
    assert {run.seed for run in found.runs if run.artifacts} == {0}
    kept = sorted(path.parent.name for path in out.glob("*/*/artifacts.json"))
    assert kept == ["seed-0", "seed-0"]


def test_without_evidence(small: Any, faces: Bunch, parse: Any) -> None:
    import fairvision as fv

    found = fv.compare(faces, ["erm"], seeds=1, report=False, **small)
    assert found.runs[0].artifacts is None
    assert "--no-report" in parse(comparison_page(found.report_data())).text


def test_the_worst_cell_is_what_it_says(finished: Finished) -> None:
    found, _ = finished
    for run in found.runs:
        if run.artifacts:
            worst, told = run.artifacts["worst"], run.worst_group
            assert told is not None
            assert (worst["class"], worst["n"]) == (told["class"], told["n"])
            assert 1 - worst["n_wrong"] / worst["n"] == pytest.approx(told["accuracy"])
            assert len(worst["pictures"]) == min(worst["n_wrong"], 10)


def chosen(found: Comparison, method: str) -> dict[str, Any]:
    """The report data, had validation rows chosen that method."""
    choice = {"method": method, "sentence": f"{method} is chosen."}
    return report_data(found.to_dict() | {"choice": choice}, found.runs)


def test_the_worst_cell_before_and_after(finished: Finished, parse: Any) -> None:
    facts = chosen(finished[0], "slow")
    cell = facts["before_after"]
    runs = {run.method: run for run in finished[0].runs if run.artifacts}
    worst = (runs["erm"].artifacts or {})["worst"]
    right = [runs[name].y_pred == runs[name].y_true for name in ("erm", "slow")]
    assert (cell["class"], cell["group"], cell["n"]) == tuple(
        worst[name] for name in ("class", "group", "n")
    )
    assert cell["n_right"] == [int(own[worst["rows"]].sum()) for own in right]
    assert cell["n_right"][0] == cell["n"] - worst["n_wrong"]
    for entry, own in zip(worst["sample"], cell["pictures"], strict=True):
        assert entry["row"] in worst["rows"]
        assert own["right"] == [bool(column[entry["row"]]) for column in right]
    assert len(cell["pictures"]) == min(cell["n"], 12)
    assert sum(len(entry["src"]) for entry in cell["pictures"]) < 60_000
    page = parse(comparison_page(facts))
    assert f"{cell['n_right'][0]} of its {cell['n']} test pictures are right" in page.text
    marks = re.findall(r"(before|after) ([✓✗])", page.text)
    assert sorted(marks) == sorted(
        (word, "✗✓"[mark])
        for entry in cell["pictures"]
        for word, mark in zip(("before", "after"), entry["right"], strict=True)
    )
    assert chosen(finished[0], "erm")["before_after"] is None
    assert finished[0].report_data()["before_after"] is None  # nothing was chosen


def test_a_page_without_pictures_shows_nobody(finished: Finished, parse: Any) -> None:
    page = parse(comparison_page(chosen(finished[0], "slow"), pictures=False))
    assert {picture["src"][:18] for picture in page.all("img")} == {"data:image/svg+xml"}
    assert "It holds pictures" not in page.text
    assert "drawn at random" not in page.text
    assert "to keep this file small" not in page.text


@pytest.mark.parametrize(
    "forged",
    [
        "https://evil.example/x.png",
        "data:text/html;base64,AAAA",
        "data:image/svg+xml;base64,AAAA",
        'data:image/png;base64,AA" onerror="x',
        None,
        7,
    ],
)
def test_a_forged_picture_is_not_shown(forged: Any) -> None:
    assert Album().admit(forged) is None


def test_pictures_stay_within_their_share() -> None:
    small, large = "data:image/png;base64,AAAA", "data:image/png;base64," + "A" * 80
    album = Album(limit=60)
    assert [album.admit(s) for s in (small, large, small)] == [small, None, small]
    assert album.n_left_out == 1


def point(gap: float, accuracy: float) -> Point:
    return Point("m", Estimate(gap), Estimate(accuracy), False)


def test_the_front_is_what_no_point_beats() -> None:
    points = [point(0.1, 0.6), point(0.2, 0.7), point(0.3, 0.7), point(0.05, 0.2), point(0.2, 0.6)]
    assert front(points) == [points[3], points[0], points[1]]
    rng = np.random.default_rng(0)
    many = [point(*pair) for pair in rng.random((40, 2))]
    beaten = [
        any(o.gap.value < p.gap.value and o.accuracy.value > p.accuracy.value for o in many)
        for p in many
    ]
    assert set(front(many)) == {p for p, b in zip(many, beaten, strict=True) if not b}


def _record(method: str, metric: str, *numbers: float) -> dict[str, Any]:
    return {"method": method, "metric": metric} | dict(
        zip(("value", "lower", "upper"), numbers, strict=False)
    )


@pytest.mark.parametrize(
    ("gap", "upper", "start"),
    [
        (0.1, -0.02, "new has the smallest accuracy gap, 0.100 against 0.200 of plain training"),
        (0.1, 0.02, "The accuracy gap of no method is below that of plain training (erm) by more"),
        (0.3, 0.5, "No method has a smaller accuracy gap than plain training (erm): 0.200"),
    ],
)
def test_the_sentence_says_no_more_than_the_intervals(gap: float, upper: float, start: str) -> None:
    methods = [{"label": "erm"}, {"label": "new"}]
    facts = {"baseline": "erm", "plan": {"methods": methods}, "results": []}
    summary = [
        _record("erm", "accuracy_gap", 0.2, 0.1, 0.3),
        _record("new", "accuracy_gap", gap, 0.0, 0.5),
        _record("erm", "accuracy", 0.8),
        _record("new", "accuracy", 0.7),
    ]
    differences = [
        _record("new", "accuracy_gap", gap - 0.2, gap - 0.4, upper),
        _record("new", "accuracy", -0.1, -0.2, 0.0),
    ]
    told = _sentence(facts, table_of(summary), table_of(differences), "accuracy_gap")
    assert told.startswith(start)


def test_a_gap_bought_with_accuracy_is_not_called_best() -> None:
    names = ("erm", "dear", "cheap", "control")
    facts = {
        "baseline": "erm",
        "plan": {"methods": [{"label": n, "balanced": n == "control"} for n in names]},
        "columns": {"accuracy": "accuracy", "accuracy_gap": "accuracy gap"},
        "failures": [],
        "results": [],
    }
    gaps, accuracies = (0.2, 0.01, 0.1, 0.0), (0.8, 0.5, 0.79, 0.95)
    facts["summary"] = [
        _record(name, metric, value)
        for metric, values in (("accuracy_gap", gaps), ("accuracy", accuracies))
        for name, value in zip(names, values, strict=True)
    ]
    differences = [
        _record("dear", "accuracy", -0.3, -0.35, -0.25),
        _record("dear", "accuracy_gap", -0.19, -0.25, -0.1),
        _record("cheap", "accuracy", -0.01, -0.02, 0.01),
        _record("cheap", "accuracy_gap", -0.1, -0.15, -0.05),
        _record("control", "accuracy", 0.15, 0.1, 0.2),
        _record("control", "accuracy_gap", -0.2, -0.3, -0.1),
    ]
    summary = table_of(facts["summary"])
    told = _sentence(facts, summary, table_of(differences), "accuracy_gap")
    assert told.startswith("cheap has the smallest accuracy gap of the methods that keep its accur")
    rows = _rows(facts, summary, table_of(differences))
    assert not any(row["harmful"] for row in rows)
    differences += [
        _record("dear", "worst_group_accuracy", -0.2, -0.3, -0.1),
        _record("cheap", "worst_group_accuracy", -0.2, -0.5, 0.1),
    ]
    marked = _rows(facts, summary, table_of(differences))
    assert [row["label"] for row in marked if row["harmful"]] == ["dear"]
    assert [[cell["best"] for cell in row["cells"]] for row in rows] == [
        [True, False],
        [False, False],
        [False, True],
        [False, False],
    ]
    points = _points(facts, summary, "accuracy_gap")
    # On the front stands who gives what nobody gives for less, whatever its price; no control.
    assert [p.label for p in front(points)] == ["dear", "cheap", "erm"]
    assert [p.marker for p in points] == ["s", "o", "o", "D"]


def test_a_gap_that_nobody_has(finished: Finished, parse: Any) -> None:
    facts = finished[0].report_data()
    for record in facts["summary"]:
        if record["metric"] in ("accuracy_gap", "equalized_odds_difference"):
            record |= {"value": None, "lower": None, "upper": None}
    text = parse(comparison_page(facts)).text
    assert "No method has a gap that is defined" in text
    assert "undefined" in text


def test_plot(finished: Finished) -> None:
    found, _ = finished
    axes = found.plot()
    assert axes.get_xlabel() == "equalized odds difference (smaller is better)"
    assert {"erm", "slow"} == {text.get_text() for text in axes.texts}
    assert found.plot("accuracy_gap", ax=axes) is axes
    with pytest.raises(ValueError, match=r"no_gap.*there are accuracy"):
        found.plot("no_gap")
