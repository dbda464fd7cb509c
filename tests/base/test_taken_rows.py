"""Rows of images in memory are numbers into one array: no layer copies the pixels."""

import tracemalloc

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.base import Resampled, TakenRows, rows_for, rows_of
from fairvision.exceptions import InputError
from fairvision.nn import TorchClassifier

N = 2000
Y, GROUPS = np.arange(N) % 2, np.array(["a", "a", "b", "b"])[np.arange(N) % 4]


@pytest.fixture(scope="module")
def pixels():
    """50 MB."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(N, 3, 92, 92), dtype=np.uint8)


class Brightness(ClassifierMixin, BaseEstimator):
    """A classifier that somebody wrote for arrays."""

    def fit(self, X, y):
        assert type(X) is np.ndarray
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        assert type(X) is np.ndarray
        return self.classes_[(X.reshape(len(X), -1).mean(1) > 127).astype(int)]

    def predict_proba(self, X):
        return np.eye(2)[(self.predict(X) == self.classes_[1]).astype(int)]


def net():
    return TorchClassifier("linear", max_epochs=1, batch_size=64, random_state=0)


def classifier():
    import torch

    class Pool(torch.nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    return TorchClassifier(Pool(), max_epochs=1, batch_size=64, random_state=0)


FITS = {
    "Resampled": lambda X: fv.compose(
        pre=fv.make("balanced-sampling", random_state=0), model=classifier()
    ).fit(X, Y, sensitive_features=GROUPS),
    "reweighing": lambda X: fv.compose(pre=fv.make("reweighing"), model=classifier()).fit(
        X, Y, sensitive_features=GROUPS
    ),
    "held-out rows": lambda X: fv.make(
        "threshold-optimizer", estimator=classifier(), random_state=0
    ).fit(X, Y, sensitive_features=GROUPS),
    "a reduction": lambda X: fv.make(
        "exponentiated-gradient", estimator=classifier(), max_iter=2, random_state=0
    ).fit(X, Y, sensitive_features=GROUPS),
    "subset": lambda X: classifier().fit(
        fv.datasets.subset(
            Bunch(images=X, target=Y, sensitive_features=None), np.arange(0, N, 2) + Y[: N // 2]
        ).images,
        Y[: N // 2],
    ),
    "weights of 0": lambda X: classifier().fit(X, Y, sample_weight=(np.arange(N) > 1) * 1.0),
    "compare": lambda X: fv.compare(
        Bunch(images=X, target=Y, sensitive_features=GROUPS),
        {"net": classifier(), "thresholds": ("threshold-optimizer", {"estimator": classifier()})},
        seeds=1,
        max_epochs=1,
        n_boot=0,
        progress=False,
        report=False,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FITS)
@pytest.mark.filterwarnings("ignore::fairvision.exceptions.FairvisionWarning")
def test_fit_holds_no_second_copy(name, pixels):
    FITS[name](pixels[:, :, :8, :8].copy())  # imports
    tracemalloc.start()
    try:
        FITS[name](pixels)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.4 * pixels.nbytes


def test_estimators_of_others_get_arrays():
    images = np.zeros((N, 1, 8, 8), dtype=np.uint8)
    images[Y == 1] = 255
    data = Bunch(images=images, target=Y, sensitive_features=GROUPS)
    methods = {
        "mine": Brightness(),
        "in a pipeline": make_pipeline(Brightness()),
        "thresholds": ("threshold-optimizer", {"estimator": Brightness()}),
    }
    result = fv.compare(data, methods, seeds=1, n_boot=0, progress=False)
    assert len(result.runs) == 3
    Resampled(fv.make("balanced-sampling", random_state=0), Brightness()).fit(
        images, Y, sensitive_features=GROUPS
    )


def test_who_reads_rows_lazily():
    images = np.zeros((4, 1, 2, 2), dtype=np.uint8)
    lazy = {
        model: isinstance(rows_for(model, images, np.array([1, 3])), TakenRows)
        for model in (net(), FrozenEstimator(net()), make_pipeline(net()), Brightness())
    }
    assert list(lazy.values()) == [True, True, False, False]


def test_rows_behave_as_an_array(pixels):
    import torch

    rows = np.array([5, 1, 3])
    images = pixels[:8, :, :4, :4].copy()
    for whole in (images, torch.from_numpy(images)):
        taken, array = rows_of(whole, rows), images[rows]
        assert isinstance(taken, TakenRows)
        assert not np.shares_memory(np.asarray(taken), images)
        assert taken.array is images or np.shares_memory(taken.array, images)
        np.testing.assert_array_equal(taken, array)
        np.testing.assert_array_equal(taken[1:], array[1:])
        np.testing.assert_array_equal(taken / 255, array / 255)
        np.testing.assert_array_equal(255 - taken, 255 - array)
        np.testing.assert_array_equal(taken > 9, array > 9)
        np.testing.assert_array_equal(taken.reshape(3, -1), array.reshape(3, -1))
        assert taken.mean() == array.mean()
        with pytest.raises(AttributeError, match="no attribute 'numpy'"):
            taken.numpy()
    mask = np.arange(8) < 2
    assert len(rows_of(images, mask)) == 2
    assert type(rows_of(images, slice(0, 2))) is np.ndarray


@pytest.mark.parametrize(
    ("value", "words"), [(255.0, "from 0 to 255"), (np.nan, "NaN"), (np.inf, "infinite")]
)
def test_the_range_is_checked_before_anything_runs(value, words):
    images = np.zeros((600, 1, 2, 2), dtype=np.float32)
    images[500] = value
    with pytest.raises(InputError, match=words):
        net().fit(rows_of(images, np.arange(600)), np.arange(600) % 2)
