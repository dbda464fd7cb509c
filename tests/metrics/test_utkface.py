"""Real predictions: a linear classifier of perceived gender on UTKFace thumbnails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fairlearn.metrics as fl
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fairvision.metrics import Evaluation, evaluate, leakage

ROOT = os.environ.get("FAIRVISION_UTKFACE", "")
pytestmark = pytest.mark.skipif(
    not ROOT or not Path(ROOT).is_dir(), reason="FAIRVISION_UTKFACE names no folder"
)
RACES = ("white", "black", "asian", "indian", "other")


def thumbnail(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        image.draft("L", (64, 64))  # decodes at a fraction of the size
        return np.asarray(image.convert("L").resize((16, 16))).reshape(-1) / 255


@pytest.fixture(scope="module")
def faces() -> tuple[Any, pd.DataFrame]:
    paths = sorted(p for p in Path(ROOT).rglob("*.jpg*") if len(p.name.split("_")) == 4)
    order = np.random.default_rng(0).permutation(len(paths))[:1500]
    chosen = [paths[i] for i in order]
    parts = [path.name.split("_")[:3] for path in chosen]
    table = pd.DataFrame(
        {
            "gender": [("male", "female")[int(g)] for _, g, _ in parts],
            "race": [RACES[int(r)] for _, _, r in parts],
            "age": pd.cut(
                [int(a) for a, _, _ in parts],
                [-1, 17, 40, 200],
                labels=["under 18", "18 to 40", "over 40"],
            ),
        }
    )
    return np.array([thumbnail(path) for path in chosen]), table


@pytest.fixture(scope="module")
def found(faces: tuple[Any, pd.DataFrame]) -> tuple[Evaluation, Any]:
    X, table = faces
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    model.fit(X[:750], table["gender"][:750])
    evaluation = evaluate(
        model,
        X[750:],
        table["gender"][750:],
        sensitive_features=table[["race", "age"]][750:],
        metrics="all",
        n_boot=200,
        random_state=0,
        privileged={"race": "white"},
        train=(table["gender"][:750], table[["race", "age"]][:750]),
    )
    return evaluation, model


def test_real_predictions_agree_with_the_toolkits(
    faces: tuple[Any, pd.DataFrame], found: tuple[Evaluation, Any]
) -> None:
    X, table = faces[0][750:], faces[1][750:]
    evaluation, model = found
    true, predicted = (
        (table["gender"] == "male").astype(int),
        (model.predict(X) == "male").astype(int),
    )
    by_race = evaluation.by_attribute["race"]
    assert by_race.pos_label == "male"
    assert evaluation.overall["accuracy"] > 0.65  # it learned something
    value, race = by_race.disparities["value"], table["race"].to_numpy()
    for name in ("demographic_parity_difference", "equalized_odds_difference"):
        theirs = getattr(fl, name)(true, predicted, sensitive_features=race)
        assert value[name] == pytest.approx(theirs, abs=1e-12)
    score = model.predict_proba(X)[:, 1]
    assert evaluation.overall["roc_auc"] == pytest.approx(sk.roc_auc_score(true, score), abs=1e-12)
    frame = by_race.metric_frame.by_group
    pd.testing.assert_frame_equal(
        frame.drop(columns="count"),
        by_race.by_group[frame.columns.drop("count")].astype(float),
        check_names=False,
        rtol=1e-12,
    )
    aif = by_race.classification_metric
    assert aif.average_odds_difference() == pytest.approx(
        value["average_odds_difference_signed"], abs=1e-12
    )
    assert aif.theil_index() == pytest.approx(value["theil_index"], abs=1e-12)


def test_rare_crossings_are_flagged_not_zeroed(found: tuple[Evaluation, Any]) -> None:
    evaluation, _ = found
    rows = evaluation.by_group
    small = rows[(rows["positives"] < 10) | (rows["negatives"] < 10)]
    assert len(small) > 0
    assert small["note"].str.contains("only").all()
    lacking = rows[rows["positives"] == 0]
    assert lacking["true_positive_rate"].isna().all()
    defined = evaluation.disparities["value"].notna()
    assert (evaluation.disparities.loc[~defined, "note"] != "").all()


def test_pixels_leak_perceived_race(faces: tuple[Any, pd.DataFrame]) -> None:
    X, table = faces
    white = np.where(table["race"] == "white", "white", "other")
    probed = leakage(X, white, y=table["gender"], cv=3, random_state=0)
    row = probed.loc["target_balanced_accuracy"]
    assert row["lower"] > row["chance"]
