"""The progressive GAN: its parts, its schedule, and that nothing is lost on the way."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import clone

from fairvision.datasets import load_faces
from fairvision.exceptions import FairvisionWarning, InputError
from fairvision_latent import ProgressiveGAN
from fairvision_latent._augment import AUGMENTATIONS, augment
from fairvision_latent._networks import Generator, ImageCritic, stage_of, stage_widths
from fairvision_latent._training import Schedule, Trainer, gradient_penalty

pytestmark = pytest.mark.cpu

TINY: dict[str, Any] = {
    "latent_dim": 8,
    "max_width": 8,
    "base_width": 64,
    "images_per_phase": 32,
    "final_images": 64,
    "batch_size": 4,
    "checkpoint_steps": 7,
    "n_samples": 6,
    "random_state": 3,
}


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return load_faces(40, 32, random_state=0).images[:, :, ::2, ::2].copy()  # 16 x 16


@pytest.fixture(scope="module")
def fitted(images: NDArray[np.uint8]) -> ProgressiveGAN:
    return ProgressiveGAN(**TINY).fit(images)


def weights(gan: ProgressiveGAN) -> NDArray[np.float32]:
    return torch.cat([p.flatten() for p in gan.generator_.parameters()]).numpy()


# -- parts ------------------------------------------------------------------------


def test_widths_and_stages() -> None:
    assert stage_widths(32, 64, 512) == [64, 64, 32, 16]
    assert stage_widths(128, 512, 16384) == [512, 512, 512, 512, 256, 128]
    assert stage_of(0.0) == (0, 1.0)
    assert stage_of(2.0) == (2, 1.0)
    stage, share = stage_of(1.25)
    assert (stage, share) == (2, 0.25)


def test_a_fade_goes_from_the_old_resolution_to_the_new() -> None:
    torch.manual_seed(0)
    widths = [6, 5, 4]
    generator, critic = Generator(7, 3, widths), ImageCritic(3, widths)
    z, real = torch.randn(4, 7), torch.rand(4, 3, 16, 16)
    drawn, scores, shown = {}, {}, {}
    for growth in (1.0, 1.0001, 1.5, 1.9999, 2.0):
        generator.growth = critic.growth = growth
        drawn[growth] = generator.draw(z).detach()
        shown[growth] = critic.at_growth(real)
        scores[growth] = critic(shown[growth]).detach()
    assert drawn[1.0].shape[2:] == shown[1.0].shape[2:] == (8, 8)
    assert drawn[1.5].shape[2:] == shown[1.5].shape[2:] == (16, 16)
    doubled = drawn[1.0].repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(drawn[1.0001], doubled, atol=1e-3, rtol=0)
    torch.testing.assert_close(drawn[1.9999], drawn[2.0], atol=1e-3, rtol=0)
    torch.testing.assert_close(drawn[1.5], (doubled + drawn[2.0]) / 2)
    torch.testing.assert_close(scores[1.0001], scores[1.0], atol=1e-2, rtol=0)
    torch.testing.assert_close(scores[1.9999], scores[2.0], atol=1e-2, rtol=0)
    torch.testing.assert_close(shown[2.0], real * 2 - 1)
    generator.growth = 1.0
    assert generator(z).shape == (4, 3, 16, 16)  # of full size at any stage
    assert generator(100 * z).allclose(generator(z), atol=1e-5)  # latents are normalised


def test_equalised_learning_rate() -> None:
    """Weights of unit variance whatever the width, and outputs of one scale."""
    torch.manual_seed(0)
    for width in (4, 64):
        generator = Generator(32, 3, [width, width])
        generator.growth = 1.0
        kernels = [p.detach() for p in generator.parameters() if p.ndim > 1]
        assert all(abs(float(k.std()) - 1) < 0.35 for k in kernels)
        assert 0.3 < float(generator.draw(torch.randn(64, 32)).detach().std()) < 3


def test_the_critic_sees_the_spread_of_a_batch() -> None:
    torch.manual_seed(0)
    critic = ImageCritic(3, [8])
    row = torch.rand(1, 3, 4, 4)
    alike, varied = row.repeat(4, 1, 1, 1), torch.cat([row, torch.rand(3, 3, 4, 4)])
    assert critic(alike)[0] != critic(varied)[0]  # the same image in another company
    assert critic(alike).requires_grad
    (slope,) = torch.autograd.grad(critic(alike.requires_grad_()).sum(), alike)
    assert slope.isfinite().all()


def test_gradient_penalty_of_a_known_slope() -> None:
    class Linear(ImageCritic):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return 3 * images.flatten(1)[:, 0]

    real, fake = torch.rand(5, 3, 4, 4), torch.rand(5, 3, 4, 4)
    assert float(gradient_penalty(Linear(3, [4]), real, fake)) == pytest.approx((3 - 1) ** 2)


def test_the_schedule() -> None:
    schedule = Schedule(n_stages=3, phase_steps=10, final_steps=25)
    growth = [schedule.growth(step) for step in range(schedule.total)]
    assert schedule.total == 4 * 10 + 25
    assert growth[:10] == [0.0] * 10
    np.testing.assert_allclose(growth[10:20], np.arange(1, 11) / 10)
    assert growth[20:30] == [1.0] * 10
    np.testing.assert_allclose(growth[30:40], 1 + np.arange(1, 11) / 10)
    assert growth[40:] == [2.0] * 25
    ends = [step for step in range(schedule.total) if schedule.ends_stage(step)]
    assert ends == [9, 29, 64]


# -- training ---------------------------------------------------------------------


@pytest.mark.slow
def test_it_learns(images: NDArray[np.uint8]) -> None:
    """The colours of what it was shown, which an untrained generator does not have."""
    red = np.zeros((32, 3, 8, 8), np.uint8)
    red[:, 0] = 255
    params = {**TINY, "images_per_phase": 200, "final_images": 800, "average_images": 100}
    mean = ProgressiveGAN(**params).fit(red).sample(64, random_state=0).mean((0, 2, 3))
    np.testing.assert_allclose(mean, [1, 0, 0], atol=0.2)


def test_what_is_fitted(fitted: ProgressiveGAN, images: NDArray[np.uint8]) -> None:
    assert list(fitted.stage_samples_) == [4, 8, 16]
    assert {v.shape for v in fitted.stage_samples_.values()} == {(6, 3, 16, 16)}
    assert [entry["resolution"] for entry in fitted.history_] == [4, 8, 16]
    assert fitted.history_[-1]["step"] == 4 * 8 + 16
    assert np.isfinite([entry["estimate"] for entry in fitted.history_]).all()
    drawn = fitted.sample(5, random_state=1)
    assert (drawn.shape, drawn.dtype) == ((5, 3, 16, 16), np.float32)
    assert 0 <= drawn.min() < drawn.max() <= 1
    z = np.random.default_rng(1).standard_normal((5, 8))
    np.testing.assert_array_equal(fitted.generate(z), drawn)
    with pytest.raises(InputError, match=r"z has shape \(5, 7\); expected \(n, 8\)"):
        fitted.generate(z[:, :7])


@pytest.mark.slow
def test_same_seed_same_bits_and_the_global_state_is_left(
    fitted: ProgressiveGAN, images: NDArray[np.uint8]
) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = clone(fitted).fit(images)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(weights(again), weights(fitted))
    floating = clone(fitted).fit(images.astype(np.float32) / 255)
    np.testing.assert_allclose(weights(floating), weights(fitted), atol=1e-4)
    other = clone(fitted).set_params(random_state=4).fit(images)
    assert (weights(other) != weights(fitted)).any()


@pytest.mark.parametrize("at", [9, 20, 41])
def test_resumed_is_as_never_interrupted(
    fitted: ProgressiveGAN,
    images: NDArray[np.uint8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
) -> None:
    """At 4 pixels, during a fade, and at full size."""
    step = Trainer.step

    def interrupted(self: Trainer) -> torch.Tensor:
        if self.step_number == at:
            raise KeyboardInterrupt
        return step(self)

    gan = clone(fitted).set_params(checkpoint=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            gan.fit(images)
    assert not hasattr(gan, "generator_")
    seen: list[int] = []
    monkeypatch.setattr(
        Trainer, "step", lambda self: (seen.append(self.step_number), step(self))[1]
    )
    gan.fit(images)
    assert at - 7 <= seen[0] <= at  # not from the start
    np.testing.assert_array_equal(weights(gan), weights(fitted))
    for size, samples in fitted.stage_samples_.items():
        np.testing.assert_array_equal(gan.stage_samples_[size], samples)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [
        f"stage-{size:03d}.png" for size in (4, 8, 16)
    ]
    assert not list(tmp_path.glob(".*.partial"))
    other = clone(gan).set_params(lr=0.5)
    with pytest.raises(InputError, match=r"was trained with lr=0\.001"):
        other.fit(images)
    with pytest.raises(InputError, match="was trained with images="):
        gan.fit(255 - images)


@pytest.mark.slow
def test_a_cache_holds_what_was_trained_and_nothing_else_is_taken_from_it(
    fitted: ProgressiveGAN, images: NDArray[np.uint8], tmp_path: Path, monkeypatch: Any
) -> None:
    step, steps = Trainer.step, []
    monkeypatch.setattr(Trainer, "step", lambda self: (steps.append(0), step(self))[1])
    gan = clone(fitted).set_params(cache=tmp_path).fit(images)
    assert steps
    steps.clear()
    found = clone(gan).set_params(verbose=1, checkpoint_steps=3).fit(images)
    assert not steps
    for one in (gan, found):
        np.testing.assert_array_equal(weights(one), weights(fitted))
        assert (one.history_, one.stopped_) == (fitted.history_, "")
    changed = images.copy()
    changed[7, 1, 2, 3] ^= 1
    for other, shown in (
        (gan, changed),
        (gan, images[:-1]),
        (clone(gan).set_params(random_state=4), images),
        (clone(gan).set_params(lr=2e-3), images),
        (clone(gan).set_params(amp=True), images),
    ):
        steps.clear()
        clone(other).fit(shown)
        assert len(steps) == 48
    stranger = io.BytesIO()
    torch.save({"identity": None}, stranger)
    for broken in (lambda whole: whole[:1000], lambda whole: stranger.getvalue()):
        for path in tmp_path.glob("*.pt"):
            path.write_bytes(broken(path.read_bytes()))
        with pytest.warns(FairvisionWarning, match="cannot be read .* trained from the start"):
            mended = clone(gan).fit(images)
        np.testing.assert_array_equal(weights(mended), weights(fitted))
    with pytest.raises(InputError, match="random_state is None, and a GAN in cache"):
        clone(gan).set_params(random_state=None).fit(images)
    with pytest.raises(InputError, match="checkpoint and cache are both given"):
        clone(gan).set_params(checkpoint=tmp_path).fit(images)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        clone(gan).set_params(cache=tmp_path / "file").fit(images)


def test_a_disk_that_fills_up_costs_the_checkpoint_only(
    fitted: ProgressiveGAN, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource", reason="file size limits are POSIX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.warns(FairvisionWarning, match=r"File too large\. Training continues"):
            gan = clone(fitted).set_params(cache=tmp_path).fit(images)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    np.testing.assert_array_equal(weights(gan), weights(fitted))
    assert {path.suffix for path in tmp_path.iterdir()} <= {".lock"}


def test_losses_that_are_no_numbers_stop_it(
    images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    step, states = Trainer.step, {}

    def poisoned(self: Trainer) -> torch.Tensor:
        states[self.step_number] = copy.deepcopy(self.state()["average"])
        if self.step_number == 30:
            with torch.no_grad():
                next(self.generator.parameters()).fill_(torch.nan)
        return step(self)

    monkeypatch.setattr(Trainer, "step", poisoned)
    with pytest.warns(FairvisionWarning, match=r"not finite at step 31 of 48; .* step 28 at 16"):
        gan = ProgressiveGAN(**TINY).fit(images)
    assert "step 28" in gan.stopped_
    kept = torch.cat([v.flatten() for v in states[28].values()]).numpy()
    np.testing.assert_array_equal(weights(gan), kept)
    assert np.isfinite(gan.sample(3, random_state=0)).all()
    with pytest.raises(InputError, match=r"before the first checkpoint .* Lower lr"):
        ProgressiveGAN(**{**TINY, "checkpoint_steps": 1000, "images_per_phase": 400}).fit(images)


def test_saved_and_loaded(fitted: ProgressiveGAN, tmp_path: Path) -> None:
    fitted.save(tmp_path / "gan")
    assert sorted(path.name for path in (tmp_path / "gan").iterdir()) == [
        "gan.json",
        "generator.safetensors",
    ]
    assert json.loads((tmp_path / "gan" / "gan.json").read_text())["params"]["latent_dim"] == 8
    loaded = ProgressiveGAN.load(tmp_path / "gan", device="cpu")
    np.testing.assert_array_equal(
        loaded.sample(4, random_state=0), fitted.sample(4, random_state=0)
    )
    assert loaded.history_ == fitted.history_
    with pytest.raises(InputError, match=r"holds no gan\.json"):
        ProgressiveGAN.load(tmp_path)


@pytest.mark.parametrize(
    ("params", "shape", "message"),
    [
        ({}, (9, 3, 24, 24), "The images have 24 pixels; .* needs 8, 16, 32"),
        ({}, (9, 3, 16, 32), "16 x 32 pixels, image_size is 16"),
        ({"image_size": 32}, (9, 3, 16, 16), "16 x 16 pixels, image_size is 32"),
        ({"batch_size": 1}, (9, 3, 16, 16), "batch_size is 1; pass an int of 2 or more"),
        ({"lr": 0}, (9, 3, 16, 16), "lr is 0; pass a number above 0"),
    ],
)
def test_bad_input(params: dict[str, Any], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ProgressiveGAN(**{**TINY, **params}).fit(np.zeros(shape, np.uint8))


def test_presets(images: NDArray[np.uint8]) -> None:
    assert ProgressiveGAN.from_preset("paper", lr=1).latent_dim == 512
    assert ProgressiveGAN.from_preset("quick").get_params() == ProgressiveGAN().get_params()
    with pytest.raises(InputError, match="preset is 'big'; there are demo, quick, paper"):
        ProgressiveGAN.from_preset("big")


def test_a_bar_for_people(images: NDArray[np.uint8], capsys: pytest.CaptureFixture[str]) -> None:
    ProgressiveGAN(**TINY, verbose=1).fit(images)
    shown = capsys.readouterr().err
    assert "16 pixels, critic" in shown
    assert "48/48" in shown


@pytest.mark.parametrize("kinds", [("color",), ("translation",), ("cutout",), AUGMENTATIONS])
def test_augmentation_lets_gradients_through(kinds: tuple[str, ...]) -> None:
    images = (torch.rand(6, 3, 16, 16) * 2 - 1).requires_grad_()
    changed = augment(images, kinds)
    assert changed.shape == images.shape
    assert not torch.equal(changed, images)
    assert changed.isfinite().all()
    changed.square().sum().backward()
    assert images.grad is not None
    assert (images.grad.flatten(1).abs().sum(1) > 0).all()


def test_each_augmentation_does_what_it_says() -> None:
    images = torch.rand(50, 3, 16, 16) + 0.5  # nowhere 0
    cut, moved = augment(images, ["cutout"]), augment(images, ["translation"])
    holes = (cut == 0).flatten(1).float().mean(1)
    assert torch.equal(cut[cut != 0], images[cut != 0])
    assert holes.min() > 0
    assert holes.max() <= 0.3  # a hole of half the side, at the border cut off
    for before, after in zip(images, moved, strict=True):
        shifts = [(i, j) for i in range(-2, 3) for j in range(-2, 3)]
        rolled = [torch.roll(before, shift, (1, 2))[:, 2:-2, 2:-2] for shift in shifts]
        assert sum(torch.allclose(after[:, 2:-2, 2:-2], each) for each in rolled) == 1
    grey = images.mean(1, keepdim=True).expand_as(images)  # no saturation to change
    coloured = augment(grey, ["color"])
    torch.testing.assert_close(coloured, coloured.mean(1, keepdim=True).expand_as(images))


@pytest.mark.slow
def test_it_trains_on_augmented_images_in_bfloat16(images: NDArray[np.uint8]) -> None:
    one, two = (
        ProgressiveGAN(**TINY, augmentations=kinds, amp=True).fit(images)
        for kinds in (None, ["color", "translation", "cutout"])
    )
    assert not np.array_equal(weights(one), weights(two))
    assert np.isfinite(two.sample(3, random_state=0)).all()
    with pytest.raises(InputError, match=r"augmentations is \['flip'\]; pass some of"):
        ProgressiveGAN(**TINY, augmentations=["flip"]).fit(images)
