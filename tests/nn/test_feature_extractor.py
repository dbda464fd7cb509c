"""Features of a pretrained net: equal to torchvision's, streamed, refused where they cannot be."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn
from torchvision import models
from torchvision.transforms import functional as pictures

from fairvision.base import LazyImages
from fairvision.exceptions import DivergedError, FairvisionWarning, InputError
from fairvision.nn import FeatureExtractor, TorchClassifier, as_module
from fairvision.saving import export_onnx, load, save

# Numbers are compared with those of nets on the CPU.
pytestmark = pytest.mark.cpu

WEIGHTS = os.environ.get("FAIRVISION_WEIGHTS", "")
needs_weights = pytest.mark.skipif(
    not Path(WEIGHTS).is_file(), reason="FAIRVISION_WEIGHTS names no file"
)


def pixels(n: int = 6, size: int = 24, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, channels, size, size), dtype=np.uint8)


class Net(nn.Module):
    """Two convolutions, pooled: its output is its features."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 5, 3, stride=2)
        self.second = nn.Conv2d(5, 7, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).relu_()).mean((2, 3))


def net() -> Net:
    with torch.random.fork_rng():
        return Net()


@needs_weights
class TestTorchvisionsOwn:
    def forward(self, X: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Pooled features and the maps of the 14th block, by torchvision alone."""
        model = models.mobilenet_v2()
        model.load_state_dict(torch.load(WEIGHTS, weights_only=True))
        card = models.MobileNet_V2_Weights.IMAGENET1K_V1.transforms()
        x = pictures.resize(torch.from_numpy(X).float() / 255, [size, size], antialias=True)
        x = pictures.normalize(x, card.mean, card.std)
        with torch.no_grad():
            return model.eval().features(x).mean((2, 3)).numpy(), model.features[:15](x).numpy()

    @pytest.mark.parametrize(("image_size", "size"), [(None, 224), (64, 64)])
    def test_features_and_maps_are_those_of_its_forward(self, image_size, size):
        X = pixels(3, 40)
        features, maps = self.forward(X, size)
        given = {"weights": WEIGHTS, "image_size": image_size}
        np.testing.assert_allclose(FeatureExtractor(**given).fit_transform(X), features, atol=1e-5)
        inner = FeatureExtractor(**given, layer="features.14").fit_transform(X)
        np.testing.assert_allclose(inner, maps, atol=1e-5)

    def test_photographs(self):
        root = os.environ.get("FAIRVISION_UTKFACE")
        if not root:
            pytest.skip("FAIRVISION_UTKFACE names no folder")
        from fairvision.datasets import ImageFiles

        files = ImageFiles(sorted(Path(root).glob("*.jpg"))[:8], image_size=96)
        found = FeatureExtractor(weights=WEIGHTS, image_size=96).fit_transform(files)
        np.testing.assert_allclose(found, self.forward(np.asarray(files), 96)[0], atol=1e-5)


def test_a_table_with_names_for_what_follows():
    X, y = pixels(20), np.arange(20) % 2
    extractor = FeatureExtractor(net()).set_output(transform="pandas")
    table = extractor.fit_transform(X)
    assert list(table.columns) == [f"featureextractor{i}" for i in range(7)]
    assert set(table.dtypes.astype(str)) == {"float32"}
    chain = make_pipeline(FeatureExtractor(net()), LogisticRegression())
    assert chain.fit(X, y).predict(X).shape == (20,)
    assert clone(chain).get_params()["featureextractor__image_size"] is None


def test_maps_are_no_table():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(2))
    module(torch.zeros(1, 3, *pixels(1).shape[2:]))
    extractor = FeatureExtractor(module, layer="0").set_output(transform="pandas")
    with pytest.raises(InputError, match=r"asks for pandas, but layer '0' gives maps.*'default'"):
        extractor.fit_transform(pixels(4))
    assert extractor.set_output(transform="default").transform(pixels(4)).ndim == 4


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_batches_do_not_show(batch_size):
    X = pixels(9)
    whole = net()(torch.from_numpy(X).float() / 255).detach().numpy()
    found = FeatureExtractor(net(), batch_size=batch_size).fit_transform(X)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, whole, atol=1e-6)


def test_a_layer_is_taken_before_later_work_in_place():
    X = pixels()
    maps = FeatureExtractor(net(), layer="first").fit_transform(X)
    assert maps.shape == (6, 5, 11, 11)
    assert maps.min() < 0
    with pytest.raises(InputError, match="maps of shape"):
        FeatureExtractor(net(), layer="first").fit(X).get_feature_names_out()


def test_pictures_of_other_sizes_are_resized_or_refused():
    resized = FeatureExtractor(net(), image_size=(16, 20)).fit(pixels())
    assert resized.transform(pixels(2, 40)).shape == (2, 7)
    with pytest.raises(InputError, match="fitted on 3"):
        resized.transform(pixels(2, 24, channels=1))
    with pytest.raises(InputError, match=r"fitted on \(3, 24, 24\)"):
        FeatureExtractor(net()).fit(pixels()).transform(pixels(2, 40))


class Counted(LazyImages):
    """Pictures that exist only while they are read; remembers the most read at once."""

    most = 0

    def read(self, rows):
        type(self).most = max(self.most, len(rows))
        return np.stack([np.full((3, 128, 128), row % 256, dtype=np.uint8) for row in rows])


def test_features_that_are_not_finite_reach_neither_a_head_nor_a_cache(tmp_path):
    broken = net()
    torch.nn.init.constant_(broken.second.bias, float("nan"))
    with pytest.raises(DivergedError, match="gives features that are not finite for 6 of 6"):
        FeatureExtractor(broken, cache=tmp_path).fit_transform(pixels())
    assert not list(tmp_path.rglob("features.f32"))


def test_a_hundred_megabytes_of_pictures_are_read_a_batch_at_a_time():
    images = Counted(2100, (3, 128, 128))
    extractor = FeatureExtractor(net(), image_size=8, batch_size=32, device="cpu")
    assert extractor.fit_transform(images).shape == (2100, 7)
    assert Counted.most == 32


def test_random_weights_are_said_and_the_same_each_time():
    with pytest.warns(FairvisionWarning, match=r"'mobilenet_v3_small'.*random weights"):
        first = FeatureExtractor("mobilenet_v3_small").fit_transform(pixels(2, 32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = FeatureExtractor("mobilenet_v3_small").fit_transform(pixels(2, 32))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"layer": "firsts"}, "no layer 'firsts'. Did you mean first"),
        ({"image_size": "64"}, "image_size is '64'"),
        ({"image_size": (4, 4, 4)}, r"image_size is \(4, 4, 4\)"),
        ({"image_size": 2}, r"does not take images of shape \(3, 2, 2\)"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"device": "tpu?"}, "device is 'tpu\\?'"),
        ({"backbone": "mobilenet"}, "No backbone is called 'mobilenet'"),
        ({"backbone": "resnet18", "weights": "nope.pth"}, "there is no such file"),
    ],
)
@pytest.mark.filterwarnings("ignore::fairvision.exceptions.FairvisionWarning")
def test_what_cannot_be_used_is_named_before_anything_runs(params, message):
    with pytest.raises(InputError, match=message):
        FeatureExtractor(**{"backbone": net(), **params}).fit(pixels())


def test_a_table_is_no_picture():
    with pytest.raises(InputError, match="images need"):
        FeatureExtractor(net()).fit(np.zeros((4, 5)))


def test_a_saved_chain_gives_the_same_and_needs_neither_weights_nor_cache(tmp_path):
    X, y = pixels(8, 32), np.arange(8) % 2
    torch.save(models.squeezenet1_1().state_dict(), tmp_path / "net.pth")
    extractor = FeatureExtractor("squeezenet1_1", str(tmp_path / "net.pth"), image_size=48)
    chain = make_pipeline(extractor, LogisticRegression()).fit(X, y)
    save(chain, tmp_path / "chain.fairvision")
    (tmp_path / "net.pth").unlink()
    loaded = load(tmp_path / "chain.fairvision")
    np.testing.assert_array_equal(loaded.predict_proba(X), chain.predict_proba(X))


def test_one_onnx_file_of_the_net_and_what_follows_it(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    X, y = pixels(12, 20), np.array(["no", "yes"] * 6)
    chain = make_pipeline(
        FeatureExtractor(net(), layer="second", image_size=(16, 24)),
        TorchClassifier("linear", max_epochs=2, random_state=0),
    ).fit(X, y)
    path = export_onnx(chain, tmp_path / "chain.onnx")
    images = X.astype(np.float32) / 255
    probabilities, labels = runtime.InferenceSession(path).run(None, {"images": images})
    np.testing.assert_allclose(probabilities, chain.predict_proba(X), atol=1e-5)
    assert labels.tolist() == chain.predict(X).tolist()
    np.testing.assert_allclose(
        as_module(chain)(torch.from_numpy(images)).detach(), probabilities, atol=1e-5
    )


@pytest.mark.parametrize("n_outputs", [2, 3])
def test_a_net_that_somebody_trained_is_an_extractor(n_outputs):
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    classifier = nn.Sequential(net, nn.Linear(5, n_outputs))
    wrapped = TorchClassifier.from_module(classifier, classes=range(n_outputs))
    X = pixels(4)
    np.testing.assert_array_equal(
        FeatureExtractor(wrapped.module_).fit_transform(X), wrapped.transform(X)
    )
    assert FeatureExtractor(classifier).fit_transform(X).shape == (4, n_outputs)
