"""Features of a pretrained net in place of images: the preset "pretrained"."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

import fairvision as fv
from fairvision.exceptions import InputError
from fairvision_latent import LatentPairSampler, pairs_figure
from fairvision_latent._components import Components

pytestmark = pytest.mark.cpu

Rows = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.str_]]


def confounded(n: int, *, share: float = 0.95, seed: int = 0) -> Rows:
    """40 features: six shift with the target, six others, by twice as much, with the group."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    group = np.where(np.arange(n) // 2 % 100 < 100 * share, y, 1 - y)
    X = rng.normal(size=(n, 40))
    X[:, :6] += y[:, None]
    X[:, 6:12] += 2 * group[:, None]
    scales = np.geomspace(0.01, 100, 40)
    return (X * scales + scales).astype(np.float32), y, np.array(["a", "b"])[group]


def pretrained(**params: Any) -> LatentPairSampler:
    return fv.make("latent-debiasing", preset="pretrained", random_state=0, **params)


def worst(model: Any, rows: Rows) -> float:
    X, y, group = rows
    right = model.predict(X) == y
    return min(right[(y == a) & (group == g)].mean() for a in (0, 1) for g in ("a", "b"))


def test_pairs_lift_the_worst_cell() -> None:
    (X, y, group), test = confounded(600), confounded(2000, share=0.5, seed=1)
    scale = X.std(0)
    net = LogisticRegression(C=0.01, max_iter=500)
    plain = net.fit(X / scale, y)
    before = worst(plain, (test[0] / scale, *test[1:]))
    X_new, y_new = pretrained().fit_resample(X, y, sensitive_features=group)
    after = worst(net.fit(X_new / scale, y_new), (test[0] / scale, *test[1:]))
    assert before < 0.4
    assert after > before + 0.25


def test_a_partner_keeps_the_target_and_all_that_is_not_a_component() -> None:
    X, y, group = confounded(300)
    made = pretrained(latent_dim=15, n_pairs=200)
    X_new, y_new = made.fit_resample(X, y, sensitive_features=group)
    # The real rows stay as they are; then come the partners alone.
    np.testing.assert_array_equal(X_new[:300], X)
    assert len(X_new) == len(y_new) == len(made.sensitive_features_) == 500
    source, pairs = made.source_, made.pairs_
    own, partner = pairs.z, source.encode(X_new[300:])
    target, protected = made.hyperplanes_["target"], made.hyperplanes_["sensitive_feature"]
    np.testing.assert_allclose(target.distance(partner), target.distance(own), atol=1e-3)
    np.testing.assert_allclose(protected.distance(partner), -protected.distance(own), atol=1e-3)
    scale = X.std(0)
    np.testing.assert_allclose(partner[:, 15:] / scale, own[:, 15:] / scale, atol=1e-3)
    # The group of each partner is the other one, and its target the same.
    np.testing.assert_array_equal(pairs.partner_labels[0, :, 1], ~pairs.labels[:, 1])
    np.testing.assert_array_equal(y_new[300:], made.classes_[pairs.labels[:, 0].astype(int)])
    table = made.table_["after"] - made.table_["before"]
    assert table.sum() == 200


def test_judges_of_other_rows_see_the_flips() -> None:
    X, y, group = confounded(600, share=0.5)
    made = pretrained().fit(X, y, sensitive_features=group)
    assert made.label_agreement_.loc["sensitive_feature", "both"] > 0.8
    assert made.hyperplanes_["sensitive_feature"].accuracy > 0.9


def test_the_latent_of_a_row_gives_back_the_row() -> None:
    X = confounded(50)[0]
    for shape in ((40,), (10, 2, 2)):
        rows = X.reshape(50, *shape)
        source = Components(rows, None, 0)
        drawn = source.images(source.encode(rows), np.float32)
        assert drawn.shape == rows.shape
        np.testing.assert_allclose(drawn, rows, rtol=1e-5, atol=1e-4)


def test_the_same_seed_gives_the_same_rows() -> None:
    X, y, group = confounded(200)
    first, second = (pretrained().fit_resample(X, y, sensitive_features=group) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])


def test_several_groups_and_a_target_plane_for_each() -> None:
    X, y, group = confounded(400, share=0.5)
    both = np.column_stack([group, np.where(X[:, 20] > np.median(X[:, 20]), "c", "d")])
    made = pretrained(domain_dependent=True)
    X_new, _ = made.fit_resample(X, y, sensitive_features=both)
    assert len(X_new) == 400 * (1 + 3)  # one partner for each set of changed attributes
    assert np.isfinite(X_new).all()


def test_the_figure_shows_the_table_and_no_pictures() -> None:
    X, y, group = confounded(200)
    made = pretrained()
    made.fit_resample(X, y, sensitive_features=group)
    assert len(pairs_figure(made, X, y).axes) == 1


@pytest.mark.parametrize(
    ("shape", "params", "message"),
    [
        ((80, 3, 8, 8), {}, r"shape \(80, 3, 8, 8\) is images\. Put fairvision\.nn\.Feature"),
        ((80, 40), {"latents": "normal"}, "needs latents='encoded'.*preset 'pretrained'"),
        ((80, 40), {"latent_dim": 0}, "latent_dim"),
        ((80, 40), {"generator": None, "latents": "normal"}, "needs pixels"),
    ],
)
def test_what_it_does_not_take(
    shape: tuple[int, ...], params: dict[str, Any], message: str
) -> None:
    X = np.zeros(shape, dtype=np.float32)
    rows = np.arange(80)
    with pytest.raises(InputError, match=message):
        pretrained(**params).fit(X, rows % 2, sensitive_features=rows // 2 % 2)


def test_a_missing_feature_is_named() -> None:
    X, y, group = confounded(80)
    X[3, 2] = np.nan
    with pytest.raises(InputError, match="Column 2 of X"):
        pretrained().fit(X, y, sensitive_features=group)


@pytest.mark.parametrize(
    ("n", "params", "message"),
    [
        (30, {}, "Of 20 training rows, two thirds of those given, 1. have"),
        (200, {"latent_dim": 1}, r"1 value\(s\), and partners are under 2"),
        (200, {"C": 0}, "C is 0"),
    ],
)
def test_too_little_to_go_by(n: int, params: dict[str, Any], message: str) -> None:
    X, y, group = confounded(n, share=0.5)
    group = np.array(["a", "b"])[np.arange(n) // 2 % 2]
    with pytest.raises(InputError, match=message):
        pretrained(**params).fit(X, y, sensitive_features=group)


def test_one_component_will_do_if_the_target_may_change() -> None:
    X, y, group = confounded(200, share=0.5)
    made = pretrained(latent_dim=1, variant="protected-only")
    assert len(made.fit_resample(X, y, sensitive_features=group)[0]) == 400


def test_half_precision_does_not_overflow() -> None:
    X, y, group = confounded(200)
    X = (X * 600).clip(-65000, 65000).astype(np.float16)
    X_new, _ = pretrained().fit_resample(X, y, sensitive_features=group)
    assert X_new.dtype == np.float32
    assert np.isfinite(X_new).all()
