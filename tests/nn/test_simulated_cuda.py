"""Device mistakes are caught where there is no GPU: on one that is simulated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from simulated_cuda import CUDA, simulated_cuda
from sklearn.base import clone

import fairvision as fv
from fairvision.nn import FeatureExtractor, TorchClassifier
from fairvision.nn.net import ObjectiveNet
from fairvision.testing._data import stripes
from fairvision.testing._subject import _TRAINING, Subject

# Each test simulates a GPU itself: none is simulated around it.
pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
]


def test_it_refuses_what_a_gpu_refuses() -> None:
    with simulated_cuda():
        x = torch.ones(3, device="cuda")
        assert (x.device, (x * 2).sum().item(), (x + torch.tensor(1)).device) == (CUDA, 6, CUDA)
        with pytest.raises(RuntimeError, match="two devices"):
            x + torch.ones(3)
        with pytest.raises(RuntimeError, match="two devices"):
            torch.ones(3)[torch.zeros(1, dtype=torch.int64, device="cuda")]
        with pytest.raises(TypeError, match="numpy"):
            x.numpy()
        torch.cuda.set_sync_debug_mode("error")
        y = torch.ones(3).pin_memory().to("cuda", non_blocking=True)
        for wait in (y.sum().item, y.nonzero, y.cpu, lambda: y[y > 0], lambda: x.copy_(x.cpu())):
            with pytest.raises(RuntimeError, match="waits"):
                wait()
        torch.ones(3).nonzero()
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::fairvision.exceptions.FairvisionWarning")
@pytest.mark.parametrize("method", fv.methods(), ids=lambda method: method.qualified_name)
def test_every_method_fits_without_waiting_and_predicts(
    method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_step, data = ObjectiveNet.train_step, stripes()

    def without_waiting(*args: Any, **kwargs: Any) -> Any:
        torch.cuda.set_sync_debug_mode("error")
        try:
            return train_step(*args, **kwargs)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(ObjectiveNet, "train_step", without_waiting)
    monkeypatch.setitem(_TRAINING, "amp", "auto")  # as users have it
    with simulated_cuda():
        subject = Subject(method, device="cuda")
        subject.scores(subject.fitted(data), data)


def test_what_a_classifier_can_do(tmp_path: Any) -> None:
    data = stripes()
    cpu = TorchClassifier(max_epochs=2, random_state=0, device="cpu").fit(data.X, data.y)
    with simulated_cuda():
        model = TorchClassifier(max_epochs=2, random_state=0, trainable="last:1")
        model.fit(data.X, data.y, sample_weight=np.ones(64)).partial_fit(data.X, data.y)
        path = fv.save(model, tmp_path / "model")
        for kept in (
            model,
            fv.load(path),
            TorchClassifier.from_module(cpu.module_, classes=[0, 1]),
        ):
            assert next(kept.module_.parameters()).device == CUDA
            assert kept.transform(data.X).shape == (64, 128)
        assert FeatureExtractor(cpu.module_).fit_transform(data.X).shape == (64, 128)
        # Its numbers are the CPU's, up to the order of sums.
        same = TorchClassifier(max_epochs=2, random_state=0).fit(data.X, data.y)
        np.testing.assert_allclose(same.predict_proba(data.X), cpu.predict_proba(data.X), atol=1e-2)


@pytest.mark.filterwarnings("ignore::fairvision.exceptions.CollapseWarning")
def test_a_wrapped_net_trains_and_gives_features() -> None:
    jlu, data = pytest.importorskip("fairvision_jlu"), stripes()
    size = data.X[0].size
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(size, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)
    )
    with simulated_cuda():
        params = {"alpha": 0.1, "max_epochs": 1, "random_state": 0}
        wrapped = jlu.JLUClassifier.from_module(net, classes=[0, 1], **params)
        model = clone(wrapped).fit(data.X, data.y, sensitive_features=data.groups)
        assert model.accelerations_ == ("bfloat16", "fused optimizer", "images on device")
        assert FeatureExtractor(model.module_).fit_transform(data.X).shape == (64, 4)


class Viewed(torch.nn.Module):
    """A net that needs its maps with channels first, as many published ones do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.LazyLinear(8)
        self.out(self.conv(torch.zeros(1, 3, 24, 24)).flatten(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.conv(x)
        return self.out(maps.view(len(maps), -1))


def test_a_net_of_ones_own_keeps_channels_first() -> None:
    X, y = np.random.default_rng(0).integers(0, 256, (8, 3, 24, 24), np.uint8), np.arange(8) % 2
    with simulated_cuda():
        for backbone, layout in ((Viewed(), ()), ("small-cnn", ("channels last",))):
            model = TorchClassifier(backbone, max_epochs=1, random_state=0).fit(X, y)
            assert set(layout) == set(model.accelerations_) & {"channels last"}
            assert "bfloat16" in model.accelerations_


def test_a_sigmoid_is_not_rounded_to_bfloat16() -> None:
    """Above a logit of 6 nothing of 1 - sigmoid would be left, and no gradient."""
    X, y = np.random.default_rng(0).integers(0, 256, (8, 3, 24, 24), np.uint8), np.arange(8) % 2
    layers = torch.nn.Flatten(), torch.nn.Linear(3 * 24 * 24, 1), torch.nn.Sigmoid()
    wrapped = TorchClassifier.from_module(
        torch.nn.Sequential(*layers), classes=[0, 1], max_epochs=1, random_state=0
    )
    with simulated_cuda():
        assert "bfloat16" not in clone(wrapped).fit(X, y).accelerations_


def test_third_parties_draw_alike_in_the_first_run(monkeypatch: Any) -> None:
    """The generator of a GPU can be seeded only once there is one."""
    from fairvision.comparison import run_method

    order: list[str] = []
    monkeypatch.setattr(run_method, "_warm_up", lambda device: order.append("warm"))
    seeded = run_method._reproducible

    def noted(*args: Any) -> Any:
        order.append("seeded")
        return seeded(*args)

    monkeypatch.setattr(run_method, "_reproducible", noted)
    data = fv.datasets.load("faces", n_samples=60, image_size=24, random_state=0)
    fv.compare(data, ["erm"], seeds=1, max_epochs=1, n_boot=2, progress=False)
    assert order[:2] == ["warm", "seeded"]


def test_it_replays_what_was_captured() -> None:
    with simulated_cuda():
        weight, x = torch.ones(2, device="cuda", requires_grad=True), torch.ones(2, device="cuda")
        optimizer, graph = torch.optim.SGD([weight], lr=1.0, fused=True), torch.cuda.CUDAGraph()

        def step() -> torch.Tensor:
            optimizer.zero_grad(set_to_none=True)
            loss = (weight * x).sum()
            loss.backward()
            optimizer.step()
            return loss.detach()

        with torch.cuda.graph(graph):
            loss = step()
        assert weight.tolist() == [1, 1]
        for expected in (2, 0):
            graph.replay()
            assert loss.item() == expected
        x.fill_(3)
        graph.replay()
        assert weight.tolist() == [-4, -4]
        with pytest.raises(RuntimeError, match="waits"), torch.cuda.graph(torch.cuda.CUDAGraph()):
            loss.item()


@pytest.mark.slow
def test_a_graph_of_the_gan_does_what_its_steps_do() -> None:
    latent = pytest.importorskip("fairvision_latent")
    images = stripes().X[:16, :, :8, :8]
    params = {"images_per_phase": 16, "final_images": 16, "max_width": 4, "batch_size": 2}
    params |= {"penalty_interval": 2, "augmentations": ("color", "cutout"), "random_state": 0}
    drawn, captured, graphs = [], {True: 0, False: 0}, []
    with simulated_cuda():
        for works in (True, False):
            gan = latent.ProgressiveGAN(**params)
            trainer = gan._trainer

            def noted(X: Any, device: Any, trainer: Any = trainer, works: bool = works) -> Any:
                made = trainer(X, device)
                made.graphs.works &= works
                capture = made.graphs._capture

                def counted(kind: Any, step: Any) -> None:
                    capture(kind, step)
                    captured[works] += 1

                made.graphs._capture = counted
                graphs.append(made.graphs)
                return made

            gan._trainer = noted
            drawn.append(gan.fit(images).sample(4, random_state=0))
    assert captured == {True: 4, False: 0}
    assert not any(each._captured or each._drawn for each in graphs)  # their memory is free again
    np.testing.assert_array_equal(*drawn)
