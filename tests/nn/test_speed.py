"""What training does otherwise on a GPU, as far as a CPU can show it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fairvision.nn import Rows, TorchClassifier
from fairvision.nn.acceleration import accelerated
from fairvision.nn.backbones import build_classifier
from fairvision.nn.finite import fetch_numbers
from fairvision.nn.warm_start import load_moments


def small_cnn() -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_classifier("small-cnn", None, (3, 16, 16), 2)


def test_tensors_in_the_history_become_numbers() -> None:
    rows = [{"loss": torch.tensor(i / 8), "size": 4, "other": 0.5} for i in range(3)]
    rows.append({"loss": 1.0})
    fetch_numbers(rows)
    assert [row["loss"] for row in rows] == [0.0, 0.125, 0.25, 1.0]
    assert all(isinstance(row["loss"], float) for row in rows)
    assert rows[0]["size"] == 4


def test_channels_are_last_in_training_only() -> None:
    module, x = small_cnn(), torch.rand(4, 3, 16, 16)
    expected, seen = module(x), []
    first = next(layer for layer in module.modules() if isinstance(layer, torch.nn.Conv2d))
    last = torch.channels_last
    first.register_forward_pre_hook(
        lambda layer, args: seen.extend(
            t.is_contiguous(memory_format=last) for t in (layer.weight, *args)
        )
    )
    with accelerated(module, compile=False, precision=torch.bfloat16, channels_last=True):
        torch.testing.assert_close(module(x), expected, atol=0.1, rtol=0.1)
    assert seen == [True, True]
    assert all(p.is_contiguous() for p in module.parameters())
    assert "forward" not in vars(module)


@pytest.mark.parametrize("fused", [False, True])
def test_moments_take_the_layout_of_their_weights(fused: bool) -> None:
    before, now = small_cnn(), small_cnn().to(memory_format=torch.channels_last)
    old = torch.optim.AdamW(before.parameters(), lr=0.1)
    new = torch.optim.AdamW(now.parameters(), lr=0.2, fused=fused)
    before(torch.rand(4, 3, 16, 16)).square().sum().backward()
    old.step()
    load_moments(new, old.state_dict())
    assert new.param_groups[0]["lr"] == 0.1
    assert bool(new.param_groups[0]["fused"]) == fused
    for weight, first in zip(now.parameters(), before.parameters(), strict=True):
        moment = new.state[weight]["exp_avg"]
        assert moment.stride() == weight.stride()
        assert torch.equal(moment, old.state[first]["exp_avg"])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_rows_that_are_kept_are_the_rows(dtype: type) -> None:
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 256, (9, 3, 4, 4)) / (1 if dtype == np.uint8 else 255)).astype(dtype)
    rows = Rows(images, rng.integers(2, size=9), rng.integers(2, size=(9, 1)), rng.random(9))
    some = torch.tensor([7, 2, 2])
    assert not rows.keep_on(torch.device("cpu"))
    expected = rows.batch(some, "cpu")
    rows._kept = (torch.from_numpy(images), rows.targets, rows.groups, rows.weights)
    kept = rows.batch(some, "cpu")
    for name in ("images", "targets", "groups", "weights", "rows"):
        assert torch.equal(getattr(kept, name), getattr(expected, name))
    assert rows.is_kept
    assert not rows.subset(np.arange(3)).is_kept


def test_on_a_cpu_nothing_is_chosen(pictures) -> None:
    given = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
    auto, plain = (
        TorchClassifier(**given, amp=amp).fit(pictures.images, pictures.target)
        for amp in ("auto", False)
    )
    assert auto.accelerations_ == ()
    np.testing.assert_array_equal(
        auto.predict_proba(pictures.images), plain.predict_proba(pictures.images)
    )
