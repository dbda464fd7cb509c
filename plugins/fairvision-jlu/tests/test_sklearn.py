from __future__ import annotations

from zlib import crc32

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from fairvision.exceptions import GroupsRequiredError
from fairvision_jlu import JLUClassifier

# Some of the checks compare two trainings bit for bit.
pytestmark = pytest.mark.cpu


class WithGroups(JLUClassifier):
    """Supplies what scikit-learn's checks do not know of: groups, read off each row."""

    def fit(self, X, y, *, sample_weight=None):
        return super().fit(X, y, sensitive_features=groups_of(X), sample_weight=sample_weight)


def groups_of(X):
    """The same for the same row wherever it stands, since checks drop and repeat rows."""
    try:
        total = np.asarray(X).astype(float).sum(axis=1)
    except (TypeError, ValueError):
        return None  # not a table: the estimator says so before it looks at groups
    groups = [crc32(f"{value:.9g}".encode()) % 2 for value in total]
    return groups if len(set(groups)) == 2 else np.arange(len(groups)) % 2


# Some checks have labels drawn at random: a model that then guesses one class says so.
@pytest.mark.filterwarnings(
    "ignore::fairvision.exceptions.CollapseWarning",
    "ignore::numpy.exceptions.ComplexWarning",  # of our own cast above
)
@parametrize_with_checks([WithGroups(alpha=0.1, max_epochs=30, lr=1e-2, random_state=0)])
def test_every_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


@pytest.fixture
def model() -> JLUClassifier:
    return JLUClassifier("mlp", max_epochs=2, random_state=0)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_clone_keeps_every_parameter(model):
    model.set_params(alpha=0.4, head_solver="adam", standardize=False)
    assert clone(model).get_params() == model.get_params()


@pytest.mark.usefixtures("routing")
def test_pipeline(model, biased):
    pipeline = Pipeline([("invert", FunctionTransformer(lambda x: 255 - x)), ("jlu", model)])
    pipeline.fit(biased.images, biased.target, sensitive_features=biased.groups)
    assert pipeline.score(biased.images, biased.target) > 0.6
    with pytest.raises(GroupsRequiredError):
        pipeline.fit(biased.images, biased.target)


@pytest.mark.usefixtures("routing")
def test_grid_search_over_alpha(model, biased):
    search = GridSearchCV(model, {"alpha": [0, 1]}, cv=2, error_score="raise")
    search.fit(biased.images, biased.target, sensitive_features=biased.groups)
    assert len(search.cv_results_["params"]) == 2
    assert search.predict(biased.images[:5]).shape == (5,)


@pytest.mark.usefixtures("routing")
def test_cross_validate_cuts_groups_with_the_rows(model, biased):
    found = cross_validate(
        model,
        biased.images,
        biased.target,
        cv=3,
        params={"sensitive_features": biased.groups},
        error_score="raise",
        return_estimator=True,
    )
    assert (found["test_score"] > 0.5).all()
    assert [m.sensitive_categories_[0].tolist() for m in found["estimator"]] == [["no", "yes"]] * 3
