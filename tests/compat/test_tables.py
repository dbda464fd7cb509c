"""Tables still work: a real one, where people know the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fairvision as fv
from fairvision.nn import TorchClassifier

cell = pytest.mark.cell


@pytest.fixture(scope="module")
def diabetes() -> Any:
    """Progression above the median from ten columns; the group is the recorded sex."""
    X, progression = load_diabetes(return_X_y=True, as_frame=True)
    y = (progression > progression.median()).astype(int).to_numpy()
    sex = np.where(X["sex"] > 0, "one", "other")
    return train_test_split(X, y, sex, test_size=0.4, random_state=0)


@cell("tables", "`TorchClassifier` on a pandas table through `mlp`, as good as logistic regression")
def test_a_net_on_a_table(diabetes: Any) -> None:
    X, X_test, y, y_test, *_ = diabetes
    net = make_pipeline(StandardScaler(), TorchClassifier(max_epochs=20, random_state=0))
    linear = make_pipeline(StandardScaler(), LogisticRegression())
    ours, theirs = (
        roc_auc_score(y_test, model.fit(X, y).predict_proba(X_test)[:, 1])
        for model in (net, linear)
    )
    assert theirs > 0.8
    assert ours > theirs - 0.05


@cell("tables", "a pre- and a post-processing method around it, evaluated by group")
def test_methods_on_a_table(diabetes: Any) -> None:
    X, X_test, y, y_test, sex, sex_test = diabetes
    model = fv.compose(
        pre=fv.make("reweighing"),
        model=TorchClassifier(max_epochs=20, random_state=0),
        post=fv.make("threshold-optimizer", constraints="demographic_parity", random_state=0),
    )
    model.fit(X.to_numpy(), y, sensitive_features=sex)
    found = fv.evaluate(model, X_test.to_numpy(), y_test, sensitive_features=sex_test, n_boot=0)
    assert found.overall["accuracy"] > 0.6
    assert set(found.by_group.index) == {"one", "other"}
