"""The closed form, against what it promises and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from fairvision.exceptions import InputError
from fairvision_latent._algorithm import Hyperplane, f1_cut, flips, moved, smallest_move

DIM = 64
RNG = np.random.default_rng(0)
Z = RNG.standard_normal((500, DIM))


def plane(
    seed: int, name: str = "", near: Hyperplane | None = None, cosine: float = 0.0
) -> Hyperplane:
    """A random hyperplane; or one at a given angle to another."""
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal(DIM)
    if near is not None:
        across = normal - (normal @ near.normal) * near.normal
        across /= np.linalg.norm(across)
        normal = cosine * near.normal + np.sqrt(1 - cosine**2) * across
    return Hyperplane.of(7.5 * normal, rng.normal(), name=name)


TARGET = plane(1, "target")


def published(z: NDArray[np.float64], t: Hyperplane, g: Hyperplane) -> NDArray[np.float64]:
    """The paper's formula for one protected attribute, term by term."""
    cosine = g.normal @ t.normal
    size = 2 * (z @ g.normal + g.intercept) / (1 - cosine**2)
    return z - size[:, None] * (g.normal - cosine * t.normal)


@pytest.mark.parametrize("cosine", [-0.999, -0.5, 0.0, 0.3, 0.9, 0.999])
def test_pair_keeps_the_target_and_negates_the_protected(cosine: float) -> None:
    g = plane(2, "hat", TARGET, cosine)
    partner = moved(Z, [TARGET], [g], [True])
    np.testing.assert_allclose(TARGET.distance(partner), TARGET.distance(Z), atol=1e-11)
    np.testing.assert_allclose(g.distance(partner), -g.distance(Z), atol=1e-11)
    np.testing.assert_allclose(partner, published(Z, TARGET, g), atol=1e-9)
    # An involution: the partner's partner is the latent itself.
    np.testing.assert_allclose(moved(partner, [TARGET], [g], [True]), Z, atol=1e-9)


@pytest.mark.parametrize("cosine", [0.0, 0.9, 0.999])
def test_single_precision(cosine: float) -> None:
    g = plane(2, "hat", TARGET, cosine)
    z = Z.astype(np.float32)
    partner = moved(z, [TARGET], [g], [True])
    assert partner.dtype == np.float32
    # Rounding of one coordinate times the length of the move, which grows with the cosine.
    size = 1e-6 * np.linalg.norm(partner, axis=1).max()
    np.testing.assert_allclose(TARGET.distance(partner), TARGET.distance(z), atol=size)
    np.testing.assert_allclose(g.distance(partner), -g.distance(z), atol=size)


def test_it_is_the_smallest_move() -> None:
    g = plane(2, "hat", TARGET, 0.7)
    partner = moved(Z, [TARGET], [g], [True])
    step = partner - Z
    # Whatever else satisfies the constraints differs by a direction along both hyperplanes.
    normals = np.stack([TARGET.normal, g.normal])
    for seed in range(20):
        free = np.random.default_rng(seed + 50).standard_normal(Z.shape)
        free -= free @ np.linalg.pinv(normals) @ normals
        other = partner + free
        np.testing.assert_allclose(g.distance(other), -g.distance(Z), atol=1e-10)
        np.testing.assert_allclose((step * free).sum(1), 0, atol=1e-9)
        assert (np.linalg.norm(other - Z, axis=1) > np.linalg.norm(step, axis=1)).all()
    least = np.linalg.lstsq(normals, (normals @ step.T), rcond=None)[0].T
    np.testing.assert_allclose(step, least, atol=1e-10)


def test_general_constraints_against_the_normal_equations() -> None:
    B, c = RNG.standard_normal((5, DIM)), RNG.standard_normal((len(Z), 5))
    out = smallest_move(Z, B, c)
    np.testing.assert_allclose(out @ B.T, c, atol=1e-11)
    np.testing.assert_allclose(out, Z + (c - Z @ B.T) @ np.linalg.inv(B @ B.T) @ B, atol=1e-10)
    np.testing.assert_allclose(smallest_move(Z, B, c[0]) @ B.T, np.tile(c[0], (500, 1)), atol=1e-11)
    own = Z.copy()
    assert smallest_move(own, B, c, out=own) is own
    np.testing.assert_array_equal(own, out)


def test_batches_do_not_show() -> None:
    z = np.random.default_rng(5).standard_normal((9001, DIM))
    g = plane(2, "hat", TARGET, 0.4)
    whole = moved(z, [TARGET], [g], [True])
    np.testing.assert_allclose(whole[8990:], moved(z[8990:], [TARGET], [g], [True]), atol=1e-13)
    assert moved(z[:0], [TARGET], [g], [True]).shape == (0, DIM)


@pytest.mark.parametrize("sign", [1, -1])
def test_parallel_hyperplanes_are_refused(sign: int) -> None:
    g = Hyperplane.of(sign * TARGET.normal, 0.3, name="hat")
    with pytest.raises(InputError, match=r"'hat' is parallel to that of 'target' \(cosine -?1\.0"):
        moved(Z, [TARGET], [g], [True])
    partner = moved(Z, [TARGET], [g], [True], "protected-only")  # asks nothing of the target
    np.testing.assert_allclose(g.distance(partner), -g.distance(Z), atol=1e-11)


def test_dependent_hyperplanes_are_refused() -> None:
    first, second = plane(2, "hat"), plane(3, "beard")
    third = Hyperplane.of(first.normal + second.normal + TARGET.normal, 0.0, name="smile")
    with pytest.raises(InputError, match="'smile' is parallel to that of 'target' and 'hat' and"):
        moved(Z, [TARGET], [first, second, third], [True, False, False])


def test_two_attributes_all_flips() -> None:
    protected = [plane(2, "hat", TARGET, 0.6), plane(3, "beard", TARGET, -0.5)]
    sets = flips(2)
    assert sets.tolist() == [[True, False], [False, True], [True, True]]
    assert len(flips(3)) == 7
    for flip in sets:
        partner = moved(Z, [TARGET], protected, flip)
        np.testing.assert_allclose(TARGET.distance(partner), TARGET.distance(Z), atol=1e-11)
        for h, changed in zip(protected, flip, strict=True):
            sign = -1 if changed else 1
            np.testing.assert_allclose(h.distance(partner), sign * h.distance(Z), atol=1e-11)


def test_protected_only_is_a_mirror_image() -> None:
    g = plane(2, "hat", TARGET, 0.6)
    partner = moved(Z, [TARGET], [g], [True], "protected-only")
    np.testing.assert_allclose(partner, Z - 2 * g.distance(Z)[:, None] * g.normal, atol=1e-11)
    assert np.abs(TARGET.distance(partner) - TARGET.distance(Z)).max() > 0.1


def test_on_the_hyperplane() -> None:
    g = plane(2, "hat", TARGET, 0.6)
    on = moved(Z, [TARGET], [g], [True], "on-hyperplane")
    np.testing.assert_allclose(g.distance(on), 0, atol=1e-11)
    np.testing.assert_allclose(TARGET.distance(on), TARGET.distance(Z), atol=1e-11)
    pair = moved(Z, [TARGET], [g], [True])
    np.testing.assert_allclose(on, (Z + pair) / 2, atol=1e-10)  # halfway to the partner


def test_a_target_hyperplane_for_each_domain() -> None:
    g = plane(2, "hat", TARGET, 0.3)
    targets = [plane(4, "target without", TARGET, 0.9), plane(5, "target with", TARGET, 0.8)]
    partner = moved(Z, targets, [g], [True])
    np.testing.assert_allclose(g.distance(partner), -g.distance(Z), atol=1e-11)
    inside = g.distance(Z) > 0
    assert 0 < inside.sum() < len(Z)
    for here, before, after in ((inside, targets[1], targets[0]), (~inside, *targets)):
        kept = before.distance(Z)[here]
        np.testing.assert_allclose(after.distance(partner)[here], kept, atol=1e-10)
    same = moved(Z, [TARGET, TARGET], [g], [True])
    np.testing.assert_allclose(same, moved(Z, [TARGET], [g], [True]), atol=1e-12)
    on = moved(Z, targets, [g], [True], "on-hyperplane")
    np.testing.assert_allclose(g.distance(on), 0, atol=1e-11)
    kept = targets[1].distance(Z)[inside]
    np.testing.assert_allclose(targets[1].distance(on)[inside], kept, atol=1e-11)


def test_domains_of_two_attributes() -> None:
    protected = [plane(2, "hat"), plane(3, "beard")]
    targets = [plane(10 + i, f"target {i}", TARGET, 0.9) for i in range(4)]
    partner = moved(Z, targets, protected, [True, False])
    sides = np.stack([h.distance(Z) > 0 for h in protected], 1)
    domain = 2 * sides[:, 0] + sides[:, 1]
    for number in range(4):
        rows = domain == number
        kept = targets[number].distance(Z[rows])
        flipped = targets[number ^ 2].distance(partner[rows])
        np.testing.assert_allclose(flipped, kept, atol=1e-10)


def test_a_hyperplane_without_a_direction_is_refused() -> None:
    assert np.linalg.norm(TARGET.normal) == pytest.approx(1)
    scaled = Hyperplane.of([3.0, 4.0], 10.0)
    assert scaled.intercept == pytest.approx(2)
    assert scaled.distance(np.array([[3.0, 4.0]])) == pytest.approx(7)
    with pytest.raises(InputError, match="'hat' has a normal of length 0"):
        Hyperplane.of(np.zeros(3), 1.0, name="hat")


@pytest.mark.parametrize("seed", range(5))
def test_f1_cut_is_the_best_of_all_cuts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = rng.random(80) < 0.3
    score = np.round(rng.random(80) + 0.5 * label, 1)  # with ties
    cut = f1_cut(label, score)
    best = max(f1_score(label, score >= value) for value in np.unique(score))
    assert f1_score(label, score >= cut) == pytest.approx(best)
