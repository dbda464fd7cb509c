"""Validation rows of one's own: checked as X and y are, and never trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

import fairvision as fv
from fairvision.exceptions import BadImageError, InputError
from fairvision.nn import Objective, ObjectiveClassifier, TorchClassifier

pytestmark = pytest.mark.cpu

PARAMS = {"max_epochs": 3, "random_state": 0}


@pytest.fixture(scope="module")
def others():
    """Other pictures, whose classes are the other way round."""
    rng = np.random.default_rng(1)
    return rng.integers(0, 255, (10, 3, 16, 16), dtype=np.uint8), np.tile([1, 0], 5)


def test_loss_and_accuracy_are_those_of_its_rows(pictures, others):
    seen = []

    class Recording(Callback):
        def on_epoch_end(self, net, dataset_train=None, **kwargs):
            net.module_.eval()
            with torch.no_grad():
                logits = net.module_(torch.from_numpy(others[0]).float() / 255)
            targets = torch.from_numpy(others[1])
            loss = nn.functional.cross_entropy(logits, targets).item()
            seen.append((loss, (logits.argmax(1) == targets).float().mean().item()))
            assert len(dataset_train) == len(pictures.target)

    model = TorchClassifier(validation_data=others, callbacks=[Recording()], **PARAMS)
    history = model.fit(pictures.images, pictures.target).history_
    assert np.allclose(history[:, "valid_loss"], [loss for loss, _ in seen], atol=1e-6)
    assert np.allclose(history[:, "valid_acc"], [accuracy for _, accuracy in seen])


class Faint(Objective):
    """A method that knows nothing of validation rows."""

    def fitted_attributes(self, module, rows):
        return {"n_rows_": len(rows)}


class FaintClassifier(ObjectiveClassifier):
    objective_class = Faint


@pytest.mark.parametrize("kind", [TorchClassifier, FaintClassifier])
def test_it_changes_no_bit_of_the_net(pictures, others, kind):
    plain = kind(**PARAMS).fit(pictures.images, pictures.target)
    model = kind(validation_data=others, **PARAMS).fit(pictures.images, pictures.target)
    np.testing.assert_array_equal(
        model.predict_proba(pictures.images), plain.predict_proba(pictures.images)
    )
    assert getattr(model, "n_rows_", 48) == 48


def test_the_statistics_of_a_probe_are_those_of_the_training_rows(pictures, others):
    maps = pictures.images.astype(np.float32).repeat(2, 1)
    far = (others[0].astype(np.float32).repeat(2, 1) * 1000, others[1])
    model = TorchClassifier("linear", validation_data=far, max_epochs=1).fit(maps, pictures.target)
    plain = TorchClassifier("linear", max_epochs=1).fit(maps, pictures.target)
    assert torch.equal(model.module_.trunk[-1].mean, plain.module_.trunk[-1].mean)


def test_early_stopping_listens_to_it(pictures, others):
    stopping = EarlyStopping(patience=2)
    model = TorchClassifier(lr=0.01, validation_data=others, callbacks=[stopping], random_state=0)
    losses = model.set_params(max_epochs=50).fit(pictures.images, pictures.target).history_
    losses = losses[:, "valid_loss"]
    assert len(losses) == int(np.argmin(losses)) + 1 + 2 < 50


def test_a_clone_shares_it_and_a_file_lacks_it(pictures, others, tmp_path):
    model = TorchClassifier("mlp", validation_data=others, max_epochs=1)
    assert clone(model).validation_data is others
    assert model.fit(pictures.images, pictures.target).validation_data is others
    fv.save(model, tmp_path / "with.fv")
    fv.save(
        TorchClassifier("mlp", max_epochs=1).fit(pictures.images, pictures.target),
        tmp_path / "without.fv",
    )
    assert fv.load(tmp_path / "with.fv").validation_data is None
    sizes = [(tmp_path / f"{name}.fv").stat().st_size for name in ("with", "without")]
    assert abs(sizes[0] - sizes[1]) < 500


def test_labels_are_coded_as_those_of_training(pictures, others):
    names = np.array(["yes", "no"])
    data = others[0], names[others[1]]
    model = TorchClassifier(classes=["yes", "no"], validation_data=data, **PARAMS)
    same = TorchClassifier(validation_data=others, **PARAMS)
    losses = [
        m.fit(pictures.images, y).history_[:, "valid_loss"]
        for m, y in ((model, names[pictures.target]), (same, pictures.target))
    ]
    assert losses[0] == losses[1]


def test_tables(pictures):
    X = np.random.default_rng(0).normal(size=(48, 4))
    model = TorchClassifier(validation_data=(X[:8], pictures.target[:8]), **PARAMS)
    assert len(model.fit(X, pictures.target).history_[:, "valid_loss"]) == 3
    with pytest.raises(InputError, match=r"validation_data: X has 3 features, but .* expecting 4"):
        model.set_params(validation_data=(X[:, :3], pictures.target)).fit(X, pictures.target)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: X, "validation_data is a ndarray of 10; pass a tuple"),
        (lambda X, y: (X, y, y), "validation_data is a tuple of 3; pass a tuple"),
        (lambda X, y: (X, y[:4]), "validation_data: y has 4 rows, X has 10"),
        (lambda X, y: (X[:, :1], y), r"validation_data: .*shape \(1, 16, 16\)"),
        (
            lambda X, y: (X[:, 0, 0], y),
            r"validation_data: X has shape \(10, 16\), but TorchClassifier is",
        ),
        (lambda X, y: (X.astype(np.float32), y), "validation_data: .*Divide by 255"),
        (lambda X, y: (list(map(str, y)), y), "10 of the 10 files in X do not exist"),
        (lambda X, y: (X, y + 1), r"validation_data: y has \[2\], which are not among the classes"),
        (lambda X, y: (X, np.where(y, "yes", "no")), "validation_data: y has .* not among"),
        (lambda X, y: (X, np.where(y, np.nan, 0)), "validation_data: y has 5 missing"),
    ],
)
def test_other_rows_are_refused_before_anything_runs(pictures, others, change, message):
    model = TorchClassifier(validation_data=change(*others), **PARAMS)
    with pytest.raises((InputError, BadImageError), match=f"(?s){message}"):
        model.fit(pictures.images, pictures.target)
    assert vars(model) == model.get_params(deep=False)


def test_it_excludes_a_fraction(pictures, others):
    model = TorchClassifier(validation_data=others, validation_fraction=0.2)
    with pytest.raises(InputError, match=r"validation_data and validation_fraction=0\.2 are both"):
        model.fit(pictures.images, pictures.target)
