"""torch, torchvision, timm and ONNX: what comes in, and what goes out."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.models as zoo
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from torch.utils.data import DataLoader, TensorDataset

import fairvision as fv
from fairvision.datasets import from_torch
from fairvision.exceptions import InputError, SavingError
from fairvision.nn import TorchClassifier, as_module

pytestmark = pytest.mark.cpu

cell = pytest.mark.cell
slow = pytest.mark.slow

# The smallest of each family, and the image size that it can do with.
FAMILIES = [
    ("convnext_tiny", 32),
    ("densenet121", 32),
    ("efficientnet_b0", 32),
    ("efficientnet_v2_s", 32),
    ("googlenet", 32),
    ("inception_v3", 75),
    ("mnasnet0_5", 32),
    ("mobilenet_v2", 32),
    ("mobilenet_v3_small", 32),
    ("regnet_y_400mf", 32),
    ("resnet18", 32),
    ("resnext50_32x4d", 32),
    ("shufflenet_v2_x0_5", 32),
    ("squeezenet1_1", 64),
    ("swin_t", 32),
    ("swin_v2_t", 64),
    pytest.param("alexnet", 64, marks=slow),
    pytest.param("maxvit_t", 224, marks=pytest.mark.long),
    pytest.param("vgg11", 32, marks=slow),
    pytest.param("vit_b_32", 32, marks=slow),
    pytest.param("wide_resnet50_2", 32, marks=pytest.mark.long),
]


def pixels(n: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (n, 3, size, size), dtype=np.uint8)


def check_backbone(name: str, size: int, **params: Any) -> None:
    X, y = pixels(4, size), np.arange(4) % 2
    model = TorchClassifier(name, max_epochs=1, batch_size=4, random_state=0, **params).fit(X, y)
    assert np.isfinite(model.history_[0, "train_loss"])
    features = torch.from_numpy(model.transform(X))
    assert features.shape == (4, model.module_.head.in_features)
    with torch.no_grad():
        expected = model.module_.head(features).double().softmax(1).numpy()
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-5)


@cell("torchvision", "every family of `torchvision.models` classifiers as backbone")
@pytest.mark.parametrize(("name", "size"), FAMILIES)
def test_torchvision(name: str, size: int) -> None:
    # A step of a hundred million weights takes ten seconds.
    check_backbone(name, size, trainable="head" if name in ("alexnet", "vgg11") else "all")


@cell("torchvision", "every family of `torchvision.models` classifiers as backbone")
def test_no_family_is_forgotten() -> None:
    names = [getattr(family, "values", family)[0] for family in FAMILIES]
    tried = {zoo.get_model_builder(name).__module__ for name in names}
    assert {zoo.get_model_builder(n).__module__ for n in zoo.list_models(module=zoo)} <= tried


class TestTimm:
    @cell("timm", 'models as `backbone="timm:NAME"` (extra `timm`)')
    @pytest.mark.parametrize("name", ["test_resnet", "test_vit", "mobilenetv3_small_050"])
    def test_backbones(self, name: str) -> None:
        pytest.importorskip("timm")
        check_backbone(f"timm:{name}", 48)

    @cell("timm", "saved and loaded, nothing fetched")
    def test_saved(self, tmp_path: Path) -> None:
        timm = pytest.importorskip("timm")
        weights = tmp_path / "weights.pth"
        torch.save(timm.create_model("test_vit", img_size=48).state_dict(), weights)
        X = pixels(4, 48)
        model = TorchClassifier("timm:test_vit", weights=str(weights), max_epochs=0)
        model.fit(X, np.arange(4) % 2)
        weights.unlink()
        loaded = fv.load(fv.save(model, tmp_path / "m"))
        np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))

    @pytest.mark.parametrize(
        ("name", "weights", "message"),
        [
            ("resnet81", None, "timm has no model 'resnet81'. Did you mean resnet"),
            ("hf-hub:someone/model", None, "timm has no model 'hf-hub:someone/model'"),
            ("local-dir:/tmp", None, "timm has no model 'local-dir:/tmp'"),
            ("test_vit", "nope.pth", "'nope.pth': there is no such file. Pass 'DEFAULT'"),
        ],
    )
    def test_what_it_has_not_is_not_looked_for_elsewhere(
        self, name: str, weights: str | None, message: str
    ) -> None:
        pytest.importorskip("timm")
        with pytest.raises(InputError, match=message):
            TorchClassifier(f"timm:{name}", weights=weights).fit(pixels(4, 32), np.arange(4) % 2)


class TestFasterTraining:
    @staticmethod
    def fit(X: Any, y: Any, **settings: Any) -> TorchClassifier:
        model = TorchClassifier(max_epochs=2, random_state=0, **settings)
        return model.fit(X[:100], y[:100])

    @cell("torch", "`torch.compile`: `TorchClassifier(compile=True)` or a backend's name")
    @pytest.mark.parametrize(
        "backend",
        ["eager", pytest.param("aot_eager", marks=slow), pytest.param(True, marks=slow)],
    )
    def test_compile(self, backend: Any, X: Any, y: Any) -> None:
        if backend is True and not (shutil.which("gcc") or shutil.which("clang")):
            pytest.skip("torch's own backend needs a C++ compiler")
        state = torch.get_rng_state()
        net = "mlp" if backend is True else "small-cnn"  # C++ of convolutions takes half a minute
        compiled, plain = (self.fit(X, y, backbone=net, compile=c) for c in (backend, False))
        found, expected = compiled.predict_proba(X), plain.predict_proba(X)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert torch.equal(state, torch.get_rng_state())
        # Predictions come from the plain module, whose names are as ever.
        assert compiled.module_.state_dict().keys() == plain.module_.state_dict().keys()
        assert not any(part._compiled_call_impl for part in compiled.module_.modules())

    @cell("torch", "`torch.compile`: `TorchClassifier(compile=True)` or a backend's name")
    def test_compiled_is_what_runs(self, X: Any, y: Any) -> None:
        seen = []

        def backend(graph: Any, inputs: Any) -> Any:
            seen.append(graph)
            return graph.forward

        self.fit(X, y, compile=backend)
        assert seen

    @cell("torch", "mixed precision: `TorchClassifier(amp=True)`, bfloat16")
    def test_amp(self, X: Any, y: Any) -> None:
        low, plain = self.fit(X, y, amp=True), self.fit(X, y)
        again = self.fit(X, y, amp=True)
        difference = abs(low.predict_proba(X) - plain.predict_proba(X)).max()
        assert 0 < difference < 0.1
        np.testing.assert_array_equal(again.predict_proba(X), low.predict_proba(X))
        assert {p.dtype for p in low.module_.parameters()} == {torch.float32}
        assert not {"forward", "features"} & vars(low.module_).keys()

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"amp": "yes"}, "amp is 'yes'; pass True"),
            ({"compile": 3}, "compile is 3; pass True, False, or a backend"),
            ({"compile": "inducter"}, "compile is 'inducter'; torch knows .*inductor"),
        ],
    )
    def test_what_is_neither(self, settings: Any, message: str, X: Any, y: Any) -> None:
        with pytest.raises(InputError, match=message):
            self.fit(X, y, **settings)


class TestDatasets:
    @cell("torch", "`Dataset` and `DataLoader` in: `fv.datasets.from_torch`, read lazily")
    def test_a_data_set_with_groups(self, X: Any, y: Any, groups: Any, erm: Any) -> None:
        codes = torch.from_numpy(np.unique(groups, return_inverse=True)[1])
        whole = TensorDataset(torch.from_numpy(np.array(X)), torch.from_numpy(np.array(y)), codes)
        for given in (whole, DataLoader(whole, batch_size=7, shuffle=True)):
            data = from_torch(given)
            np.testing.assert_array_equal(data.images, X)
            np.testing.assert_array_equal(data.target, y)
            assert data.sensitive_features["sensitive_feature"].tolist() == codes.tolist()
        from_arrays = erm.fit(X, y).predict_proba(X)
        lazily = erm.fit(
            data.images, data.target, sensitive_features=data.sensitive_features
        ).predict_proba(data.images)
        np.testing.assert_array_equal(lazily, from_arrays)

    @cell("torchvision", "data sets in, with their transforms: `fv.datasets.from_torch`")
    def test_fake_data_of_torchvision(self, erm: Any) -> None:
        from torchvision.datasets import FakeData

        data = from_torch(
            FakeData(12, (3, 24, 24), num_classes=2), sensitive_features=np.arange(12) % 3
        )
        assert data.images.shape == (12, 3, 24, 24)
        assert data.images.dtype == np.uint8
        assert data.images[2:5].shape == (3, 3, 24, 24)
        assert data.images[np.array([True, False] * 6)].shape[0] == 6
        np.testing.assert_array_equal(data.images[3:][0], np.asarray(data.images)[3])
        assert erm.fit(data.images, data.target).predict(data.images).shape == (12,)

    def test_known_targets_are_not_read_from_the_items(self) -> None:
        class Counting(torch.utils.data.Dataset[Any]):
            targets = (0, 1, 0, 1) * 100
            read = 0

            def __len__(self) -> int:
                return 400

            def __getitem__(self, row: int) -> Any:
                self.read += 1
                return torch.zeros(1, 8, 8), self.targets[row]

        dataset = Counting()
        data = from_torch(dataset)
        before = dataset.read
        assert data.target.tolist() == [0, 1, 0, 1] * 100
        assert before < 100  # some, to see that the list is theirs
        assert data.images[:3].shape == (3, 1, 8, 8)
        assert dataset.read == before

    def test_what_is_refused(self) -> None:
        class Stream(torch.utils.data.IterableDataset[Any]):
            def __iter__(self) -> Any:
                return iter([])

        uneven = [(torch.zeros(3, 8, 8), 0), (torch.zeros(3, 9, 8), 1)]
        with pytest.raises(fv.exceptions.DatasetError, match="Stream has no length"):
            from_torch(Stream())
        with pytest.raises(fv.exceptions.DatasetError, match="is empty"):
            from_torch([])
        with pytest.raises(fv.exceptions.DatasetError, match="is a Tensor; expected"):
            from_torch(torch.zeros(3, 4))
        with pytest.raises(fv.exceptions.DatasetError, match=r"Item 1 has an image of shape"):
            np.asarray(from_torch(uneven).images)


@cell("torch", "plain `nn.Module` out: `module_`, and `fv.nn.as_module` with the threshold")
def test_a_plain_module(X: Any, y: Any, fitted: TorchClassifier) -> None:
    images = torch.tensor(X) / 255
    with torch.no_grad():
        logits = fitted.module_(images).double().softmax(1).numpy()
        probabilities = as_module(FrozenEstimator(fitted))(images).numpy()
    np.testing.assert_allclose(logits, fitted.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(probabilities, fitted.predict_proba(X), atol=1e-6)
    with pytest.raises(InputError, match="LogisticRegression has no __fairvision_module__"):
        as_module(LogisticRegression())


class TestONNX:
    @staticmethod
    def run(path: Path, X: Any) -> Any:
        runtime = pytest.importorskip("onnxruntime")
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        dtype = {"tensor(float)": np.float32, "tensor(double)": np.float64}
        wanted = dtype[session.get_inputs()[0].type]
        return session.run(["probabilities", "labels"], {"images": np.asarray(X, wanted)})

    @pytest.fixture(autouse=True)
    def needs(self) -> None:
        pytest.importorskip("onnx")
        pytest.importorskip("onnxscript")

    @cell("ONNX", "module, threshold and labels in one file, any batch size (extra `onnx`)")
    @pytest.mark.parametrize("labels", [["frown", "smile"], [7, -2]])
    def test_one_file(self, labels: Any, X: Any, y: Any, tmp_path: Path) -> None:
        model = TorchClassifier(max_epochs=2, random_state=0).fit(X, np.asarray(labels)[y])
        path = fv.saving.export_onnx(model, tmp_path / "model.onnx")
        assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
        for n in (1, 3, 200):
            probabilities, found = self.run(path, X[:n] / 255)
            np.testing.assert_allclose(probabilities, model.predict_proba(X[:n]), atol=1e-5)
            np.testing.assert_array_equal(found, model.predict(X[:n]))
        with pytest.raises(SavingError, match="exists"):
            fv.saving.export_onnx(model, path)

    @cell("ONNX", "of a model trained elsewhere")
    def test_a_wrapped_model(self, X: Any, tmp_path: Path) -> None:
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(X[0].size, 1))
        model = TorchClassifier.from_module(net, classes=[False, True])
        with pytest.raises(InputError, match=r"Pass input_shape=\(n_channels"):
            fv.saving.export_onnx(model, tmp_path / "m")
        path = fv.saving.export_onnx(model, tmp_path / "m", input_shape=X.shape[1:])
        probabilities, found = self.run(path, X / 255)
        np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-5)
        np.testing.assert_array_equal(found, model.predict(X))

    def test_a_module_that_fixes_the_number_of_images_is_refused(self, tmp_path: Path) -> None:
        class Counting(torch.nn.Linear):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return super().forward(x.reshape(len(x), -1))

        model = TorchClassifier.from_module(
            torch.nn.Sequential(Counting(192, 2)), classes=[0, 1], input_shape=(3, 8, 8)
        )
        with pytest.raises(InputError, match="two images at a time"):
            fv.saving.export_onnx(model, tmp_path / "m")

    def test_labels_that_it_has_no_type_for(self, X: Any, tmp_path: Path) -> None:
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(X[0].size, 2))
        model = TorchClassifier.from_module(net, classes=np.array([1, "a"], dtype=object))
        with pytest.raises(InputError, match="ONNX knows numbers"):
            fv.saving.export_onnx(model, tmp_path / "m", input_shape=X.shape[1:])
