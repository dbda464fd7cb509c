"""What happens during `fit`: transforms, callbacks, validation, printing, interrupts."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.utils.class_weight import compute_sample_weight
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, LRScheduler
from torch import nn
from torchvision.transforms import v2

import fairvision as fv
from fairvision.exceptions import InputError
from fairvision.nn import TorchClassifier

pytestmark = pytest.mark.cpu


class Counting:
    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        assert 0 <= images.min() <= images.max() <= 1
        self.batches.append(tuple(images.shape))
        return images


class TestTrainTransform:
    def test_sees_each_training_row_once_an_epoch_and_no_other(self, pictures):
        transform = Counting()
        model = TorchClassifier(
            "mlp",
            max_epochs=2,
            batch_size=10,
            validation_fraction=0.25,
            train_transform=transform,
        ).fit(pictures.images, pictures.target)
        model.predict(pictures.images)
        model.transform(pictures.images)
        assert [batch[0] for batch in transform.batches] == [10, 10, 10, 6] * 2
        assert {batch[1:] for batch in transform.batches} == {(3, 16, 16)}

    def test_random_ones_of_torchvision_are_reproducible(self, pictures):
        flip_and_crop = v2.Compose([v2.RandomHorizontalFlip(), v2.RandomCrop(16, padding=3)])

        def fitted(transform, seed):
            model = TorchClassifier(max_epochs=2, train_transform=transform, random_state=seed)
            return model.fit(pictures.images, pictures.target).predict_proba(pictures.images)

        expected = fitted(flip_and_crop, 0)
        np.testing.assert_array_equal(fitted(flip_and_crop, 0), expected)
        assert (fitted(flip_and_crop, 1) != expected).any()
        assert (fitted(None, 0) != expected).any()


class TestValidation:
    def test_loss_and_accuracy_are_those_of_the_held_out_rows(self, pictures):
        seen = []

        class Recording(Callback):
            def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
                net.module_.eval()
                everything = torch.arange(len(dataset_valid))
                batch = dataset_valid.batch(everything, "cpu")
                with torch.no_grad():
                    logits = net.module_(batch.images)
                loss = nn.functional.cross_entropy(logits, batch.targets).item()
                accuracy = (logits.argmax(1) == batch.targets).float().mean().item()
                classes = batch.targets.bincount().tolist()
                seen.append((loss, accuracy, len(dataset_train), classes))

        model = TorchClassifier(
            max_epochs=3, validation_fraction=0.25, callbacks=[Recording()], random_state=0
        ).fit(pictures.images, pictures.target)
        history = model.history_
        assert np.allclose(history[:, "valid_loss"], [loss for loss, *_ in seen], atol=1e-6)
        assert np.allclose(history[:, "valid_acc"], [accuracy for _, accuracy, *_ in seen])
        assert [rest for _, _, *rest in seen] == [[36, [6, 6]]] * 3  # stratified

    def test_a_share_too_small_to_hold_every_class_is_refused(self, pictures):
        model = TorchClassifier(validation_fraction=0.01)
        with pytest.raises(InputError, match=r"validation_fraction=0\.01 cannot be held out of 48"):
            model.fit(pictures.images, pictures.target)


class TestCallbacks:
    def test_early_stopping_ends_training_and_restores_the_best_epoch(self, pictures):
        stopping = EarlyStopping(patience=2, load_best=True)
        given = dict(vars(stopping))
        noise = np.random.default_rng(0).permutation(pictures.target)  # nothing to learn
        model = TorchClassifier(
            max_epochs=50,
            lr=1e-2,
            validation_fraction=0.25,
            callbacks=[stopping],
            random_state=0,
        ).fit(pictures.images, noise)
        losses = model.history_[:, "valid_loss"]
        best = int(np.argmin(losses))
        assert len(losses) == best + 1 + 2 < 50
        assert model.n_steps_ == len(losses)
        assert vars(stopping) == given  # a copy of it ran
        model.set_params(max_epochs=best + 1, callbacks=None)
        expected = model.predict_proba(pictures.images)
        model.fit(pictures.images, noise)
        np.testing.assert_array_equal(model.predict_proba(pictures.images), expected)

    @pytest.mark.parametrize("callback", [EarlyStopping(), ("stop", EarlyStopping()), Checkpoint()])
    def test_one_that_waits_for_a_validation_loss_needs_validation_rows(self, pictures, callback):
        model = TorchClassifier(callbacks=[callback])
        with pytest.raises(InputError, match=r"monitors 'valid_loss.*Set validation_fraction"):
            model.fit(pictures.images, pictures.target)

    @pytest.mark.parametrize("callbacks", [EarlyStopping(), "disable"])
    def test_they_are_a_list(self, pictures, callbacks):
        with pytest.raises(InputError, match="pass a list of skorch callbacks"):
            TorchClassifier(callbacks=callbacks).fit(pictures.images, pictures.target)

    def test_a_schedule_changes_the_learning_rate(self, pictures):
        schedule = LRScheduler(policy="StepLR", step_size=1, gamma=0.1, event_name="lr")
        model = TorchClassifier("mlp", max_epochs=3, lr=0.1, callbacks=[("schedule", schedule)])
        model.fit(pictures.images, pictures.target)
        assert np.allclose(model.history_[:, "lr"], [0.1, 0.01, 0.001])

    def test_a_checkpoint_leaves_the_weights_and_the_history_on_disk(self, pictures, tmp_path):
        checkpoint = Checkpoint(dirname=str(tmp_path), monitor=None)
        model = TorchClassifier("mlp", max_epochs=2, callbacks=[checkpoint])
        model.fit(pictures.images, pictures.target)
        saved = torch.load(tmp_path / "params.pt", weights_only=True)
        current = model.module_.state_dict()
        assert saved.keys() == current.keys()
        assert all(torch.equal(value, current[name]) for name, value in saved.items())
        history = json.loads((tmp_path / "history.json").read_text())
        assert [row["train_loss"] for row in history] == model.history_[:, "train_loss"]


class Interrupting(Callback):
    """Somebody presses Ctrl-C in the second epoch."""

    def on_batch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


class TestInterrupt:
    def test_leaves_a_new_estimator_unfitted(self, pictures):
        model = TorchClassifier("mlp", callbacks=[Interrupting()])
        with pytest.raises(KeyboardInterrupt):
            model.fit(pictures.images, pictures.target)
        with pytest.raises(NotFittedError):
            model.predict(pictures.images)
        assert vars(model) == model.get_params(deep=False)

    def test_is_not_mistaken_for_early_stopping(self, pictures):
        both = [EarlyStopping(monitor="train_loss"), Interrupting()]
        with pytest.raises(KeyboardInterrupt):
            TorchClassifier("mlp", callbacks=both).fit(pictures.images, pictures.target)

    def test_leaves_a_fitted_estimator_as_it_was(self, pictures):
        model = TorchClassifier("mlp", max_epochs=1).fit(pictures.images, pictures.target)
        before = dict(vars(model))
        expected = model.predict_proba(pictures.images)
        model.set_params(callbacks=[Interrupting()], max_epochs=5)
        with pytest.raises(KeyboardInterrupt):
            model.fit(pictures.images[:, :1], np.arange(48) % 3)
        fitted = {name: value for name, value in vars(model).items() if name.endswith("_")}
        assert fitted == {name: value for name, value in before.items() if name.endswith("_")}
        np.testing.assert_array_equal(model.predict_proba(pictures.images), expected)


class TestPrinting:
    def test_a_line_an_epoch(self, pictures, capsys):
        TorchClassifier("mlp", max_epochs=3, verbose=1).fit(pictures.images, pictures.target)
        heading, _, *lines = capsys.readouterr().out.strip().splitlines()
        assert "train_loss" in heading
        assert len(lines) == 3

    def test_or_nothing(self, pictures, capsys):
        TorchClassifier("mlp", max_epochs=3).fit(pictures.images, pictures.target)
        assert capsys.readouterr().out == ""


def test_no_epochs_give_an_untrained_model(pictures):
    model = TorchClassifier("mlp", max_epochs=0, random_state=0)
    model.fit(pictures.images, pictures.target)
    assert model.n_steps_ == len(model.history_) == 0
    assert model.predict_proba(pictures.images).shape == (48, 2)


def test_steps_are_counted_and_batch_records_do_not_pile_up(pictures):
    model = TorchClassifier("mlp", max_epochs=5, batch_size=10)
    model.fit(pictures.images, pictures.target)
    assert model.n_steps_ == 25
    assert len(model.history_) == 5
    assert all(row["batches"] == [] for row in model.history_)
    assert all(np.isfinite(model.history_[:, "train_loss"]))


def test_the_loss_in_the_history_is_that_of_the_first_step(pictures):
    model = TorchClassifier("mlp", max_epochs=1, batch_size=48, random_state=0)
    model.fit(pictures.images, pictures.target)
    start = TorchClassifier("mlp", max_epochs=0, random_state=0)
    start.fit(pictures.images, pictures.target)
    probability = start.predict_proba(pictures.images)[np.arange(48), pictures.target]
    assert model.history_[0, "train_loss"] == pytest.approx(-np.log(probability).mean(), rel=1e-5)


def test_dropout_and_batch_norm_work_in_training_and_rest_in_prediction(pictures):
    modes = []

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, x):
            modes.append(self.drop.training)
            return self.drop(x.flatten(1))

    model = TorchClassifier(Net(), max_epochs=1, batch_size=48, validation_fraction=0.25)
    model.fit(pictures.images, pictures.target)
    assert modes == [False, False, True, False]  # two looks at it, the step, the validation
    model.module_.train()  # somebody's hand
    first = model.predict_proba(pictures.images)
    np.testing.assert_array_equal(first, model.predict_proba(pictures.images))


def test_fit_keeps_the_groups_that_it_saw(pictures):
    groups = np.where(np.arange(len(pictures.target)) % 3, "a", "b")
    model = TorchClassifier("mlp", max_epochs=0)
    model.fit(pictures.images, pictures.target, sensitive_features=groups)
    assert [list(labels) for labels in model.groups_.categories] == [["a", "b"]]
    assert model.fit(pictures.images, pictures.target).groups_ is None


def test_any_optimizer_that_is_called_like_torchs(pictures):
    model = TorchClassifier(
        "mlp", optimizer=torch.optim.RMSprop, weight_decay=0.1, max_epochs=8, random_state=0
    ).fit(pictures.images, pictures.target)
    assert isinstance(model.net_.optimizer_, torch.optim.RMSprop)
    assert model.net_.optimizer_.defaults["weight_decay"] == 0.1
    assert model.score(pictures.images, pictures.target) > 0.9


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_optimizers_by_name(pictures, optimizer):
    model = TorchClassifier("mlp", optimizer=optimizer, lr=1e-2, max_epochs=8, random_state=0)
    assert model.fit(pictures.images, pictures.target).score(pictures.images, pictures.target) > 0.9


class TestClassWeight:
    """On three rows of one class to one of the other."""

    @pytest.fixture
    def rows(self, pictures):
        ones, others = (np.flatnonzero(pictures.target == label) for label in (1, 0))
        kept = np.concatenate([ones[: len(others) // 3], others])
        return pictures.images[kept], pictures.target[kept]

    @staticmethod
    def fitted(rows, class_weight=None, sample_weight=None):
        model = TorchClassifier("mlp", max_epochs=3, class_weight=class_weight, random_state=0)
        return model.fit(*rows, sample_weight=sample_weight)

    @staticmethod
    def same(one, other):
        pairs = zip(one.module_.parameters(), other.module_.parameters(), strict=True)
        return all(torch.equal(a, b) for a, b in pairs)

    def test_balanced_is_the_sample_weight_that_balances(self, rows):
        weights = compute_sample_weight("balanced", rows[1])
        balanced = self.fitted(rows, "balanced")
        assert self.same(balanced, self.fitted(rows, sample_weight=weights))
        assert not self.same(balanced, self.fitted(rows))

    def test_it_balances_what_sample_weights_have_left(self, rows):
        """Rows that count twice are as many rows."""
        rng = np.random.default_rng(0)
        weights = rng.uniform(0.5, 2, len(rows[1]))
        total = np.bincount(rows[1], weights)
        expected = self.fitted(rows, sample_weight=weights * (total.max() / total)[rows[1]])
        assert self.same(self.fitted(rows, "balanced", weights), expected)

    def test_a_mapping_weighs_the_labels_that_it_names(self, rows):
        expected = self.fitted(rows, sample_weight=np.where(rows[1] == 1, 3.0, 1.0))
        assert self.same(self.fitted(rows, {1: 3}), expected)
        assert self.same(self.fitted(rows, {1: 3, 0: 1.0}), expected)
        assert self.same(self.fitted(rows, {"1": 3}), expected)  # as JSON writes it

    def test_equal_weights_are_none_bit_for_bit(self, rows):
        plain = self.fitted(rows)
        for equal in ({}, {0: 2, 1: 2}):
            assert self.same(self.fitted(rows, equal), plain)
        assert not self.same(self.fitted(rows, {0: 1e-9, 1: 5e-9}), plain)
        ones, others = (np.flatnonzero(rows[1] == label) for label in (1, 0))
        even = np.concatenate([ones, others[: len(ones)]])
        rows = rows[0][even], rows[1][even]
        assert self.same(self.fitted(rows, "balanced"), self.fitted(rows))

    def test_it_predicts_the_rare_class_more_often(self, rows):
        more, fewer = (
            self.fitted(rows, w).predict_proba(rows[0])[:, 1] for w in ("balanced", None)
        )
        assert more.mean() > fewer.mean() + 0.1

    @pytest.mark.parametrize(
        ("class_weight", "message"),
        [
            ("auto", r"class_weight is 'auto'; pass 'balanced', None, or weights of 0 or more"),
            (2.0, r"class_weight is 2.0; pass 'balanced'"),
            ({2: 1.0}, r"labels \[2\], which y lacks; .* for \[0, 1\]"),
            ({1: -1.0}, r"class_weight is \{1: -1.0\}; pass"),
            ({1: float("nan")}, r"class_weight is \{1: nan\}; pass"),
            ({1: "much"}, r"could not convert .*; pass"),
            ({0: 0, 1: 0}, r"class_weight is 0 for every class; pass"),
        ],
    )
    def test_others_are_refused(self, rows, class_weight, message):
        with pytest.raises(InputError, match=message):
            self.fitted(rows, class_weight)

    def test_a_class_without_rows_is_no_reason_to_weigh(self, rows):
        images, y = rows[0], np.arange(len(rows[0])) % 2
        params = {"max_epochs": 2, "classes": [0, 1, 2], "random_state": 0}
        plain, balanced = (
            TorchClassifier("mlp", class_weight=weight, **params).fit(images[:30], y[:30])
            for weight in (None, "balanced")
        )
        assert self.same(balanced, plain)

    def test_it_is_saved(self, rows, tmp_path):
        model = self.fitted(rows, {1: 3.0})
        loaded = fv.saving.load(fv.save(model, tmp_path / "model.fv"))
        assert loaded.class_weight == {1: 3.0}
