"""A fit that goes on from the net of an earlier one, and training by parts of the rows."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

import fairvision as fv
from fairvision.exceptions import GroupsRequiredError, InputError
from fairvision.nn import Objective, ObjectiveClassifier, TorchClassifier

pytestmark = pytest.mark.cpu


def make(backbone="mlp", **params):
    return TorchClassifier(backbone, **{"max_epochs": 2, "random_state": 0, **params})


class Grouped(Objective):
    """A method that needs groups, and remembers their codes."""

    needs_groups = True

    def start(self, module, rows, context):
        self.codes_ = rows.groups[:, 0].tolist()

    def fitted_attributes(self, module, rows):
        return {"codes_": self.codes_}


class GroupedClassifier(ObjectiveClassifier):
    objective_class = Grouped


class TestWarmStart:
    def test_no_epoch_more_changes_no_bit(self, pictures):
        model = make("small-cnn", warm_start=True).fit(pictures.images, pictures.target)
        expected = model.predict_proba(pictures.images)
        model.set_params(max_epochs=0).fit(pictures.images, pictures.target)
        np.testing.assert_array_equal(model.predict_proba(pictures.images), expected)
        assert len(model.history_) == 2

    def test_the_first_step_begins_at_the_loss_of_the_fitted_net(self, pictures):
        model = make(warm_start=True, batch_size=48).fit(pictures.images, pictures.target)
        p = model.predict_proba(pictures.images)[np.arange(48), pictures.target]
        model.fit(pictures.images, pictures.target)
        assert model.history_[2, "train_loss"] == pytest.approx(-np.log(p).mean(), rel=1e-5)
        assert model.history_[:, "epoch"] == [1, 2, 3, 4]
        assert model.n_steps_ == 4

    @pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
    def test_two_fits_are_one_long_fit_but_for_the_order_of_rows(self, pictures, optimizer):
        params = {"optimizer": optimizer, "batch_size": 48, "lr": 1e-2}
        model = make(warm_start=True, **params).fit(pictures.images, pictures.target)
        model.fit(pictures.images, pictures.target)
        long = make(**params, max_epochs=4).fit(pictures.images, pictures.target)
        np.testing.assert_allclose(
            model.predict_proba(pictures.images), long.predict_proba(pictures.images), atol=1e-4
        )

    def test_without_it_a_second_fit_is_the_first_again(self, pictures):
        model = make().fit(pictures.images, pictures.target)
        expected = model.predict_proba(pictures.images)
        first = make(warm_start=True).fit(pictures.images, pictures.target)
        for again in (model.fit(pictures.images, pictures.target), first):
            np.testing.assert_array_equal(again.predict_proba(pictures.images), expected)
        assert len(model.history_) == 2

    def test_epochs_are_shuffled_otherwise_and_the_same_rows_held_out(self, pictures):
        orders, held = [], []

        class Watching(Objective):
            def order(self, module, rows):
                orders.append(super().order(module, rows).tolist())
                held.append(rows.batch(torch.arange(len(rows)), "cpu").images)
                return torch.tensor(orders[-1])

        model = make(objective=Watching(), warm_start=True, max_epochs=1, validation_fraction=0.25)
        for _ in range(2):
            model.fit(pictures.images, pictures.target)
        assert orders[0] != orders[1]
        assert torch.equal(*held)

    def test_a_loaded_model_goes_on_like_the_saved_one(self, pictures, tmp_path):
        model = make("small-cnn", warm_start=True).fit(pictures.images, pictures.target)
        fv.save(model, tmp_path / "model.fv")
        loaded, unpickled = fv.load(tmp_path / "model.fv"), pickle.loads(pickle.dumps(model))
        del model.net_  # with the optimizer, which a file lacks and a pickle holds
        unpickled_at_once = pickle.loads(pickle.dumps(unpickled))
        pairs = [(model, loaded), (unpickled, unpickled_at_once)]
        for pair in pairs:
            scores = [
                m.fit(pictures.images, pictures.target).predict_proba(pictures.images) for m in pair
            ]
            np.testing.assert_array_equal(*scores)
            assert [len(m.history_[:, "train_loss"]) for m in pair] == [4, 4]

    def test_the_head_first_and_then_the_trunk(self, pictures):
        model = make("small-cnn", warm_start=True, trainable="head")
        model.fit(pictures.images, pictures.target)
        trunk = {n: p.clone() for n, p in model.module_.trunk.named_parameters()}
        model.set_params(trainable="all", max_epochs=1, trunk_lr=0.0, weight_decay=0.0)
        model.fit(pictures.images, pictures.target)
        assert all(torch.equal(p, trunk[n]) for n, p in model.module_.trunk.named_parameters())

    def test_a_wrapped_net_goes_on(self, pictures):
        net = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
        params = {"classes": [1, 0], "max_epochs": 1, "random_state": 0}
        wrapped = TorchClassifier.from_module(net, warm_start=True, **params)
        wrapped.fit(pictures.images, pictures.target)
        anew = clone(wrapped).fit(pictures.images, pictures.target)
        expected = anew.predict_proba(pictures.images)
        np.testing.assert_array_equal(wrapped.predict_proba(pictures.images), expected)

    @pytest.mark.parametrize(
        ("params", "change", "message"),
        [
            ({}, lambda X, y: (X, y + 1), r"classes \[0, 1\], but y has \[1, 2\]"),
            ({}, lambda X, y: (X, np.arange(48) % 3), r"but y has \[0, 1, 2\]"),
            ({}, lambda X, y: (X[:, :, :8], y), r"shape \(3, 8, 16\).*fitted on \(3, 16, 16\)"),
            ({}, lambda X, y: (X[:, 0, 0], y), r"trained on rows of shape \(3, 16, 16\)"),
            (
                {"backbone": "small-cnn"},
                lambda X, y: (X, y),
                "another parameter of the net has changed",
            ),
            ({"warm_start": "yes"}, lambda X, y: (X, y), "warm_start is 'yes'; pass True or False"),
        ],
    )
    def test_what_does_not_fit_is_refused_and_the_model_stays(
        self, pictures, params, change, message
    ):
        model = make(max_epochs=1, warm_start=True).fit(pictures.images, pictures.target)
        expected = model.predict_proba(pictures.images)
        before = {name: value for name, value in vars(model).items() if name.endswith("_")}
        with pytest.raises(InputError, match=f"(?s){message}"):
            model.set_params(**params).fit(*change(pictures.images, pictures.target))
        assert before == {name: value for name, value in vars(model).items() if name.endswith("_")}
        np.testing.assert_array_equal(model.predict_proba(pictures.images), expected)

    def test_an_interrupt_leaves_the_fitted_net_as_it_was(self, pictures):
        def interrupt(images):
            raise KeyboardInterrupt

        model = make("small-cnn", warm_start=True).fit(pictures.images, pictures.target)
        expected = model.predict_proba(pictures.images)
        model.set_params(train_transform=interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.fit(pictures.images, pictures.target)
        np.testing.assert_array_equal(model.predict_proba(pictures.images), expected)
        assert len(model.history_) == 2

    def test_groups_keep_their_codes(self, pictures):
        model = GroupedClassifier("mlp", max_epochs=1, warm_start=True)
        groups = np.tile(["a", "b", "c"], 16)
        model.fit(pictures.images, pictures.target, sensitive_features=groups)
        two = np.tile(["b", "c"], 24)
        model.fit(pictures.images, pictures.target, sensitive_features=two)
        assert model.codes_ == [1, 2] * 24
        assert model.groups_.categories[0].tolist() == ["a", "b", "c"]
        with pytest.raises(InputError, match=r"label\(s\) \['d'\], unseen at fit"):
            model.fit(pictures.images, pictures.target, sensitive_features=np.tile(["b", "d"], 24))


class TestPartialFit:
    def test_each_call_is_an_epoch(self, pictures):
        model = make(max_epochs=7)
        for rows in (slice(24), slice(24, 48), slice(48)):
            model.partial_fit(pictures.images[rows], pictures.target[rows], classes=[0, 1])
        assert len(model.history_) == 3
        assert model.max_epochs == 7
        assert not model.warm_start
        assert model.classes is None

    def test_it_learns(self, pictures):
        model = make(classes=[1, 0], lr=1e-2)
        for _ in range(8):
            model.partial_fit(pictures.images, pictures.target)
        assert model.classes_.tolist() == [1, 0]
        assert model.score(pictures.images, pictures.target) > 0.9

    def test_classes_in_another_order_leave_the_outputs_as_they_are(self, pictures):
        model = make(classes=[1, 0], lr=1e-2)
        for _ in range(8):
            model.partial_fit(pictures.images, pictures.target, classes=[0, 1])
        assert model.classes_.tolist() == [1, 0]
        assert model.score(pictures.images, pictures.target) > 0.9
        with pytest.raises(InputError, match=r"classes is \[0, 2\], but the net has \[1, 0\]"):
            make(classes=[1, 0]).partial_fit(pictures.images, pictures.target, classes=[0, 2])

    def test_it_goes_on_from_a_fit_as_warm_start_does(self, pictures):
        one, two = (make().fit(pictures.images, pictures.target) for _ in range(2))
        one.partial_fit(pictures.images, pictures.target)
        two.set_params(warm_start=True, max_epochs=1).fit(pictures.images, pictures.target)
        np.testing.assert_array_equal(
            one.predict_proba(pictures.images), two.predict_proba(pictures.images)
        )

    def test_rows_without_one_of_the_classes(self, pictures):
        model = make().partial_fit(pictures.images, np.arange(48) % 3, classes=[0, 1, 2])
        model.partial_fit(pictures.images, pictures.target)
        assert model.predict_proba(pictures.images).shape == (48, 3)

    def test_groups_of_all_calls_are_known(self, pictures):
        model = GroupedClassifier("mlp")
        with pytest.raises(GroupsRequiredError):
            model.partial_fit(pictures.images, pictures.target, [0, 1])
        plain = make()
        for names in (["a", "b"], ["b", "c"]):
            groups = np.tile(names, 24)
            plain.partial_fit(pictures.images, pictures.target, [0, 1], sensitive_features=groups)
        assert plain.groups_.categories[0].tolist() == ["a", "b", "c"]

    def test_classes_are_named_once_and_for_all(self, pictures):
        model = make()
        with pytest.raises(InputError, match=r"classes is None\. Name all labels"):
            model.partial_fit(pictures.images, pictures.target)
        model.partial_fit(pictures.images, pictures.target, [0, 1])
        with pytest.raises(InputError, match=r"classes is \[0, 2\], but the net has \[0, 1\]"):
            model.partial_fit(pictures.images, pictures.target, [0, 2])
        with pytest.raises(InputError, match=r"y has \[2\], which are not among the classes"):
            model.partial_fit(pictures.images, pictures.target * 2)
