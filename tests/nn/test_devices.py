"""The same training on every device that is at hand, in single precision and in bfloat16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.exceptions import InputError
from fairvision.nn import TorchClassifier, choose_device, isolated_rng
from fairvision.testing import check_resumes

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    ),
]


@pytest.fixture(scope="module")
def hats() -> Bunch:
    return fv.datasets.load("faces", n_samples=300, image_size=24, target="hat", random_state=0)


def make(device: str, amp: bool = False) -> TorchClassifier:
    return TorchClassifier(max_epochs=8, random_state=0, device=device, amp=amp)


@pytest.mark.parametrize("amp", [False, True], ids=["single", "bfloat16"])
@pytest.mark.parametrize("device", DEVICES)
def test_a_device_learns_what_another_does(hats: Bunch, device: str, amp: bool) -> None:
    plain = make("cpu").fit(hats.images[:200], hats.target[:200])
    model = make(device, amp).fit(hats.images[:200], hats.target[:200])
    weights = list(model.module_.parameters())
    assert {(w.device.type, w.dtype) for w in weights} == {(device, torch.float32)}
    scores, others = (m.predict_proba(hats.images[200:]) for m in (model, plain))
    assert scores.dtype == np.float64
    assert np.abs(scores - others).mean() < 0.1
    assert model.score(hats.images[200:], hats.target[200:]) > 0.8


@pytest.mark.parametrize("amp", [False, True], ids=["single", "bfloat16"])
@pytest.mark.parametrize("device", DEVICES)
def test_a_training_goes_on_on_its_device(hats: Bunch, device: str, amp: bool) -> None:
    model = make(device, amp).set_params(max_epochs=4)
    check_resumes(model, hats.images[:64], hats.target[:64])


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
