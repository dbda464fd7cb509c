"""The page of an evaluation."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fairvision.metrics import evaluate_predictions
from fairvision.reports import evaluation_page


@pytest.fixture
def predictions() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    y, score = rng.integers(0, 2, 300), rng.random(300)
    return {"y_true": y, "y_pred": (score > 0.5).astype(int), "y_score": score}


def test_numbers_and_pictures(predictions: dict[str, np.ndarray], parse: Any) -> None:
    groups = pd.DataFrame({"skin": list("abc") * 100, "sex": list("mw") * 150})
    found = evaluate_predictions(
        **predictions, sensitive_features=groups, n_boot=30, random_state=0
    )
    page = parse(evaluation_page(found, source="a.csv", command="fairvision audit a.csv"))
    assert "Audit of a.csv" in page.text
    assert "300 predictions in 6 groups of skin × sex" in page.text
    assert "The positive class is '1'." in page.text
    shown = {a.get("data-value") for a in page.all("td")}
    for one in (found, *found.by_attribute.values()):
        values = one.by_group_intervals["value"].xs("accuracy", level="metric")
        assert {str(value) for value in values} <= shown
        assert {str(v) for v in one.disparities["value"].dropna()} <= shown
    for picture in page.all("img"):
        assert picture["src"].startswith("data:image/svg+xml;base64,")
        assert len(picture["alt"]) > 20
    assert "fairvision audit a.csv" in page.text


def test_hostile_names(predictions: dict[str, np.ndarray], parse: Any, names: Any) -> None:
    groups = pd.DataFrame({names[1]: np.array(names)[np.arange(300) % 3]})
    found = evaluate_predictions(**predictions, sensitive_features=groups, n_boot=0)
    page = parse(evaluation_page(found, source=names[0], command=names[1], failed=names))
    assert len(page.all("script")) == 1
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    assert all(a["src"].startswith("data:") for a in page.all("img"))


def test_undefined_is_said(predictions: dict[str, np.ndarray], parse: Any) -> None:
    y = predictions["y_true"].copy()
    groups = np.array(list("ab") * 150)
    y[groups == "b"] = 0
    found = evaluate_predictions(y, predictions["y_pred"], sensitive_features=groups, n_boot=0)
    page = parse(evaluation_page(found))
    alts = [a["alt"] for a in page.all("img") if a["alt"].startswith("true positive rate")]
    assert "b (n=150) undefined" in alts[0]


def test_many_classes_and_many_groups(parse: Any) -> None:
    rng = np.random.default_rng(0)
    y, predicted = rng.integers(0, 4, (2, 2000))
    groups = rng.integers(0, 40, 2000)
    found = evaluate_predictions(y, predicted, sensitive_features=groups, n_boot=10)
    page = parse(evaluation_page(found))
    assert "Pictures show the groups with the lowest rates; the table has all." in page.text
    hero = base64.b64decode(page.all("img")[0]["src"].partition(",")[2]).decode()
    assert hero.count("(n=") == 24
    assert len(page.all("tr")) > 40
