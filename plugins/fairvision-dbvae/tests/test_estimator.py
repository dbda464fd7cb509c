"""The scikit-learn side: what fits in, what comes out, what is refused."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import Bunch
from torchvision.transforms import v2

from fairvision.exceptions import InputError
from fairvision.nn import TorchClassifier
from fairvision.testing import check_resumes
from fairvision_dbvae import DBVAEClassifier

pytestmark = pytest.mark.cpu


def make(**params: Any) -> DBVAEClassifier:
    defaults = {"max_epochs": 1, "debias_classes": "face", "random_state": 0, "n_latents": 6}
    return DBVAEClassifier(**{**defaults, **params})


@pytest.fixture(scope="module")
def model(data: Bunch) -> DBVAEClassifier:
    return make(max_epochs=6, n_latents=8).fit(data.images[:300], data.target[:300])


def test_it_learns_the_task_and_to_reconstruct(model: DBVAEClassifier, data: Bunch) -> None:
    assert model.score(data.images[300:], data.target[300:]) > 0.9
    losses = model.history_[:, "reconstruction_loss"]
    assert losses[-1] < 0.95 * losses[0]
    faces = data.images[300:][data.target[300:] == "face"] / 255
    drawn = model.reconstruct(faces.astype(np.float32))
    assert drawn.shape == faces.shape
    assert (
        np.abs(drawn - faces).mean() < np.abs(faces.mean((0, 2, 3))[:, None, None] - faces).mean()
    )


def test_history_holds_every_part_of_the_loss(model: DBVAEClassifier) -> None:
    table = np.array(model.history_[:, ("train_loss", "class_loss", "reconstruction_loss", "kl")])
    np.testing.assert_allclose(table[:, 0], table[:, 1:] @ [1, 1, 3e-3], rtol=1e-4)
    sizes = np.array(model.history_[:, "effective_sample_size"])
    assert ((sizes >= 0.249 * model.n_debiased_) & (sizes <= model.n_debiased_)).all()


def test_sample_probabilities(model: DBVAEClassifier, data: Bunch) -> None:
    p, face = model.sample_probabilities_, data.target[:300] == "face"
    assert p.shape == (300,)
    assert p.sum() == pytest.approx(1)
    assert p[face].sum() == pytest.approx(0.5)
    assert p[~face].std() == pytest.approx(0, abs=1e-12)
    assert p[face].max() > 2 * p[face].min()
    most, least = model.extreme_rows_
    np.testing.assert_array_equal(p[most], np.sort(p[face])[::-1][:8])
    np.testing.assert_array_equal(p[least], np.sort(p[face])[:8])
    np.testing.assert_array_equal(model.extreme_images_[0], data.images[most])


def test_rare_latents_are_likely(model: DBVAEClassifier, data: Bunch) -> None:
    """The published formula again, from the public pieces alone."""
    face = data.target[:300] == "face"
    mu = torch.from_numpy(model.transform(data.images[:300][face]))
    densities = model.latent_densities_["face"]
    rarity = -sum(
        torch.log(densities.probabilities[i][densities.bins(mu, i)] + 0.05) for i in range(8)
    )
    ours = torch.from_numpy(model.sample_probabilities_[face]).log()
    assert float(torch.corrcoef(torch.stack([rarity, ours]))[0, 1]) > 0.999


def test_transform_is_mu(model: DBVAEClassifier, data: Bunch) -> None:
    mu = model.transform(data.images[:10])
    assert mu.shape == (10, 8)
    assert mu.dtype == np.float32
    assert len(model.get_feature_names_out()) == 8
    with torch.no_grad():
        z = model.module_.decode(torch.from_numpy(mu))
    np.testing.assert_allclose(model.reconstruct(data.images[:10]), z, atol=1e-5)


def test_traverse_moves_one_latent(model: DBVAEClassifier, data: Bunch) -> None:
    x = data.images[0]
    here = float(model.transform(x[None])[0, 3])
    drawn = model.traverse(x, 3, [here - 2, here, here + 2])
    assert drawn.shape == (3, 3, 32, 32)
    np.testing.assert_allclose(drawn[1], model.reconstruct(x[None])[0], atol=1e-5)
    assert np.abs(drawn[0] - drawn[2]).max() > 1e-3
    with pytest.raises(InputError, match="latent is 8"):
        model.traverse(x, 8, [0])
    with pytest.raises(InputError, match="x holds 2 images"):
        model.traverse(data.images[:2], 0, [0])


def test_same_seed_same_bits_and_the_global_generators_stay(data: Bunch) -> None:
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (make().fit(data.images[:120], data.target[:120]) for _ in range(2))
    other = make(random_state=1).fit(data.images[:120], data.target[:120])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    weights, again = first.module_.state_dict(), second.module_.state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    np.testing.assert_array_equal(first.sample_probabilities_, second.sample_probabilities_)
    assert not torch.equal(weights["latents.weight"], other.module_.latents.weight)


def test_infinite_alpha_is_no_debiasing_bit_for_bit(data: Bunch) -> None:
    X, y = data.images[:120], data.target[:120]
    none, infinite = (make(alpha=alpha, max_epochs=2).fit(X, y) for alpha in (None, np.inf))
    np.testing.assert_array_equal(none.predict_proba(X), infinite.predict_proba(X))
    counts = np.array([(y == label).sum() for label in none.classes_])
    expected = 0.5 / counts[np.searchsorted(none.classes_, y)]
    np.testing.assert_allclose(none.sample_probabilities_, expected, rtol=0.02)


def test_groups_are_never_used(data: Bunch) -> None:
    X, y, tone = data.images[:120], data.target[:120], data.tone[:120]
    with_groups = make().fit(X, y, sensitive_features=tone).predict_proba(X)
    np.testing.assert_array_equal(with_groups, make().fit(X, y).predict_proba(X))


def test_clone_and_pickle(model: DBVAEClassifier, data: Bunch) -> None:
    assert clone(model).get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        clone(model).reconstruct(data.images)
    stored = pickle.dumps(model)
    assert len(stored) < 8e6, "a pickled model holds no training set"
    again = pickle.loads(stored)
    for method in ("predict_proba", "transform", "reconstruct"):
        ours, theirs = (getattr(m, method)(data.images[:20]) for m in (model, again))
        np.testing.assert_array_equal(ours, theirs)


def test_no_image_is_kept_where_none_is_wanted(data: Bunch) -> None:
    model = make(keep_images=0).fit(data.images[:100], data.target[:100])
    assert [len(part) for part in model.extreme_images_] == [0, 0]
    dropped = pickle.dumps(model)
    assert data.images[0].tobytes()[:500] not in dropped


def test_in_a_pipeline_its_latents_feed_the_next_step(data: Bunch) -> None:
    pipeline = make_pipeline(make(max_epochs=2), LogisticRegression(max_iter=1000))
    pipeline.fit(data.images[:200], data.target[:200])
    assert pipeline[-1].n_features_in_ == 6
    assert pipeline.score(data.images[200:], data.target[200:]) > 0.5


def test_grid_search(data: Bunch) -> None:
    search = GridSearchCV(make(), {"alpha": [None, 0.1], "n_latents": [2]}, cv=2)
    search.fit(data.images[:120], data.target[:120])
    assert search.best_estimator_.transform(data.images[:3]).shape == (3, 2)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 24, 24), (3, 25, 25), (1, 40, 40), (3, 30, 44)])
@pytest.mark.parametrize("backbone", ["small-cnn", "fairvision_dbvae:lab_encoder"])
def test_every_size(shape: tuple[int, ...], backbone: str) -> None:
    X = np.random.default_rng(0).integers(0, 256, (24, *shape), dtype=np.uint8)
    model = make(backbone=backbone, debias_classes=None).fit(X, np.arange(24) % 2)
    assert model.reconstruct(X).shape == X.shape
    assert model.debiased_classes_.tolist() == [1]


def test_tensors_and_floats_give_what_bytes_give(data: Bunch) -> None:
    X, y = data.images[:100], data.target[:100]
    expected = make().fit(X, y)
    for same in (torch.from_numpy(X), X.astype(np.float32) / 255):
        model = make().fit(same, y)
        np.testing.assert_array_equal(model.sample_probabilities_, expected.sample_probabilities_)
        np.testing.assert_array_equal(model.reconstruct(same), expected.reconstruct(X))


def test_several_classes(data: Bunch) -> None:
    y = np.where(data.target == "face", data.tone, "none")[:200]
    model = make(debias_classes=None).fit(data.images[:200], y)
    assert list(model.latent_densities_) == model.classes_.tolist() == sorted(set(y))
    per_class = [model.sample_probabilities_[y == label].sum() for label in model.classes_]
    np.testing.assert_allclose(per_class, 1 / 7, atol=0.01)
    chosen = make(debias_classes=["VI", "I"]).fit(data.images[:200], y)
    assert chosen.debiased_classes_.tolist() == ["I", "VI"]
    assert make(debias_classes="all").fit(data.images[:99], data.target[:99]).n_debiased_ == 99


def test_rows_of_no_weight_count_for_nothing(data: Bunch) -> None:
    weight = np.arange(120) % 2
    X, y = data.images[:120], data.target[:120]
    weighted = make().fit(X, y, sample_weight=weight)
    alone = make().fit(X[weight == 1], y[weight == 1])
    np.testing.assert_array_equal(weighted.predict_proba(X), alone.predict_proba(X))
    assert (weighted.sample_probabilities_[weight == 0] == 0).all()
    np.testing.assert_array_equal(
        weighted.sample_probabilities_[weight == 1], alone.sample_probabilities_
    )


def test_a_debiased_class_of_no_weight_is_passed_over(data: Bunch) -> None:
    X, y = data.images[:60], np.where(np.arange(60) % 3, data.target[:60], "other")
    weight = (y != "face").astype(float)
    model = make(debias_classes=["face", "other"]).fit(X, y, sample_weight=weight)
    assert list(model.latent_densities_) == ["other"]
    assert model.sample_probabilities_[y == "face"].sum() == 0
    assert model.sample_probabilities_.sum() == pytest.approx(1)


def test_rows_held_out_are_not_drawn_from(data: Bunch) -> None:
    model = make(validation_fraction=0.25).fit(data.images[:120], data.target[:120])
    assert "valid_loss" in model.history_[0]
    assert model.n_steps_ == 2


def test_wrapped_again_it_is_the_same(model: DBVAEClassifier, data: Bunch) -> None:
    wrapped = DBVAEClassifier.from_module(model.module_, classes=model.classes_)
    np.testing.assert_array_equal(wrapped.transform(data.images), model.transform(data.images))
    before = copy.deepcopy(model.module_.state_dict())
    clone(wrapped).set_params(max_epochs=1, lr=0.0, weight_decay=0.0).fit(data.images, data.target)
    after = model.module_.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    plain = TorchClassifier(max_epochs=0).fit(data.images[:9], data.target[:9]).module_
    with pytest.raises(InputError, match="no latents"):
        DBVAEClassifier.from_module(plain, classes=[0, 1])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"alpha": -0.1}, "alpha is -0.1"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"bins": 0}, "bins is 0"),
        ({"n_latents": 2.5}, "n_latents is 2.5"),
        ({"aggregate": "mean"}, "aggregate is 'mean'"),
        ({"min_effective": 1.0}, "min_effective is 1.0"),
        ({"class_shares": "half"}, "class_shares is 'half'"),
        ({"class_weight": "balanced"}, "class_shares='equal' draws as many .* class_shares='data'"),
        ({"decoder_filters": ()}, r"decoder_filters is \(\)"),
        ({"debias_classes": "cat"}, "debias_classes is 'cat', y has the classes"),
        ({"debias_classes": []}, r"debias_classes is \[\]"),
    ],
)
def test_what_is_refused(data: Bunch, params: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(**params).fit(data.images[:20], data.target[:20])


def test_tables_and_tiny_images_are_refused(data: Bunch) -> None:
    y = data.target[:20]
    with pytest.raises(InputError, match="DBVAEClassifier needs pixels"):
        make().fit(np.zeros((20, 5)), y)
    with pytest.raises(InputError, match="8 x 8 at least"):
        make().fit(np.zeros((20, 3, 7, 9), np.uint8), y)


def test_it_goes_on_from_a_checkpoint(data: Bunch) -> None:
    model = make(max_epochs=4, train_transform=v2.RandomHorizontalFlip())
    assert check_resumes(model, data.images[:160], data.target[:160]) == 2
