"""What is promised on every device that is here, in single precision and in bfloat16."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.exceptions import InputError
from fairvision.nn import DeterministicAvgPool2d, TorchClassifier, choose_device, isolated_rng
from fairvision.nn.device import (
    device_or_cpu,
    generator_state,
    set_generator_state,
    to_device,
)
from fairvision.nn.modules import _window_means
from fairvision.nn.randomness import _algorithms
from fairvision.testing import check_resumes

#: What docs/gpu.md states: the mean difference of the probabilities of two nets that were trained
#: with one seed, on CUDA without `deterministic`, or on two kinds of device.
BOUND = 0.1
AMP = pytest.mark.parametrize("amp", [False, True], ids=["single", "bfloat16"])


@pytest.fixture(scope="module")
def hats() -> Bunch:
    return fv.datasets.load("faces", n_samples=300, image_size=24, target="hat", random_state=0)


def make(device: str, amp: bool = False, **params: Any) -> TorchClassifier:
    return TorchClassifier(max_epochs=8, random_state=0, device=device, amp=amp, **params)


@AMP
def test_a_device_learns_what_another_does(hats: Bunch, device: str, amp: bool) -> None:
    plain = make("cpu").fit(hats.images[:200], hats.target[:200])
    model = make(device, amp).fit(hats.images[:200], hats.target[:200])
    weights = list(model.module_.parameters())
    assert {(w.device.type, w.dtype) for w in weights} == {(device, torch.float32)}
    scores, others = (m.predict_proba(hats.images[200:]) for m in (model, plain))
    assert scores.dtype == np.float64
    assert np.abs(scores - others).mean() < BOUND
    assert model.score(hats.images[200:], hats.target[200:]) > 0.8


@AMP
def test_a_training_goes_on_on_its_device(hats: Bunch, device: str, amp: bool) -> None:
    check_resumes(make(device, amp), hats.images[:64], hats.target[:64])


@AMP
def test_a_seed_gives_the_same_bits_if_asked_and_else_nearly_the_same(
    hats: Bunch, device: str, amp: bool
) -> None:
    rows = hats.images[:64], hats.target[:64]
    one, two = (make(device, amp, deterministic=True).fit(*rows) for _ in range(2))
    np.testing.assert_array_equal(*(m.predict_proba(hats.images) for m in (one, two)))
    one, two = (make(device, amp).fit(*rows) for _ in range(2))
    scores = [m.predict_proba(hats.images) for m in (one, two)]
    assert np.abs(scores[0] - scores[1]).mean() <= (0 if device == "cpu" else BOUND)


def test_a_saved_model_predicts_the_same_bits_on_its_device(
    hats: Bunch, tmp_path: Path, device: str
) -> None:
    model = make(device).fit(hats.images[:64], hats.target[:64])
    loaded = fv.load(fv.save(model, tmp_path / "model"))
    assert {p.device.type for p in loaded.module_.parameters()} == {device}
    np.testing.assert_array_equal(
        loaded.predict_proba(hats.images), model.predict_proba(hats.images)
    )


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize(
    ("before", "tf32"), [("default", True), ("default", False), ("warn", True), ("error", True)]
)
def test_settings_of_torch_are_as_before(
    monkeypatch: pytest.MonkeyPatch, before: str, tf32: bool, deterministic: bool
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    torch.set_deterministic_debug_mode(before)
    try:
        torch.backends.cudnn.allow_tf32 = tf32
        settings = _settings()
        with isolated_rng(0, "cpu", deterministic=deterministic):
            assert torch.get_deterministic_debug_mode() == settings[0]
        with _algorithms("cuda", deterministic):
            mode = torch.get_deterministic_debug_mode()
            fixed = deterministic or before != "default"
            assert mode == (settings[0] or int(deterministic))
            assert torch.backends.cudnn.deterministic == fixed != torch.backends.cudnn.benchmark
            assert torch.backends.cudnn.allow_tf32 == settings[-1]
        assert _settings() == settings
        # torch looks for it once in a process, so it must be there from the first step on.
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.backends.cudnn.allow_tf32 = True
        torch.set_deterministic_debug_mode("default")


def _settings() -> Any:
    cudnn, fill = torch.backends.cudnn, torch.utils.deterministic.fill_uninitialized_memory
    mode = torch.get_deterministic_debug_mode()
    kernels = cudnn.benchmark, cudnn.deterministic, fill
    return mode, cudnn.enabled, *kernels, cudnn.allow_tf32


@pytest.mark.parametrize(
    ("size", "windows"), [((8, 8), 4), ((3, 3), 4), ((6, 7), 4), ((7, 9), (2, 4))]
)
def test_pooling_with_a_fixed_order_of_sums_is_adaptive_pooling(size: Any, windows: Any) -> None:
    x = torch.rand(2, 3, *size)
    height, width = (windows, windows) if isinstance(windows, int) else windows
    means = _window_means(size[0], height, x) @ x @ _window_means(size[1], width, x).T
    torch.testing.assert_close(means, torch.nn.AdaptiveAvgPool2d(windows)(x))
    assert torch.equal(DeterministicAvgPool2d(windows)(x), torch.nn.AdaptiveAvgPool2d(windows)(x))


def test_tensors_reach_the_device(device: str) -> None:
    moved = to_device(torch.arange(3), device)
    assert (moved.device.type, moved.tolist()) == (device, [0, 1, 2])


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (None, "device is None; pass 'auto'"),
        (3, "device is 3; pass 'auto'"),
        ("xpu", r"device is 'xpu', but torch sees 0 XPU device\(s\). Pass 'cpu' or 'auto'"),
        ("mps:1", "device is 'mps:1', but torch sees"),
        ("meta", "device is 'meta', but torch sees 0"),
        ("hpu", "device is 'hpu', but torch sees 0"),
    ],
)
def test_a_device_that_is_not_there_is_named(device: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_device(device)


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_a_device_in_either_form(device: Any) -> None:
    assert choose_device(device) == torch.device("cpu")


def test_a_training_makes_its_gpu_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # A CUDA graph is captured on the current one, and would hold nothing of what another does.
    chosen: list[Any] = []
    monkeypatch.setattr(torch.cuda, "device", lambda d: nullcontext(chosen.append(d)))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: None)
    with isolated_rng(0, "cuda:1"):
        assert chosen == ["cuda:1"]


def test_the_generators_of_another_kind_of_device_are_seeded_and_restored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = [torch.tensor([1])]
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: state[-1])
    monkeypatch.setattr(torch.mps, "set_rng_state", state.append)
    monkeypatch.setattr(torch.mps, "manual_seed", lambda seed: state.append(torch.tensor([seed])))
    with isolated_rng(7, "mps"):
        assert state[-1].item() == 7
    assert state[-1].item() == 1


def test_a_training_goes_on_with_the_generator_of_its_own_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    current, states = [0], {0: 10, 1: 11}

    @contextmanager
    def on(device: torch.device) -> Iterator[None]:
        current.append(device.index or 0)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "device", on)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: states[current[-1]])
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda s: states.update({current[-1]: s}))
    set_generator_state("cuda:0", generator_state("cuda:1"))
    assert states == {0: 11, 1: 11}


def test_a_gpu_of_another_number_is_one_of_the_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device_or_cpu("cuda:1") == torch.device("cuda")
    assert device_or_cpu("xpu:1") == torch.device("cpu")


class TestFiles:
    def save(self, hats: Bunch, folder: Path, device: str) -> Path:
        model = make("cpu").set_params(max_epochs=1).fit(hats.images[:64], hats.target[:64])
        return fv.save(model.set_params(device=device), folder / "model")

    @pytest.mark.parametrize("device", ["mps", "xpu", "cuda:99"])
    def test_a_model_of_a_device_that_is_not_here_loads_on_the_cpu(
        self, hats: Bunch, tmp_path: Path, device: str
    ) -> None:
        loaded = fv.load(self.save(hats, tmp_path, device))
        assert loaded.predict(hats.images[:3]).shape == (3,)
        assert loaded.device == device

    def test_a_device_of_ones_own(self, hats: Bunch, tmp_path: Path) -> None:
        loaded = fv.load(self.save(hats, tmp_path, "mps"), device="cpu")
        assert loaded.device == "cpu"
        assert loaded.fit(hats.images[:64], hats.target[:64]).predict(hats.images[:3]).shape == (3,)
        with pytest.raises(InputError, match="device is 'cuda:99'"):
            fv.load(tmp_path / "model", device="cuda:99")
