"""Faces as a function of a vector."""

from __future__ import annotations

import numpy as np
import pytest

from fairvision.datasets import FaceGenerator, load_faces
from fairvision.exceptions import DatasetError


def test_faces_have_the_distribution_asked_for() -> None:
    correlation = {("eyeglasses", "hat"): 0.9}
    generator = FaceGenerator(24, probabilities={"hat": 0.3}, correlation=correlation)
    z = np.random.default_rng(0).standard_normal((20_000, generator.latent_dim))
    shown = generator.attributes(z)
    assert (shown["eyeglasses"] == shown["hat"]).mean() == pytest.approx(0.9, abs=0.01)
    assert shown["hat"].mean() == pytest.approx(0.3, abs=0.015)
    faces = load_faces(2000, 24, probabilities={"hat": 0.3}, correlation=correlation)
    mean = generator(z[:2000]).mean((0, 2, 3))
    np.testing.assert_allclose(mean, faces.images.mean((0, 2, 3)), atol=3)


def test_one_number_changes_what_it_names() -> None:
    generator = FaceGenerator(32)
    z = np.random.default_rng(1).standard_normal((40, generator.latent_dim))
    other = z.copy()
    hat = generator.names.index("hat")
    other[:, hat] = -z[:, hat]
    before, after = generator.attributes(z), generator.attributes(other)
    assert (before["hat"] != after["hat"]).all()
    assert before.drop(columns="hat").equals(after.drop(columns="hat"))
    differs = (generator(z) != generator(other)).any((0, 1))
    assert differs[:8].any()
    assert not differs[-8:].any()  # a hat is above
    np.testing.assert_array_equal(generator(z), generator(z))


def test_far_latents_are_faces_too_and_other_shapes_are_refused() -> None:
    generator = FaceGenerator(24)
    z = np.full((1, generator.latent_dim), 50.0)
    assert generator(z).shape == (1, 3, 24, 24)
    with pytest.raises(DatasetError, match=rf"\(1, 3\); expected \(n, {generator.latent_dim}\)"):
        generator(np.zeros((1, 3)))
