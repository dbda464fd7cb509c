"""The same training on every device that is at hand, in single precision and in bfloat16."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.nn import TorchClassifier
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
