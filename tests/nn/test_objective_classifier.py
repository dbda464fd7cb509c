"""Thin classifiers around an objective: parameters, signatures, and one place for each of them."""

from __future__ import annotations

import inspect
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import fairvision as fv
from fairvision.exceptions import GroupsRequiredError, InputError
from fairvision.nn import Objective, ObjectiveClassifier, Step, TorchClassifier, cross_entropy

pytestmark = pytest.mark.cpu


class Weighted(Objective):
    """Plain training, the loss times a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def step(self, module: Any, batch: Any) -> Step:
        logits = module(batch.images)
        loss = cross_entropy(logits, batch.targets, batch.weights)
        return Step(self.factor * loss, logits)


class WeightedClassifier(ObjectiveClassifier):
    objective_class = Weighted


def test_the_signature_names_every_parameter_of_both() -> None:
    names = list(inspect.signature(WeightedClassifier).parameters)
    training = list(inspect.signature(TorchClassifier).parameters)
    assert names == ["backbone", "factor", *(n for n in training[1:] if n != "objective")]
    model = WeightedClassifier("mlp", factor=2.0, lr=0.1)
    assert model.get_params()["factor"] == 2.0
    assert clone(model).set_params(factor=3.0).make_objective().factor == 3.0
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        WeightedClassifier(facto=1.0)


def test_a_parameter_of_both_is_refused_when_the_class_is_made() -> None:
    class Clashing(Objective):
        def __init__(self, lr: float = 1.0) -> None:
            self.lr = lr

    with pytest.raises(TypeError, match=r"both have the parameter\(s\) lr\. Rename"):
        type("ClashingClassifier", (ObjectiveClassifier,), {"objective_class": Clashing})


def test_with_an_objective_as_parameter_it_is_the_same_model(pictures: Any) -> None:
    params: dict[str, Any] = {"max_epochs": 2, "batch_size": 16, "random_state": 0}
    X, y = pictures.images, pictures.target
    thin = WeightedClassifier("mlp", factor=0.5, **params).fit(X, y)
    plain = TorchClassifier("mlp", objective=Weighted(0.5), **params).fit(X, y)
    np.testing.assert_array_equal(thin.predict_proba(X), plain.predict_proba(X))


def test_the_objective_is_tuned_and_not_changed_by_fit(pictures: Any) -> None:
    objective = Weighted()
    model = TorchClassifier("mlp", objective=objective, max_epochs=1, random_state=0)
    search = GridSearchCV(model, {"objective__factor": [0.0, 1.0]}, cv=2, refit=False)
    search.fit(pictures.images, pictures.target)
    assert search.cv_results_["param_objective__factor"].tolist() == [0.0, 1.0]
    assert vars(objective) == {"factor": 1.0}


def test_what_is_no_objective_is_named(pictures: Any) -> None:
    with pytest.raises(InputError, match=r"objective is 'focal'; pass an instance of a subclass"):
        TorchClassifier("mlp", objective="focal").fit(pictures.images, pictures.target)


def test_groups_are_required_where_the_objective_needs_them(pictures: Any) -> None:
    class Needy(Weighted):
        needs_groups = True

    model = TorchClassifier("mlp", objective=Needy())
    with pytest.raises(GroupsRequiredError, match="TorchClassifier needs sensitive_features"):
        model.fit(pictures.images, pictures.target)


def test_a_saved_objective_comes_back(pictures: Any, tmp_path: Any) -> None:
    X, y = pictures.images, pictures.target
    model = TorchClassifier("mlp", objective=Weighted(0.5), max_epochs=1, random_state=0).fit(X, y)
    path = fv.save(model, tmp_path / "model")
    again = fv.load(path, objects={"objective": Weighted(0.5)})
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


@pytest.mark.slow
def test_a_new_training_parameter_needs_no_other_edit() -> None:
    """One is added to `TorchClassifier` alone; every in-processing method then takes it."""
    code = """
        import inspect
        from fairvision.nn import classifier

        init = classifier.TorchClassifier.__init__
        new = inspect.Parameter("swa", inspect.Parameter.KEYWORD_ONLY, default=False)

        def __init__(self, *args, swa=False, **params):
            init(self, *args, **params)
            self.swa = swa

        signature = inspect.signature(init)
        __init__.__signature__ = signature.replace(parameters=[*signature.parameters.values(), new])
        classifier.TorchClassifier.__init__ = __init__

        import fairvision as fv
        from fairvision.nn import TorchClassifier

        asked = 0
        for method in fv.methods(stage="in"):
            model = fv.make(method.qualified_name)
            name = "swa" if isinstance(model, TorchClassifier) else "estimator__swa"
            if name != "swa" and model.estimator is None:
                model.set_params(estimator=TorchClassifier())
            model.set_params(**{name: True})
            assert model.get_params()[name] is True, method.name
            asked += 1
        print(asked)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 2
