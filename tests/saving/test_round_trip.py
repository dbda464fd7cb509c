"""What is saved comes back: the same predictions, bit for bit."""

from __future__ import annotations

import copy
import errno
import json
import os

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision.models as zoo
from imblearn.over_sampling import RandomOverSampler
from safetensors import safe_open
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import fairvision as fv
from fairvision.exceptions import SavingError
from fairvision.nn import FeatureClassifier, TorchClassifier
from fairvision.toolkits import (
    BalancedSampling,
    ExponentiatedGradientClassifier,
    Reweighing,
    ThresholdOptimizedClassifier,
)


@pytest.fixture
def again(tmp_path):
    """Save, load, and see that both predict the same bits."""

    def check(model, X, objects=None, **keywords):
        loaded = fv.load(
            fv.save(model, tmp_path / "model.safetensors", overwrite=True), objects=objects
        )
        for method in ("predict", "predict_proba", "transform"):
            if hasattr(model, method):
                told = {} if method == "transform" else keywords
                expected = getattr(model, method)(X, **told)
                found = getattr(loaded, method)(X, **told)
                np.testing.assert_array_equal(found, expected)
                assert found.dtype == expected.dtype
        assert repr(loaded.get_params()) == repr(model.get_params()) or objects
        return loaded

    return check


def test_everything_learned_comes_back_but_the_net(model, data, again):
    loaded = again(model, data.images)
    assert vars(model).keys() - vars(loaded).keys() == {"net_"}
    assert loaded.history_ == model.history_
    assert loaded.history_[:, "train_loss"] == model.history_[:, "train_loss"]
    assert loaded.groups_.names == model.groups_.names
    np.testing.assert_array_equal(loaded.groups_.column(0), data.groups)
    assert not any(module.training for module in loaded.module_.modules())


def test_what_was_loaded_can_be_saved_evaluated_cloned_fitted_and_changed(
    model, data, again, tmp_path
):
    loaded = again(again(model, data.images), data.images)
    numbers = [
        fv.evaluate(m, data.images, data.target, sensitive_features=data.groups, n_boot=20,
                    random_state=0).disparities
        for m in (model, loaded)
    ]  # fmt: skip
    pd.testing.assert_frame_equal(*numbers)
    refitted = clone(loaded).fit(data.images, data.target)
    np.testing.assert_array_equal(
        refitted.predict_proba(data.images), model.predict_proba(data.images)
    )
    with torch.no_grad():  # what is loaded is no view of read-only memory
        next(loaded.module_.parameters()).zero_()


def test_loading_leaves_the_global_generators_as_they_were(model, data, again):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    again(model, data.images)
    assert torch.equal(torch_state, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("backbone", ["small-cnn", "shufflenet_v2_x0_5", zoo.squeezenet1_1])
def test_backbones(backbone, again):
    X = np.random.default_rng(0).integers(0, 255, (6, 3, 32, 32), dtype=np.uint8)
    again(TorchClassifier(backbone, max_epochs=1, random_state=0).fit(X, np.arange(6) % 3), X)


def test_an_unfitted_estimator_comes_back_unfitted(again, tmp_path):
    path = fv.save(TorchClassifier(lr=0.5, optimizer=torch.optim.RMSprop), tmp_path / "m")
    loaded = fv.load(path)
    assert (loaded.lr, loaded.optimizer) == (0.5, torch.optim.RMSprop)
    assert not hasattr(loaded, "module_")


def test_a_table_and_its_column_names(again):
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 3)), columns=list("abc"))
    loaded = again(TorchClassifier(max_epochs=2, random_state=0).fit(X, np.arange(30) % 2), X)
    assert loaded.feature_names_in_.tolist() == ["a", "b", "c"]
    assert next(loaded.module_.parameters()).dtype == torch.float64


@pytest.mark.parametrize(
    "labels",
    [np.array([True, False]), np.array([1.5, 2.5]), np.array(["x", 3], dtype=object)],
)
def test_class_labels_keep_their_type(labels, tiny, again, data):
    model = TorchClassifier.from_module(tiny, classes=labels)
    loaded = again(model, data.images, objects={"backbone": tiny})
    assert loaded.classes_.dtype == labels.dtype


class TestNested:
    def test_resampled_without_its_fitted_sampler(self, data, again):
        model = fv.compose(
            pre=RandomOverSampler(random_state=0),
            model=TorchClassifier("mlp", max_epochs=1, random_state=0),
        ).fit(data.images, data.target, sensitive_features=data.groups)
        loaded = again(model, data.images)
        assert not hasattr(loaded, "sampler_")

    @pytest.mark.parametrize("pre", [Reweighing(), BalancedSampling(random_state=0)])
    @pytest.mark.parametrize("frozen", [True, False])
    def test_samplers_and_thresholds_of_the_toolkits(self, pre, frozen, data, again):
        inner = fv.compose(pre=pre, model=TorchClassifier("mlp", max_epochs=2, random_state=0))
        if frozen:
            inner.fit(data.images, data.target, sensitive_features=data.groups)
            inner = FrozenEstimator(inner)
        model = ThresholdOptimizedClassifier(inner, random_state=0)
        model.fit(data.images, data.target, sensitive_features=data.groups)
        loaded = again(model, data.images, sensitive_features=data.groups)
        if frozen:  # held twice, saved once
            assert loaded.estimator is loaded.estimator_ or (
                loaded.estimator.estimator is loaded.estimator_.estimator
            )

    def test_a_mixture(self, data, again):
        net = TorchClassifier("mlp", max_epochs=1, random_state=0)
        model = ExponentiatedGradientClassifier(net, max_iter=2, random_state=0)
        again(
            model.fit(data.images, data.target, sensitive_features=data.groups),
            data.images,
        )

    def test_a_pipeline_from_features_to_a_logistic_regression(self, data, again):
        net = TorchClassifier("mlp", max_epochs=1, random_state=0)
        model = make_pipeline(net, LogisticRegression()).fit(data.images, data.target)
        again(model, data.images)

    def test_a_step_is_named_as_scikit_learn_does(self, data, tiny, again, tmp_path):
        net = TorchClassifier.from_module(tiny, classes=["cat", "dog"])
        model = make_pipeline(net)
        assert "torchclassifier__backbone" in model.get_params()
        again(model, data.images, objects={"torchclassifier__backbone": tiny})
        again(model, data.images, objects={"backbone": tiny})


class TestModulesOfOthers:
    def test_from_module_takes_the_structure_from_objects_and_the_weights_from_the_file(
        self, tiny, data, again
    ):
        model = TorchClassifier.from_module(tiny, classes=["cat", "dog"])
        other = type(tiny)()
        before = copy.deepcopy(other.state_dict())
        loaded = again(model, data.images, objects={"backbone": other})
        assert all(torch.equal(value, before[k]) for k, value in other.state_dict().items())
        again(model, data.images, objects={"backbone": loaded.backbone})

    def test_a_clone_that_trained_on(self, tiny, data, again):
        model = clone(TorchClassifier.from_module(tiny, classes=["cat", "dog"], max_epochs=1))
        model.fit(data.images, data.target)
        again(model, data.images, objects={"backbone": type(tiny)()})

    def test_a_trunk_in_double_precision(self, data, again):
        trunk = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4)).double()
        module = FeatureClassifier(trunk, 4, 2).double()
        model = TorchClassifier.from_module(module, classes=["cat", "dog"])
        again(model, data.images, objects={"backbone": copy.deepcopy(module).float()})

    def test_published_weights_are_not_fetched_again(self, tmp_path, monkeypatch, again):
        # As torchvision would have downloaded them; GoogLeNet changes its input with them.
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        folder = tmp_path / "hub" / "checkpoints"
        folder.mkdir(parents=True)
        name = zoo.get_model_weights("googlenet").DEFAULT.url.rpartition("/")[2]
        torch.save(zoo.googlenet(init_weights=False).state_dict(), folder / name)
        X = np.random.default_rng(0).integers(0, 255, (4, 3, 32, 32), dtype=np.uint8)
        model = TorchClassifier("googlenet", weights="DEFAULT", max_epochs=0, device="cpu")
        model.fit(X, np.arange(4) % 2)
        (folder / name).unlink()
        loaded = again(model, X)
        assert loaded.module_.trunk.transform_input
        assert loaded.weights == "DEFAULT"

    def test_nor_is_a_file_of_weights_opened(self, tmp_path, again):
        path = tmp_path / "net.pth"
        torch.save(zoo.shufflenet_v2_x0_5().state_dict(), path)
        X = np.random.default_rng(0).integers(0, 255, (4, 3, 32, 32), dtype=np.uint8)
        model = TorchClassifier("shufflenet_v2_x0_5", weights=str(path), max_epochs=0)
        model.fit(X, np.arange(4) % 2)
        path.unlink()
        again(model, X)


class TestTheFile:
    def test_its_weights_and_manifest_can_be_read_without_fairvision(self, model, tmp_path):
        path = fv.save(model, tmp_path / "m.safetensors")
        with safe_open(path, "pt") as file:
            head = file.get_tensor("module_.head.weight")
            manifest = json.loads(file.metadata()["fairvision"])
        assert torch.equal(head, model.module_.head.weight)
        assert manifest["method"] == "fairvision:erm"
        assert manifest["versions"]["numpy"] == np.__version__

    def test_the_same_model_gives_the_same_bytes(self, model, tmp_path):
        one, two = (fv.save(model, tmp_path / name).read_bytes() for name in "ab")
        assert one == two

    def test_metrics_with_intervals_are_in_the_manifest(self, model, data, tmp_path):
        report = fv.evaluate(
            model, data.images, data.target, sensitive_features=data.groups, n_boot=20,
            random_state=0,
        )  # fmt: skip
        manifest = fv.saving.read_manifest(fv.save(model, tmp_path / "m", evaluation=report))
        assert manifest["evaluation"] == json.loads(json.dumps(report.to_dict()))
        assert {"value", "lower", "upper"} <= manifest["evaluation"]["overall"]["accuracy"].keys()

    def test_an_existing_file_is_refused_unless_told(self, model, tmp_path):
        path = tmp_path / "m"
        path.write_text("precious")
        with pytest.raises(SavingError, match=r"m exists. Choose another name, or pass overwrite"):
            fv.save(model, path)
        assert path.read_text() == "precious"
        fv.save(model, path, overwrite=True)
        assert fv.load(path).lr == model.lr
        assert [p.name for p in tmp_path.iterdir()] == ["m"]

    def test_a_folder_or_no_folder(self, model, tmp_path):
        with pytest.raises(SavingError, match=r"exists. Choose another name.$"):
            fv.save(model, tmp_path, overwrite=True)
        with pytest.raises(SavingError, match=r"cannot be written: there is no folder"):
            fv.save(model, tmp_path / "no" / "m")

    def test_on_a_full_disk_the_old_file_stays(self, model, tmp_path, monkeypatch):
        path = tmp_path / "m"
        fv.save(model, path)
        before = path.read_bytes()

        def full(handle: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(SavingError, match=r"No space left on device. An existing file is"):
            fv.save(model, path, overwrite=True)
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["m"]


class TestWhatCannotBeSaved:
    def test_a_class_that_nobody_registered(self, data, tmp_path):
        from sklearn.tree import DecisionTreeClassifier

        tree = DecisionTreeClassifier().fit(data.images.reshape(40, -1), data.target)
        with pytest.raises(SavingError, match=r"The estimator is a sklearn.tree.*DecisionTree"):
            fv.save(tree, tmp_path / "m")
        with pytest.raises(SavingError, match=r"estimator is a sklearn.tree"):
            fv.save(FrozenEstimator(tree), tmp_path / "m")
        assert list(tmp_path.iterdir()) == []

    def test_a_fitted_attribute_of_no_kind_that_can_be_stored(self, model, tmp_path):
        broken = copy.copy(model)
        broken.surprise_ = object()
        with pytest.raises(SavingError, match=r"surprise_ of TorchClassifier holds a builtins.obj"):
            fv.save(broken, tmp_path / "m")

    def test_what_could_not_be_read_again_is_not_written(self, model, tmp_path, monkeypatch):
        def refuse(self, state):
            raise KeyError("lost")

        monkeypatch.setattr(TorchClassifier, "__fairvision_setstate__", refuse)
        with pytest.raises(SavingError, match=r"could not be loaded again .*lost.*Nothing was"):
            fv.save(model, tmp_path / "model")
        assert not list(tmp_path.iterdir())

    def test_what_is_no_estimator(self, tmp_path):
        for thing in (TorchClassifier, 3, torch.nn.Linear(2, 2)):
            with pytest.raises(SavingError, match=r"pass a fitted estimator"):
                fv.save(thing, tmp_path / "m")
