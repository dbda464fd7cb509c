"""fairlearn's exponentiated gradient around nets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fairlearn.reductions import DemographicParity
from sklearn.base import clone
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.exceptions import GroupsRequiredError, InputError
from fairvision.nn import TorchClassifier
from fairvision.toolkits import ExponentiatedGradientClassifier


@pytest.fixture(scope="module")
def fitted(faces: Bunch, groups: Any) -> ExponentiatedGradientClassifier:
    model = ExponentiatedGradientClassifier(
        TorchClassifier(max_epochs=3, random_state=0), max_iter=3, random_state=0
    )
    return model.fit(faces.images, faces.target, sensitive_features=groups)


def test_it_is_a_mixture(fitted: Any, faces: Bunch) -> None:
    assert fitted.shares_.sum() == pytest.approx(1)
    assert len(fitted.estimators_) == len(fitted.shares_)
    votes = [e.predict(faces.images) for e in fitted.estimators_]
    positive = fitted.predict_proba(faces.images)[:, 1]
    np.testing.assert_allclose(positive, fitted.shares_ @ np.stack(votes))
    drawn = fitted.predict(faces.images)
    np.testing.assert_array_equal(drawn, fitted.predict(faces.images))
    np.testing.assert_array_equal(drawn[positive == 1], 1)
    assert fitted.n_trainings_ >= 3
    assert fitted.n_steps_ % fitted.n_trainings_ == 0


def test_with_a_bound_that_nothing_breaks_it_is_plain_training(
    faces: Bunch, groups: Any, erm: TorchClassifier
) -> None:
    model = ExponentiatedGradientClassifier(erm, difference_bound=1.0, max_iter=2)
    model.fit(faces.images, faces.target, sensitive_features=groups)
    plain = clone(erm).fit(
        faces.images, faces.target, sample_weight=np.full(len(faces.target), 1.0)
    )
    np.testing.assert_array_equal(
        model.predict_proba(faces.images)[:, 1], plain.predict(faces.images)
    )


def test_labels_constraints_and_columns(faces: Bunch, erm: TorchClassifier) -> None:
    y = np.array(["no", "yes"])[faces.target]
    columns = faces.attributes[["skin_group", "hat"]]
    for constraints in ("demographic_parity", DemographicParity(difference_bound=0.1)):
        model = fv.make(
            "exponentiated-gradient", estimator=erm, constraints=constraints, max_iter=1
        ).fit(faces.images, y, sensitive_features=columns)
        assert set(model.predict(faces.images)) <= {"no", "yes"}


def test_no_training_image_is_kept(fitted: Any) -> None:
    import pickle

    reduction = fitted.exponentiated_gradient_
    assert all(p.images is None for p in reduction.predictors_ if hasattr(p, "images"))
    again = pickle.loads(pickle.dumps(fitted))
    assert again.shares_.tolist() == fitted.shares_.tolist()


def test_what_is_refused(faces: Bunch, groups: Any, erm: TorchClassifier) -> None:
    X, y = faces.images, faces.target
    with pytest.raises(GroupsRequiredError):
        ExponentiatedGradientClassifier(erm).fit(X, y)
    with pytest.raises(InputError, match="equalized_odds"):
        ExponentiatedGradientClassifier(erm, constraints="equal").fit(
            X, y, sensitive_features=groups
        )
    with pytest.raises(InputError, match="two classes"):
        ExponentiatedGradientClassifier(erm).fit(X, np.arange(300) % 3, sensitive_features=groups)
