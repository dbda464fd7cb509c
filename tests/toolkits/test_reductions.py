"""fairlearn's exponentiated gradient around nets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fairlearn.reductions import DemographicParity
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.datasets import biased_split, load_faces
from fairvision.exceptions import ConstraintMetWarning, GroupsRequiredError, InputError
from fairvision.nn import TorchClassifier
from fairvision.toolkits import ExponentiatedGradientClassifier

pytestmark = pytest.mark.cpu


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
    # Plain training, which fairlearn asks for time and again, was done once.
    assert fitted.n_trainings_ < fitted.exponentiated_gradient_.n_oracle_calls_
    assert fitted.n_steps_ % fitted.n_trainings_ == 0


@pytest.fixture(scope="module")
def parts() -> tuple[Bunch, Bunch]:
    """Faces of which nine in ten show the smile with the same skin, and faces without the bias."""
    faces = load_faces(1500, 24, target="smiling", sensitive="skin_group", random_state=0)
    groups = faces.sensitive_features["skin_group"].to_numpy(str)
    rows = biased_split(
        faces, confounder=groups, confounding=0.9, n_train=400, n_test=200, random_state=0
    )
    train, test = (
        Bunch(images=faces.images[r], target=faces.target[r], groups=groups[r])
        for r in (rows.train, rows.test)
    )
    return train, test


@pytest.fixture(scope="module")
def confounded(parts: tuple[Bunch, Bunch]) -> Bunch:
    return parts[0]


def gap(data: Bunch, positive: Any) -> float:
    """The equalized odds difference of a chance of the positive label."""
    rates = [
        [positive[(data.target == c) & (data.groups == g)].mean() for g in np.unique(data.groups)]
        for c in (0, 1)
    ]
    return float(np.ptp(rates, axis=1).max())


def test_it_closes_the_gap_that_an_underfitted_net_leaves(confounded: Bunch) -> None:
    net = TorchClassifier(max_epochs=3, random_state=0)
    plain = clone(net).fit(confounded.images, confounded.target).predict(confounded.images)
    model = fv.make("exponentiated-gradient", estimator=net, random_state=0)
    model.fit(confounded.images, confounded.target, sensitive_features=confounded.groups)
    mixed = model.predict_proba(confounded.images)[:, 1]
    assert gap(confounded, plain) > 0.3
    # Each group within 0.02 of all, in which the larger group has its share.
    assert gap(confounded, mixed) < 0.04
    assert np.mean(mixed != plain) > 0.01
    assert len(model.shares_) > 1
    assert model.n_trainings_ <= 13


def test_every_classifier_has_its_own_share(confounded: Bunch) -> None:
    left_out = 0
    for seed in range(3):
        net = TorchClassifier("mlp", max_epochs=2, random_state=seed)
        model = ExponentiatedGradientClassifier(net, max_iter=4, run_linprog_step=False)
        model.fit(confounded.images, confounded.target, sensitive_features=confounded.groups)
        reduction = model.exponentiated_gradient_
        theirs = reduction.weights_[reduction.weights_ > 0]
        left_out += int(theirs.index.max() >= len(theirs))
        shares = {id(e): s for e, s in zip(model.estimators_, model.shares_, strict=True)}
        for place, share in theirs.items():
            assert shares.pop(id(reduction.predictors_[place].estimator_)) == pytest.approx(share)
        assert not shares
    assert left_out, "no classifier without a share lies between two others: nothing was tested"


@pytest.mark.parametrize("bound", [0.02, 1.0])
def test_plain_training_that_satisfies_the_constraint_is_the_result(
    confounded: Bunch, bound: float
) -> None:
    epochs = 10 if bound < 1 else 1  # it fits its rows, or need not
    net = TorchClassifier(max_epochs=epochs, random_state=0)
    model = ExponentiatedGradientClassifier(net, difference_bound=bound)
    with pytest.warns(ConstraintMetWarning, match="ERM training already satisfies equalized"):
        model.fit(confounded.images, confounded.target, sensitive_features=confounded.groups)
    plain = clone(net).fit(confounded.images, confounded.target).predict(confounded.images)
    assert model.n_trainings_ == 1
    assert model.shares_.tolist() == [1]
    assert model.exponentiated_gradient_ is None
    np.testing.assert_array_equal(model.predict(confounded.images), plain)


@pytest.mark.slow
def test_on_rows_held_out_a_net_that_fits_its_own_leaves_a_gap_to_close(
    parts: tuple[Bunch, Bunch],
) -> None:
    train, test = parts
    net = TorchClassifier(max_epochs=8, random_state=0)
    plain = clone(net).fit(train.images, train.target)
    assert np.mean(plain.predict(train.images) == train.target) > 0.98
    model = ExponentiatedGradientClassifier(net, constraint_fraction=0.3, random_state=0)
    model.fit(train.images, train.target, sensitive_features=train.groups)
    search = model.exponentiated_gradient_
    moment = getattr(search, "constraints_", search.constraints)  # fairlearn's name changed
    assert len(moment.X) == pytest.approx(120, abs=2)
    before = gap(test, plain.predict(test.images))
    assert gap(test, model.predict_proba(test.images)[:, 1]) < before - 0.15


def test_what_is_asked_of_a_held_out_cell_is_asked_of_the_trained(confounded: Bunch) -> None:
    asked: list[Any] = []

    class Noting(LogisticRegression):
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
            asked.append((X[:, 0].astype(int), y, sample_weight))
            return super().fit(X, y, sample_weight)

    pixels = confounded.images.reshape(400, -1)[:, ::37] / 255.0
    numbered = np.column_stack([np.arange(400), pixels])
    cells = np.unique(
        [f"{c} {g}" for c, g in zip(confounded.target, confounded.groups, strict=True)],
        return_inverse=True,
    )[1]
    model = ExponentiatedGradientClassifier(
        Noting(C=1e-3, max_iter=5000), constraint_fraction=0.25, random_state=0
    )
    model.fit(numbered, confounded.target, sensitive_features=confounded.groups)
    held = set(range(400)) - set(asked[0][0].tolist())
    assert len(held) == pytest.approx(100, abs=2)
    assert len(asked) == model.n_trainings_ > 1
    for rows, labels, weights in asked:
        assert held.isdisjoint(rows.tolist())
        assert weights.mean() == pytest.approx(1)
        for cell in range(4):  # one label and one weight for all of a cell
            here = cells[rows] == cell
            assert np.ptp(labels[here]) == 0
            assert np.ptp(weights[here]) == pytest.approx(0, abs=1e-9)
    assert np.ptp(asked[-1][2]) > 0


def test_labels_constraints_and_columns(faces: Bunch, erm: TorchClassifier) -> None:
    y = np.array(["no", "yes"])[faces.target]
    columns = faces.attributes[["skin_group", "hat"]]
    for constraints in ("demographic_parity", DemographicParity(difference_bound=0.01)):
        model = fv.make(
            "exponentiated-gradient", estimator=erm, constraints=constraints, max_iter=1
        ).fit(faces.images, y, sensitive_features=columns)
        assert set(model.predict(faces.images)) <= {"no", "yes"}


def test_no_training_image_is_kept(fitted: Any) -> None:
    import pickle

    reduction = fitted.exponentiated_gradient_
    assert all(p.trainer.images is None for p in reduction.predictors_ if hasattr(p, "trainer"))
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
    weighted = clone(erm).set_params(class_weight="balanced")
    with pytest.raises(InputError, match="class_weight of TorchClassifier is 'balanced'"):
        ExponentiatedGradientClassifier(weighted).fit(X, y, sensitive_features=groups)
    with pytest.raises(InputError, match="constraint_fraction is 1"):
        ExponentiatedGradientClassifier(erm, constraint_fraction=1).fit(
            X, y, sensitive_features=groups
        )
    with pytest.raises(InputError, match="two classes"):
        ExponentiatedGradientClassifier(erm).fit(X, np.arange(300) % 3, sensitive_features=groups)
