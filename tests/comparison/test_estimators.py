"""Anyone's estimator in a comparison: cloned, set up, identified; or one clear error."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import joblib
import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import RandomOverSampler
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.base import Resampled
from fairvision.comparison import Comparison
from fairvision.comparison.methods import plan_methods
from fairvision.comparison.plan import MethodPlan, Plan
from fairvision.comparison.run_method import build
from fairvision.exceptions import InputError, RunError
from fairvision.nn import Objective, TorchClassifier

pytestmark = pytest.mark.cpu

Compare = Callable[..., Comparison]


class Brightness(ClassifierMixin, BaseEstimator):
    """Cuts at a brightness; uses the groups only to count that it was given them."""

    def __init__(self, cut: float = 0.5, lock: Any = None, random_state: Any = None) -> None:
        self.cut = cut
        self.lock = lock
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, sensitive_features: Any = None) -> Self:
        self.n_groups_ = 0 if sensitive_features is None else len(sensitive_features)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        assert self.n_groups_ == 160
        return self.classes_[(np.asarray(X).mean((1, 2, 3)) > 255 * self.cut).astype(int)]


class FunctionClassifier(Brightness):
    def __init__(self, function: Any = None) -> None:
        self.function = function


FUNCTIONS = [lambda x: x / 2, lambda x: x / 2, lambda x: x / 3]


def planned(methods: Any, **params: Any) -> MethodPlan:
    return plan_methods(methods, preset="quick", **params)[0]


def built(value: Any, *, seed: int = 7, **plan: Any) -> Any:
    method = planned({"mine": value})
    return build(method, Plan({}, {}, (method,), (seed,), **{"max_epochs": 3, **plan}), seed)


def test_ours_and_theirs_side_by_side(compare: Compare) -> None:
    mine, tuned = Brightness(), fv.make("erm", lr=1e-4)
    found = compare({"erm": "erm", "mine": mine, "tuned": tuned, "pair": ("erm", {"lr": 1e-4})})
    assert found.failures == {}
    assert found.table()["groups seen"].to_dict()["mine"] == "fit"
    runs = {run.method: run for run in found.runs if run.seed == 0}
    np.testing.assert_array_equal(runs["tuned"].y_score, runs["pair"].y_score)
    assert runs["mine"].y_score is None
    assert vars(mine) == vars(Brightness())  # a clone was fitted
    assert "fairvision.compare(" in found.report_data()["command"]
    assert "test_estimators.Brightness(...)" in found.report_data()["command"]


def test_pixels_in_a_pipeline_and_features_in_a_table(compare: Compare, faces: Bunch) -> None:
    flat = FunctionTransformer(lambda X: np.asarray(X).reshape(len(X), -1) / 255)
    found = compare({"mine": make_pipeline(flat, DecisionTreeClassifier(max_depth=3))}, seeds=1)
    assert found.failures == {}
    means = pd.DataFrame(faces.images.mean((2, 3)) / 255, columns=["red", "green", "blue"])
    methods = {"erm": "erm", "mine": make_pipeline(StandardScaler(), LogisticRegression())}
    tables = []
    for features in (means, means.to_numpy()):
        data = Bunch(**{**faces, "images": features})
        again = compare(methods, data, seeds=1, report=True)
        assert again.failures == {}
        assert "500 rows of 3 features" in str(again)
        tables.append(again.summary)
    pd.testing.assert_frame_equal(*tables)


def test_the_seed_replaces_every_random_state() -> None:
    made = built(make_pipeline(RandomOverSampler(random_state=1), DummyClassifier(random_state=2)))
    assert [step.random_state for _, step in made.steps] == [7, 7]


def test_what_the_user_chose_stays() -> None:
    assert built(TorchClassifier()).max_epochs == 3
    assert built(TorchClassifier(max_epochs=99)).max_epochs == 99
    assert built(fv.make("erm")).max_epochs == 3  # of the preset, which nobody chose
    assert built(Resampled(RandomOverSampler(), TorchClassifier())).classifier.max_epochs == 3
    assert built(TorchClassifier(), device="cpu").device == "cpu"
    assert built(TorchClassifier(device="meta"), device="cpu").device == "meta"


def test_a_sampler_and_a_meta_estimator_get_plain_training(third_party: ModuleType) -> None:
    sampler = built(RandomOverSampler())
    assert isinstance(sampler, Resampled)
    assert isinstance(sampler.classifier, TorchClassifier)
    outer = built(third_party.Thresholds(None))
    assert isinstance(outer.estimator, TorchClassifier)
    assert (outer.estimator.max_epochs, outer.estimator.random_state) == (3, 7)
    kept = built(third_party.Thresholds(DummyClassifier()))
    assert isinstance(kept.estimator, DummyClassifier)
    # One that knows no groups is a classifier with a default of its own.
    assert built(BaggingClassifier()).estimator is None


def test_a_class_that_is_registered_keeps_its_name_and_needs() -> None:
    erm = planned({"mine": fv.make("erm", lr=0.01)})
    assert (erm.name, erm.groups_seen, erm.version) == ("fairvision:erm", "never", VERSION)
    other = planned({"mine": LogisticRegression()})
    assert other.name == "sklearn.linear_model._logistic.LogisticRegression"
    assert other.version.startswith("scikit-learn 1.")
    assert planned({"mine": Brightness()}, params={"mine": {"cut": 0.7}}).params["cut"] == 0.7


class Grouped(Objective):
    """Plain training that must be given groups."""

    needs_groups = True


def test_what_is_inside_gets_the_groups_that_it_needs() -> None:
    pytest.importorskip("fairvision_afr")
    never = fv.make("automatic-feature-reweighting", estimator=fv.make("erm"))
    assert not planned({"mine": never}).groups_at_fit
    around = fv.make(
        "automatic-feature-reweighting", estimator=TorchClassifier(objective=Grouped())
    )
    for value in (TorchClassifier(objective=Grouped()), ("erm", {"objective": Grouped()}), around):
        method = planned({"mine": value})
        assert (method.groups_at_fit, method.groups_seen) == (True, "fit")


@pytest.mark.filterwarnings("ignore::fairvision.exceptions.FairvisionWarning")
def test_an_objective_is_given_groups(compare: Compare) -> None:
    methods = {
        "mine": TorchClassifier(objective=Grouped()),
        "pair": ("erm", {"objective": Grouped()}),
    }
    found = compare(methods, seeds=1, max_epochs=1)
    assert found.failures == {}
    assert set(found.table()["groups seen"]) == {"fit"}


def test_a_grid_in_threads_is_the_serial_one(compare: Compare) -> None:
    """A run waits for those threads, so it must not hold what they wait for."""
    grid = GridSearchCV(TorchClassifier("mlp", max_epochs=1), {"lr": [0.1, 0.01]}, cv=2)
    with joblib.parallel_backend("threading", n_jobs=2):
        threads = compare({"mine": clone(grid).set_params(n_jobs=2)}, seeds=1, max_epochs=1)
    serial = compare({"mine": grid}, seeds=1, max_epochs=1)
    np.testing.assert_array_equal(threads.runs[0].y_score, serial.runs[0].y_score)


VERSION = f"fairvision {fv.__version__}"


def test_runs_are_found_again_by_class_and_parameters(compare: Compare, tmp_path: Path) -> None:
    how: Any = {"seeds": 1, "out": tmp_path / "out"}
    assert compare({"mine": Brightness()}, **how).reused == 0
    assert compare({"mine": Brightness(random_state=5)}, **how).reused == 1  # the seed decides
    with pytest.raises(RunError, match=r"mine: cut was 0\.5 and is 0\.6"):
        compare({"mine": Brightness(0.6)}, **how)
    with pytest.raises(RunError, match=r"mine: name was '\S+Brightness' and is '\S+DummyCl"):
        compare({"mine": DummyClassifier()}, **how)
    assert compare({"mine": Brightness(0.6)}, **how, rerun=True).reused == 0


def test_modules_and_nested_estimators_are_identified_by_content() -> None:
    torch = pytest.importorskip("torch")

    def params(weight: float) -> Any:
        net = torch.nn.Linear(2, 2)
        torch.nn.init.constant_(net.weight, weight)
        torch.nn.init.zeros_(net.bias)
        return planned({"m": Resampled(RandomOverSampler(), TorchClassifier(net))}).to_dict()

    assert params(1.0) == params(1.0)
    assert params(1.0) != params(2.0)
    half, same, third = (planned({"m": FunctionClassifier(f)}).params for f in FUNCTIONS)
    assert half == same != third


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (5, r"methods\['mine'\] is 5, which has no fit\. Pass the name of a method, a pair"),
        (DummyClassifier, r"a class\. Pass an object of it: DummyClassifier\(\)"),
        (DummyClassifier().fit([[0]], [0]), r"which is fitted.*sklearn\.base\.clone"),
        (LinearRegression(), "a regressor"),
        (StandardScaler(), "has no predict"),
        (None, "is None, which has no fit"),
    ],
)
def test_anything_else_is_one_clear_error(
    compare: Compare, tmp_path: Path, value: Any, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        compare({"mine": value}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_estimator_needs_a_label(compare: Compare) -> None:
    with pytest.raises(InputError, match=r'which has no label.*"my label": estimator'):
        compare(["erm", DummyClassifier()])
    labels = [m.label for m in plan_methods(["erm", {"mine": DummyClassifier()}], preset=None)]
    assert labels == ["erm", "mine"]


def test_one_that_cannot_be_cloned_or_sent(compare: Compare) -> None:
    class Odd(DummyClassifier):
        def __init__(self, strategy: str = "prior") -> None:
            super().__init__(strategy=strategy.upper())

    with pytest.raises(InputError, match=r"methods\['mine'\] cannot be cloned: RuntimeError"):
        compare({"mine": Odd()})

    class Locked(BaseEstimator):
        def __init__(self, lock: Any = None) -> None:
            self.lock = lock

        def __sklearn_clone__(self) -> Self:
            return self

    held = clone(Brightness()).set_params(lock=Locked(threading.Lock()))
    words = r"methods\['mine'\] cannot be sent to a worker process: TypeError.*Pass n_jobs=1"
    with pytest.raises(InputError, match=words):
        compare({"mine": held}, n_jobs=2)


def test_a_class_typed_into_a_notebook(compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = type("Typed", (Brightness,), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "Typed", typed, raising=False)
    found = compare({"mine": typed()}, seeds=1)
    assert found.failures == {}
    assert found.plan.methods[0].name == "__main__.Typed"
