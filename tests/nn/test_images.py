"""What `fit` and `predict` take: images, labels, weights and groups in their many forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from fairvision.datasets import ImageFiles
from fairvision.nn import TorchClassifier

pytestmark = pytest.mark.cpu


@pytest.fixture(scope="module")
def model(pictures):
    return TorchClassifier(max_epochs=3, random_state=0).fit(pictures.images, pictures.target)


def read_only(X):
    X = X.copy()
    X.setflags(write=False)
    return X


FORMS = {
    "float32": lambda X: (X / 255).astype(np.float32),
    "float64": lambda X: X / 255,
    "float16": lambda X: (X / 255).astype(np.float16),
    "tensor of bytes": lambda X: torch.tensor(X),
    "tensor of floats": lambda X: torch.tensor(X) / 255,
    "list of arrays": list,
    "channels last, transposed": lambda X: np.ascontiguousarray(X.transpose(0, 2, 3, 1)).transpose(
        0, 3, 1, 2
    ),
    "negative strides": lambda X: np.ascontiguousarray(X[..., ::-1])[..., ::-1],
    "read-only": read_only,
    "Fortran order": np.asfortranarray,
}


@pytest.mark.parametrize("form", FORMS)
def test_predictions_do_not_depend_on_the_form_of_the_images(pictures, model, form):
    X = FORMS[form](pictures.images)
    atol = 2e-3 if form == "float16" else 1e-6
    np.testing.assert_allclose(
        model.predict_proba(X), model.predict_proba(pictures.images), atol=atol
    )


@pytest.mark.parametrize("form", sorted(FORMS.keys() - {"float16"}))
def test_training_does_not_depend_on_the_form_of_the_images(pictures, model, form):
    other = TorchClassifier(max_epochs=3, random_state=0)
    other.fit(FORMS[form](pictures.images), pictures.target)
    np.testing.assert_allclose(
        other.predict_proba(pictures.images), model.predict_proba(pictures.images), atol=1e-6
    )


def test_files_are_decoded_batch_by_batch_and_train_to_the_same_bits(pictures, model, tmp_path):
    paths = [tmp_path / f"{row}.png" for row in range(48)]
    for path, image in zip(paths, pictures.images, strict=True):
        Image.fromarray(image.transpose(1, 2, 0)).save(path)
    files = ImageFiles(paths, image_size=16)
    other = TorchClassifier(max_epochs=3, random_state=0).fit(files, pictures.target)
    assert files.n_decoded == 3 * 48  # once an epoch, none for the checks
    np.testing.assert_array_equal(other.predict_proba(files), model.predict_proba(pictures.images))


def test_grey_images(pictures):
    grey = pictures.images[:, :1]
    model = TorchClassifier(max_epochs=6, random_state=0).fit(grey, pictures.target)
    assert model.input_shape_ == (1, 16, 16)
    assert model.n_features_in_ == 1
    assert model.score(grey, pictures.target) > 0.9


def test_a_net_that_works_in_place_leaves_the_images_alone(pictures):
    class InPlace(torch.nn.Module):
        def forward(self, x):
            return x.sub_(0.5).flatten(1)

    X = (pictures.images / 255).astype(np.float32)
    before = X.copy()
    model = TorchClassifier(InPlace(), max_epochs=1).fit(X, pictures.target)
    model.predict(X)
    model.predict(torch.from_numpy(X))
    np.testing.assert_array_equal(X, before)


def test_predictions_do_not_depend_on_the_batch_size(pictures, model):
    expected = model.predict_proba(pictures.images)
    one_by_one = np.concatenate([model.predict_proba(image[None]) for image in pictures.images])
    np.testing.assert_allclose(one_by_one, expected, atol=1e-6)


def test_probabilities_are_doubles_that_sum_to_one(pictures, model):
    probabilities = model.predict_proba(pictures.images)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-15)
    np.testing.assert_array_equal(
        model.predict(pictures.images), model.classes_[probabilities.argmax(1)]
    )


LABELS = {
    "text": (np.array(["no", "yes"]), ["no", "yes"]),
    "bool": (np.array([False, True]), [False, True]),
    "far apart": (np.array([9, -5]), [-5, 9]),
    "float": (np.array([1.0, 2.0]), [1.0, 2.0]),
    "categorical": (pd.Categorical(["b", "a"]), ["a", "b"]),
    "nullable": (pd.array([3, 4], dtype="Int64"), [3, 4]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_come_back_as_they_went_in(pictures, kind):
    labels, classes = LABELS[kind]
    y = pd.Series(labels.take(pictures.target))
    model = TorchClassifier("mlp", max_epochs=6, lr=1e-2, random_state=0).fit(pictures.images, y)
    assert model.classes_.tolist() == classes
    assert (model.predict(pictures.images) == np.asarray(y)).mean() > 0.9


def test_many_classes(pictures):
    y = np.arange(48) % 4
    images = pictures.images // 2
    images[:, 1] += (y * 40).astype(np.uint8)[:, None, None]
    model = TorchClassifier(max_epochs=10, random_state=0).fit(images, y)
    assert model.predict_proba(images).shape == (48, 4)
    assert model.score(images, y) > 0.9


class TestWeights:
    def test_a_whole_number_is_so_many_copies_of_the_row(self, pictures):
        weights = np.random.default_rng(1).integers(1, 4, 48)
        model = TorchClassifier("mlp", optimizer="sgd", lr=0.02, batch_size=500, random_state=0)
        weighted = model.fit(pictures.images, pictures.target, sample_weight=weights)
        expected = weighted.predict_proba(pictures.images)
        model.fit(np.repeat(pictures.images, weights, axis=0), np.repeat(pictures.target, weights))
        np.testing.assert_allclose(model.predict_proba(pictures.images), expected, atol=1e-5)
        model.fit(pictures.images, pictures.target)
        assert abs(model.predict_proba(pictures.images) - expected).max() > 1e-3

    def test_zero_is_leaving_the_row_out_bit_for_bit(self, pictures):
        kept = np.random.default_rng(1).random(48) < 0.7
        model = TorchClassifier(max_epochs=2, random_state=0)
        model.fit(pictures.images, pictures.target, sample_weight=kept.astype(float))
        expected = model.predict_proba(pictures.images)
        model.fit(pictures.images[kept], pictures.target[kept])
        np.testing.assert_array_equal(model.predict_proba(pictures.images), expected)

    def test_only_their_ratio_matters(self, pictures):
        weights = np.random.default_rng(1).random(48) + 0.5
        first, second = (
            TorchClassifier("mlp", max_epochs=2, random_state=0)
            .fit(pictures.images, pictures.target, sample_weight=scale * weights)
            .predict_proba(pictures.images)
            for scale in (1, 1000)
        )
        np.testing.assert_allclose(first, second, atol=1e-5)


GROUPS = {
    "list": list,
    "array": np.asarray,
    "Series": lambda g: pd.Series(g, index=np.arange(48)[::-1]),
    "DataFrame": lambda g: pd.DataFrame({"side": g, "odd": np.arange(48) % 2}),
    "dict": lambda g: {"side": g, "odd": np.arange(48) % 2},
    "columns": lambda g: np.stack([g, g[::-1]], axis=1),
    "tensor": lambda g: torch.tensor(np.unique(g, return_inverse=True)[1]),
    "category": lambda g: pd.Series(g, dtype="category"),
}


@pytest.mark.parametrize("form", GROUPS)
def test_plain_training_is_the_same_with_groups_in_any_form(pictures, model, form):
    other = TorchClassifier(max_epochs=3, random_state=0)
    other.fit(pictures.images, pictures.target, sensitive_features=GROUPS[form](pictures.groups))
    np.testing.assert_array_equal(
        other.predict_proba(pictures.images), model.predict_proba(pictures.images)
    )
