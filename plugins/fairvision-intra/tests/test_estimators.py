"""The three methods as estimators: what they take, what they keep, what they leave alone."""

from __future__ import annotations

import pickle
import signal
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from imblearn.over_sampling import RandomOverSampler
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

from fairvision.base import Resampled
from fairvision.datasets import load_faces
from fairvision.exceptions import FairvisionWarning, GroupsRequiredError, InputError
from fairvision.nn import TorchClassifier
from fairvision_intra import AdversarialFineTuning, LayerwiseOptimization, RandomPerturbation

pytestmark = pytest.mark.cpu

METHODS: list[Any] = [
    RandomPerturbation(n_trials=4, random_state=0),
    LayerwiseOptimization(n_layers=2, n_calls=3, n_dims=3, random_state=0),
    AdversarialFineTuning(max_epochs=2, critic_steps=3, actor_steps=2, random_state=0),
]
LOOSE = {"epsilon": 0.9, "performance": "balanced_accuracy"}


@pytest.fixture(scope="module")
def faces() -> Any:
    return load_faces(
        300,
        32,
        sensitive="skin_group",
        correlation={("smiling", "skin_group"): 0.75},
        random_state=0,
    )


@pytest.fixture(scope="module")
def net(faces: Any) -> TorchClassifier:
    model = TorchClassifier(max_epochs=3, random_state=0)
    return model.fit(faces.images[:150], np.array(["no", "yes"])[faces.target[:150]])


@pytest.fixture(scope="module")
def rows(faces: Any) -> tuple[Any, ...]:
    y = np.array(["no", "yes"])[faces.target[150:]]
    return faces.images[150:], y, faces.sensitive_features["skin_group"][150:]


def fit(method: Any, estimator: Any, rows: tuple[Any, ...], **params: Any) -> Any:
    X, y, groups = rows
    method = clone(method).set_params(**{"estimator": estimator, **LOOSE, **params})
    return method.fit(X, y, sensitive_features=groups)


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
class TestEveryMethod:
    def test_the_given_net_is_never_changed(self, method: Any, net: Any, rows: Any) -> None:
        before, scores = state(net.module_), net.predict_proba(rows[0])
        found = fit(method, FrozenEstimator(net), rows)
        assert same(before, state(net.module_))
        assert np.array_equal(net.predict_proba(rows[0]), scores)
        assert found.module_ is not net.module_
        assert found.estimator_.n_steps_ == net.n_steps_

    def test_it_starts_from_the_given_net(self, method: Any, net: Any, rows: Any) -> None:
        # A fresh net would give the first trial another performance.
        found = fit(method, FrozenEstimator(net), rows)
        first = found.objective_path_.iloc[0]
        if isinstance(method, AdversarialFineTuning):
            return  # judged on a part of the rows
        predicted = net.predict_proba(rows[0])[:, 1] > first["threshold"]
        truth = rows[1] == "yes"
        recalls = [predicted[truth].mean(), 1 - predicted[~truth].mean()]
        assert first["performance"] == pytest.approx(np.mean(recalls))

    def test_predictions_are_what_was_judged(self, method: Any, net: Any, rows: Any) -> None:
        found = fit(method, FrozenEstimator(net), rows)
        X = rows[0]
        score, shown = found.debiased_.predict_proba(X)[:, 1], found.predict_proba(X)
        assert np.array_equal(found.predict(X) == "yes", score > found.threshold_)
        assert np.allclose(shown.sum(1), 1)
        assert (np.diff(shown[np.argsort(score), 1]) >= 0).all()
        clear = np.abs(score - found.threshold_) > 1e-9
        assert np.array_equal((shown[:, 1] > 0.5)[clear], (found.predict(X) == "yes")[clear])
        assert found.transform(X).shape == net.transform(X).shape
        assert np.array_equal(pickle.loads(pickle.dumps(found)).predict_proba(X), shown)

    def test_the_path_and_the_best(self, method: Any, net: Any, rows: Any) -> None:
        path = fit(method, FrozenEstimator(net), rows).objective_path_
        total = {"RandomPerturbation": 4, "LayerwiseOptimization": 7, "AdversarialFineTuning": 3}
        assert len(path) == total[type(method).__name__]
        assert {"value", "threshold", "performance", "bias", "feasible"} <= set(path.columns)
        assert path["trial"].tolist() == list(range(len(path)))

    @pytest.mark.slow
    def test_same_seed_same_bits_and_global_generators_at_rest(
        self, method: Any, net: Any, rows: Any
    ) -> None:
        torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()  # noqa: NPY002
        one = fit(method, FrozenEstimator(net), rows)
        assert torch.equal(torch.random.get_rng_state(), torch_state)
        after = np.random.get_state()  # noqa: NPY002
        assert after[2] == numpy_state[2]
        assert np.array_equal(after[1], numpy_state[1])
        two = fit(method, FrozenEstimator(net), rows)
        assert same(state(one.module_), state(two.module_))
        pd.testing.assert_frame_equal(one.objective_path_, two.objective_path_)
        other = fit(method, FrozenEstimator(net), rows, random_state=1)
        assert not one.objective_path_[1:].equals(other.objective_path_[1:])

    def test_needs_groups(self, method: Any, net: Any, rows: Any) -> None:
        with pytest.raises(GroupsRequiredError, match=type(method).__name__):
            clone(method).set_params(estimator=FrozenEstimator(net)).fit(*rows[:2])
        with pytest.raises(InputError, match="two groups"):
            fit(method, FrozenEstimator(net), (*rows[:2], np.zeros(len(rows[1]))))

    def test_an_unfitted_estimator_is_fitted_on_a_part(self, method: Any, rows: Any) -> None:
        seen: list[int] = []
        spy = FunctionTransformer(lambda X: seen.append(len(X)) or X)
        inner = make_pipeline(spy, TorchClassifier(max_epochs=1, random_state=0))
        found = fit(method, inner, rows, debias_fraction=0.4, allow_worse=True)
        assert (seen[0], sum(seen)) == (90, 150)  # fitted on the one part, debiased on the other
        assert not hasattr(inner[-1], "module_")
        assert found.estimator_[-1].n_steps_ == 2

    def test_a_net_that_is_kept_is_trained_on_all_rows(self, method: Any, rows: Any) -> None:
        inner = TorchClassifier(max_epochs=1, random_state=0)
        with pytest.warns(FairvisionWarning, match="given net"):
            found = fit(method, inner, rows, epsilon=1e-3, margin=5e-4, min_performance=1.0)
        plain = clone(inner).fit(*rows[:2])
        assert same(state(found.module_), state(plain.module_))

    def test_interrupt_keeps_the_best(self, method: Any, net: Any, rows: Any) -> None:
        def stop(row: dict[str, Any]) -> None:
            if row["trial"] == 1:
                raise KeyboardInterrupt

        with pytest.warns(FairvisionWarning, match="interrupted after 2 of"):
            found = fit(method, FrozenEstimator(net), rows, callbacks=[stop])
        assert found.interrupted_
        assert len(found.objective_path_) == 2
        best = found.objective_path_.loc[found.objective_path_["value"].idxmax()]
        assert found.performance_ == best["performance"]
        assert found.predict(rows[0]).shape == (len(rows[0]),)

    def test_infeasible_warns_and_returns_the_given_net(
        self, method: Any, net: Any, rows: Any
    ) -> None:
        groups = np.where(rows[1] == net.predict(rows[0]), "right", "wrong")
        with pytest.warns(FairvisionWarning, match="no net with a bias below epsilon=0.001"):
            found = fit(
                method,
                FrozenEstimator(net),
                (*rows[:2], groups),
                epsilon=0.001,
                margin=0.0005,
                bias="accuracy_gap",
            )
        assert (found.feasible_, found.trial_, found.threshold_) == (False, 0, 0.5)
        assert same(state(found.module_), state(net.module_))
        assert np.array_equal(found.predict(rows[0]), net.predict(rows[0]))
        assert found.bias_ == 1

    def test_a_good_net_and_few_rows_are_left_alone(self, method: Any) -> None:
        """Whatever wins among trials on twenty rows has not shown that it is better."""
        rng = np.random.default_rng(0)
        y, g = rng.integers(0, 2, 420), rng.integers(0, 2, 420)
        X = rng.normal(size=(420, 4)) + 3 * y[:, None]
        good = TorchClassifier(backbone="mlp", max_epochs=20, random_state=0).fit(X[:200], y[:200])
        few = slice(200, 220)
        found = clone(method).set_params(estimator=FrozenEstimator(good))
        with pytest.warns(FairvisionWarning, match="given net"):
            found.fit(X[few], y[few], sensitive_features=g[few])
        assert not found.feasible_
        assert np.array_equal(found.predict(X), good.predict(X))


def test_a_given_net_keeps_its_own_threshold(net: Any, rows: Any) -> None:
    """Also where the given net is the outcome of an earlier method."""
    X, y, _ = rows
    given = fit(METHODS[0], FrozenEstimator(net), rows, allow_worse=True)
    given.threshold_ = 0.3
    unfair = np.where(y == given.predict(X), "right", "wrong")
    with pytest.warns(FairvisionWarning, match="given net"):
        found = fit(
            METHODS[0],
            FrozenEstimator(given),
            (X, y, unfair),
            epsilon=0.001,
            margin=0.0005,
            bias="accuracy_gap",
        )
    assert found.threshold_ == 0.3
    assert np.array_equal(found.predict(X), given.predict(X))
    assert np.allclose(found.predict_proba(X), given.predict_proba(X))


def shift(X: np.ndarray) -> np.ndarray:
    return 255 - X


def test_pipeline_and_resampled_and_bare_module(net: Any, rows: Any) -> None:
    X, y, groups = rows
    method = METHODS[0]
    plain = fit(method, FrozenEstimator(net), rows)
    pipe = make_pipeline(FunctionTransformer(shift), net)
    piped = fit(method, FrozenEstimator(pipe), (shift(X), y, groups))
    assert np.array_equal(piped.predict_proba(shift(X)), plain.predict_proba(X))
    inner = TorchClassifier(max_epochs=1, random_state=0)
    resampled = Resampled(RandomOverSampler(random_state=0), inner).fit(X, y)
    found = fit(method, FrozenEstimator(resampled), rows)
    assert found.predict(X).shape == y.shape
    bare = TorchClassifier.from_module(net.module_, classes=net.classes_)
    again = fit(method, FrozenEstimator(bare), rows)
    assert np.array_equal(again.predict_proba(X), plain.predict_proba(X))


@pytest.mark.slow
def test_a_resnet_as_people_have_it(rows: Any) -> None:
    from torchvision.models.resnet import BasicBlock, ResNet

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=2)  # a third of resnet18's time
    few = tuple(column[:24] for column in rows)
    wrapped = FrozenEstimator(TorchClassifier.from_module(model, classes=["no", "yes"]))
    for method in METHODS:
        found = fit(method, wrapped, few, min_performance=0.0)
        assert found.predict(few[0]).shape == (24,)
        assert type(found.module_.model) is type(model)


def test_trials_do_not_compound(net: Any, rows: Any) -> None:
    """However many trials went before, a trial is one perturbation away from the given net."""
    found = fit(
        RandomPerturbation(n_trials=40, scale=0.1, random_state=0), FrozenEstimator(net), rows
    )
    best = found.objective_path_["value"].idxmax()
    assert best > 5  # a late one, that compounding would have carried far away
    given = dict(net.module_.named_parameters())
    ratios = torch.cat(
        [
            (p / given[n]).flatten()[given[n].flatten() != 0]
            for n, p in found.module_.named_parameters()
        ]
    )
    assert ratios.std().item() == pytest.approx(0.1, rel=0.02)
    assert ratios.mean().item() == pytest.approx(1, abs=0.002)


@pytest.mark.slow
def test_the_best_net_is_a_copy(net: Any, rows: Any) -> None:
    """Fine-tuning goes on after its best epoch; what is kept must not follow it."""
    X, y, _ = rows
    method = AdversarialFineTuning(
        max_epochs=3, critic_steps=2, actor_steps=20, lr=0.1, n_folds=1, random_state=0
    )
    found = fit(method, FrozenEstimator(net), rows, allow_worse=True)
    path = found.objective_path_
    best = int(path["value"].idxmax())
    assert best == found.trial_ < 3
    truth, selected = y == "yes", found.predict(X) == "yes"
    performance = (selected[truth].mean() + 1 - selected[~truth].mean()) / 2
    assert performance == pytest.approx(path["performance"][best])


def test_layerwise_changes_one_layer_and_the_best_wins(net: Any, rows: Any) -> None:
    method = LayerwiseOptimization(n_layers=3, n_calls=6, scale=0.5, random_state=2)
    found = fit(method, FrozenEstimator(net), rows)
    path = found.objective_path_
    assert path["layer"].dropna().nunique() == 3
    assert found.layer_ == path["layer"][path["value"].idxmax()]
    given = dict(net.module_.named_parameters())
    moved = [n for n, p in found.module_.named_parameters() if not torch.equal(p, given[n])]
    assert moved == ([f"{found.layer_}.weight"] if found.layer_ else [])


def test_multiclass_is_refused(faces: Any, rows: Any) -> None:
    three = TorchClassifier(max_epochs=0, random_state=0).fit(faces.images[:30], np.arange(30) % 3)
    with pytest.raises(InputError, match="3 classes"):
        fit(METHODS[0], FrozenEstimator(three), rows)


def test_an_estimator_without_a_net_says_what_to_pass(rows: Any) -> None:
    from sklearn.dummy import DummyClassifier

    dummy = DummyClassifier().fit(rows[0], rows[1])
    with pytest.raises(InputError, match="from_module"):
        fit(METHODS[0], FrozenEstimator(dummy), rows)


def test_several_sensitive_columns_are_crossed(net: Any, faces: Any, rows: Any) -> None:
    frame = pd.DataFrame(
        {"skin": rows[2].to_numpy(), "hat": faces.attributes["hat"][150:].to_numpy()}
    )
    found = fit(METHODS[0], FrozenEstimator(net), (*rows[:2], frame))
    assert len(found.sensitive_labels_) == 4


def test_tables_work_too(rows: Any) -> None:
    rng = np.random.default_rng(0)
    y, g = rng.integers(0, 2, 200), rng.integers(0, 2, 200)
    X = rng.normal(size=(200, 4)) + y[:, None] + g[:, None]
    net = TorchClassifier(max_epochs=5, random_state=0).fit(X, y)
    for method in METHODS:
        assert fit(method, FrozenEstimator(net), (X, y, g)).predict(X).shape == (200,)


def test_a_real_interrupt(net: Any, rows: Any) -> None:
    """The signal that Ctrl-C sends, in the middle of a trial."""

    def press(row: dict[str, Any]) -> None:
        if row["trial"] == 3:
            signal.raise_signal(signal.SIGINT)

    method = RandomPerturbation(n_trials=10**6, callbacks=[press], random_state=0)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.warns(FairvisionWarning, match="interrupted after 4 of 1000000"):
            found = fit(method, FrozenEstimator(net), rows)
    finally:
        signal.signal(signal.SIGINT, before)
    assert found.interrupted_
    assert found.predict(rows[0]).shape == rows[1].shape


def test_an_interrupt_before_the_first_trial_is_an_interrupt(net: Any, rows: Any) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    model = fit(METHODS[0], FrozenEstimator(net), rows)
    kept = model.module_
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fairvision_intra._forward.Forward.scores", stop)
        with pytest.raises(KeyboardInterrupt):
            model.fit(rows[0], rows[1], sensitive_features=rows[2])
    assert model.module_ is kept
