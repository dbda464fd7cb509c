"""Parameters that make the sampler small enough for ``fairvision check``."""

from __future__ import annotations

from typing import Any

from fairvision.nn import TorchClassifier
from fairvision_latent._gan import ProgressiveGAN

__all__ = ["small"]


def small() -> dict[str, Any]:
    """A GAN and label classifiers that are trained for a few steps."""
    common: dict[str, Any] = {"device": "cpu", "random_state": 0}
    gan = ProgressiveGAN(images_per_phase=32, final_images=32, max_width=8, latent_dim=8, **common)
    return {
        "generator": gan,
        "classifier": TorchClassifier("mlp", max_epochs=3, **common),
        "n_hyperplane": 1500,
        "judge_fraction": 0.0,
    }
