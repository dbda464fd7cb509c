"""The sampler: rows, targets and groups aligned, labels that others agree with, bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC
from sklearn.utils import Bunch
from torch import nn

from fairvision.base import Resampled
from fairvision.datasets import FaceGenerator, load_faces
from fairvision.exceptions import FairvisionWarning, GroupsRequiredError, InputError
from fairvision.nn import TorchClassifier
from fairvision_latent import LatentPairSampler, ProgressiveGAN
from fairvision_latent._labels import Labellers, split_cells
from fairvision_latent._training import Trainer

pytestmark = pytest.mark.cpu

PERFECT = FaceGenerator(24, correlation={("hat", "background"): 0.8})
GAN = {"images_per_phase": 64, "final_images": 64, "max_width": 8, "latent_dim": 8}


def flat(images: NDArray[Any]) -> NDArray[np.float64]:
    values = np.asarray(images, dtype=np.float64)
    return values.reshape(len(values), -1) / max(1.0, values.max())


def pixels() -> Any:
    """Pixels suffice to see a hat or the sky: labels in milliseconds."""
    return make_pipeline(FunctionTransformer(flat), LogisticRegression(C=0.05, max_iter=5000))


def sampler(generator: Any = PERFECT, **params: Any) -> LatentPairSampler:
    given = {"n_hyperplane": 1500, "classifier": pixels(), "random_state": 0}
    return LatentPairSampler(generator, **{**given, **params})


Resample = tuple[LatentPairSampler, NDArray[Any], NDArray[Any]]


@pytest.fixture(scope="module")
def resampled(faces: Bunch) -> Resample:
    made = sampler(n_pairs=500)
    X, y = made.fit_resample(
        faces.images, faces.attributes["hat"], sensitive_features=faces.sensitive_features
    )
    return made, X, y


# -- what comes out ---------------------------------------------------------------


def test_real_rows_then_latents_then_partners(faces: Bunch, resampled: Resample) -> None:
    made, X, y = resampled
    groups, pairs = made.sensitive_features_, made.pairs_
    assert X.shape == (600 + 2 * 500, 3, 24, 24)
    assert X.dtype == np.uint8
    np.testing.assert_array_equal(X[:600], faces.images)
    for block, z in ((X[600:1100], pairs.z), (X[1100:], pairs.partners[0])):
        # The grain of a picture starts anew with every batch; a face of another row is far off.
        error = np.abs(block - PERFECT(z).astype(float)).mean((1, 2, 3))
        assert error.max() < 15 < np.abs(block - PERFECT(z[::-1]).astype(float)).mean()
    np.testing.assert_array_equal(y[:600], faces.attributes["hat"])
    pd.testing.assert_frame_equal(groups[:600], faces.sensitive_features)
    # A pair shares the target and differs in the group, so that the two are independent.
    np.testing.assert_array_equal(y[600:1100], y[1100:])
    names = groups["background"].to_numpy()
    assert (names[600:1100] != names[1100:]).all()
    table = made.table_["after"] - made.table_["before"]
    assert table.loc[(True, "indoor")] == table.loc[(True, "outdoor")] > 0
    assert made.table_["after"].sum() == len(X) == len(y) == len(groups)


def test_labels_are_true(resampled: Resample) -> None:
    """Against what the generator knows that it drew."""
    made, _, y = resampled
    shown = PERFECT.attributes(made.pairs_.z)
    assert (y[600:1100] == shown["hat"]).mean() > 0.9
    groups = made.sensitive_features_["background"].to_numpy()[600:1100]
    assert (groups == shown["background"]).mean() > 0.9
    moved = PERFECT.attributes(made.pairs_.partners[0])
    assert (moved["hat"] == shown["hat"]).mean() > 0.75
    assert (moved["background"] != shown["background"]).mean() > 0.75


def test_hyperplanes_hold_for_the_pairs(resampled: Resample) -> None:
    made = resampled[0]
    pairs = made.pairs_
    target, protected = made.hyperplanes_["target"], made.hyperplanes_["background"]
    assert min(target.accuracy, protected.accuracy) > 0.8
    assert target.cosine(protected) > 0.2  # they go together in what the generator learned
    np.testing.assert_allclose(
        target.distance(pairs.partners[0]), target.distance(pairs.z), atol=1e-5
    )
    np.testing.assert_allclose(
        protected.distance(pairs.partners[0]), -protected.distance(pairs.z), atol=1e-5
    )


def test_others_have_their_own_view(resampled: Resample) -> None:
    """Judges that saw 180 small faces see most attributes flip, and no others there are."""
    row = resampled[0].label_agreement_.loc["background"]
    assert row["both"] <= min(row["target_kept"], row["flipped"])
    assert row["flipped"] > 0.6
    assert row["others_kept"] == 1


def test_same_seed_same_rows_and_global_state_is_left(faces: Bunch, resampled: Resample) -> None:
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    made = clone(resampled[0])
    X, _ = made.fit_resample(
        faces.images, faces.attributes["hat"], sensitive_features=faces.sensitive_features
    )
    np.testing.assert_array_equal(X, resampled[1])
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    with pytest.raises(InputError):
        made.fit_resample(faces.images, faces.target, sensitive_features=None)
    assert len(made.pairs_) == 500  # a refused fit leaves what was there


@pytest.mark.parametrize("form", ["frame", "series", "dict", "list", "array", "columns"])
def test_groups_come_back_as_they_were_given(faces: Bunch, form: str) -> None:
    column = faces.sensitive_features["background"]
    given: Any = {
        "frame": faces.sensitive_features,
        "series": column,
        "dict": {"background": column.to_numpy()},
        "list": column.tolist(),
        "array": column.to_numpy(),
        "columns": np.column_stack([column, faces.attributes["beard"]]),
    }[form]
    made = sampler(n_pairs=50, judge_fraction=0)
    _, y = made.fit_resample(faces.images, faces.target, sensitive_features=given)
    out = made.sensitive_features_
    kinds = {"frame": pd.DataFrame, "series": pd.Series, "dict": dict}
    assert isinstance(out, kinds.get(form, np.ndarray))
    back = out["background"] if form in ("frame", "dict") else out
    assert np.asarray(back).shape == ((len(y), 2) if form == "columns" else (len(y),))
    assert len(y) == 600 + 50 * (4 if form == "columns" else 2)
    first = np.asarray(back)[:600, 0] if form == "columns" else np.asarray(back)[:600]
    assert first.tolist() == column.tolist()
    assert made.label_agreement_ is None


@pytest.mark.slow
def test_two_attributes_give_three_partners(faces: Bunch) -> None:
    groups = faces.attributes[["background", "beard"]]
    made = sampler(n_pairs=200)
    _, y = made.fit_resample(faces.images, faces.target, sensitive_features=groups)
    assert len(y) == 600 + 4 * 200
    blocks = made.sensitive_features_[600:].to_numpy().reshape(4, 200, 2)
    changed = (blocks[1:] != blocks[0]).astype(int)
    for block, flip in zip(changed, made.pairs_.flips, strict=True):
        assert (block == flip).all()
    assert made.label_agreement_.index.tolist() == ["background", "beard", "background and beard"]
    for cell in made.table_.index:
        added = made.table_.loc[cell, "after"] - made.table_.loc[cell, "before"]
        assert added == (y[600:800] == cell[0]).sum()  # every latent is once in every group


# -- variants ---------------------------------------------------------------------


@pytest.mark.slow
def test_a_target_hyperplane_for_each_domain(faces: Bunch) -> None:
    made = sampler(n_pairs=300, domain_dependent=True, n_hyperplane=3000)
    made.fit_resample(faces.images, faces.target, sensitive_features=faces.sensitive_features)
    assert list(made.hyperplanes_) == [
        "target | background=indoor",
        "target | background=outdoor",
        "background",
    ]
    indoor, outdoor, background = made.hyperplanes_.values()
    z, partners = made.pairs_.z, made.pairs_.partners[0]
    outside = background.distance(z) > 0
    kept = np.where(outside, outdoor.distance(z), indoor.distance(z))
    after = np.where(outside, indoor.distance(partners), outdoor.distance(partners))
    np.testing.assert_allclose(after, kept, atol=1e-4)


def test_the_target_is_lost_without_its_constraint(faces: Bunch, resampled: Resample) -> None:
    groups = faces.sensitive_features
    made = sampler(variant="protected-only").fit(
        faces.images, faces.target, sensitive_features=groups
    )
    kept = resampled[0].label_agreement_.loc["background", "target_kept"]
    assert made.label_agreement_.loc["background", "target_kept"] < kept


def test_on_the_hyperplane_images_keep_their_group(faces: Bunch) -> None:
    made = sampler(variant="on-hyperplane", n_pairs=100)
    made.fit_resample(faces.images, faces.target, sensitive_features=faces.sensitive_features)
    plane = made.hyperplanes_["background"]
    np.testing.assert_allclose(plane.distance(made.pairs_.partners[0]), 0, atol=1e-5)
    names = made.sensitive_features_["background"].to_numpy()[600:]
    np.testing.assert_array_equal(names[:100], names[100:])


# -- generators -------------------------------------------------------------------


class Decoder(nn.Module):
    """Two numbers: brightness above, brightness below; and back."""

    latent_dim = 2

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        top, bottom = (torch.sigmoid(2 * z[:, i]).view(-1, 1, 1, 1) for i in (0, 1))
        halves = [side.expand(-1, 3, 8, 16) for side in (top, bottom)]
        return torch.cat(halves, 2)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        halves = images[:, :, :8].mean((1, 2, 3)), images[:, :, 8:].mean((1, 2, 3))
        return torch.logit(torch.stack(halves, 1).clamp(1e-3, 1 - 1e-3)) / 2


@pytest.fixture(scope="module")
def halves() -> Bunch:
    """Bright above is the target, bright below the group; they mostly agree."""
    z = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], 400)
    images = Decoder()(torch.from_numpy(z.astype(np.float32))).numpy()
    return Bunch(images=images, y=z[:, 0] > 0, a=z[:, 1] > 0)


def test_a_module_is_used_and_left_alone(halves: Bunch) -> None:
    module = Decoder().train()
    made = sampler(module, n_pairs=300)
    X, y = made.fit_resample(halves.images, halves.y, sensitive_features=halves.a)
    assert X.dtype == np.float32
    assert module.training
    assert made.generator_ is not module
    agreed = made.label_agreement_.loc["sensitive_feature"]
    assert (agreed[["target_kept", "flipped", "both", "target_right"]] > 0.9).all()
    target, group = made.hyperplanes_["target"], made.hyperplanes_["sensitive_feature"]
    np.testing.assert_allclose(target.normal, [1, 0], atol=0.1)
    np.testing.assert_allclose(group.normal, [0, 1], atol=0.1)
    assert (X[:, 0, 0, 0] > 0.5)[700:].tolist() == (made.pairs_.partners[0][:, 0] > 0).tolist()
    assert ((X[:, 0, 0, 0] > 0.5) == y)[400:].mean() > 0.9


def test_encoded_latents_need_no_labellers(halves: Bunch) -> None:
    made = sampler(Decoder(), latents="encoded", n_pairs=250, judge_fraction=0)
    X, y = made.fit_resample(halves.images, halves.y, sensitive_features=halves.a)
    assert made.labellers_ is None
    # The generator gives back the images that were encoded, under their own labels.
    own = {
        image.tobytes(): label
        for image, label in zip(halves.images.round(3), halves.y, strict=True)
    }
    assert [own[image.tobytes()] for image in X[400:650].round(3)] == y[400:650].tolist()
    assert ((X[650:, 0, 0, 0] > 0.5) == y[650:]).mean() > 0.9
    below, above = X[400:650, 0, -1, 0], X[650:, 0, -1, 0]
    assert ((below > 0.5) != (above > 0.5)).mean() > 0.9
    with pytest.raises(InputError, match="needs a generator with encode"):
        sampler(lambda z: z, latent_dim=3, latents="encoded").fit(
            halves.images, halves.y, sensitive_features=halves.a
        )


class Halving(ClassifierMixin, BaseEstimator):
    """Calls half of any images positive: the brighter ones, or the redder ones."""

    def __init__(self, *, blind: bool = False) -> None:
        self.blind = blind

    def fit(self, X: Any, y: Any) -> Halving:
        self.classes_ = np.array([0, 1])
        agrees = [((v > np.median(v)) == y).mean() for v in self._values(X)]
        self.which_ = 0 if self.blind else int(np.argmax(agrees))
        return self

    @staticmethod
    def _values(X: Any) -> list[NDArray[np.float64]]:
        red, green, blue = flat(X).reshape(len(X), 3, -1).mean(2).T
        return [red + green + blue, red - blue]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        value = self._values(X)[self.which_]
        above = (value > np.median(value)).astype(float)
        return np.column_stack([1 - above, above])


@pytest.fixture(scope="module")
def small(faces: Bunch) -> Bunch:
    """A power of two of pixels, and two attributes that a GAN of seconds shows, too."""
    images = np.pad(faces.images, [(0, 0), (0, 0), (4, 4), (4, 4)])[:, :, ::2, ::2]
    bright, warm = (v > np.median(v) for v in Halving._values(images))
    return Bunch(images=images, bright=bright, warm=warm)


def test_one_gan_for_many_targets(small: Bunch) -> None:
    gan = ProgressiveGAN(**GAN, random_state=0).fit(small.images)
    weights = [p.clone() for p in gan.generator_.parameters()]
    for y, a in ((small.bright, small.warm), (small.warm, small.bright)):
        made = sampler(FrozenEstimator(gan), classifier=Halving(), n_pairs=20, judge_fraction=0)
        made.fit(small.images, y, sensitive_features=a)
        assert made.generator_.estimator is gan
    assert all(torch.equal(p, q) for p, q in zip(weights, gan.generator_.parameters(), strict=True))


@pytest.mark.slow
def test_a_gan_in_a_cache_serves_every_target_and_goes_on(
    small: Bunch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, steps = Trainer.step, []

    def counted(self: Trainer) -> torch.Tensor:
        steps.append(self.step_number)
        if len(steps) == stop:
            raise KeyboardInterrupt
        return step(self)

    def fit(y: Any, a: Any, **params: Any) -> LatentPairSampler:
        gan = ProgressiveGAN(**GAN, checkpoint_steps=5)
        made = sampler(gan, classifier=Halving(), n_pairs=20, judge_fraction=0, **params)
        made.fit_resample(small.images, y, sensitive_features=a)
        return made

    stop = 0
    plain = fit(small.bright, small.warm)
    monkeypatch.setattr(Trainer, "step", counted)
    stop = 13
    with pytest.raises(KeyboardInterrupt):
        fit(small.bright, small.warm, cache=tmp_path)
    stop = 0
    steps.clear()
    resumed = fit(small.bright, small.warm, cache=tmp_path)
    assert steps[0] == 12  # where a stage ended
    for name in ("z", "partners", "labels"):
        np.testing.assert_array_equal(getattr(resumed.pairs_, name), getattr(plain.pairs_, name))
    z = plain.pairs_.z
    drawn = plain.generator_.generate(z)
    np.testing.assert_array_equal(resumed.generator_.generate(z), drawn)
    steps.clear()
    turned = fit(small.warm, small.bright, cache=tmp_path)
    assert not steps
    np.testing.assert_array_equal(turned.generator_.generate(z), drawn)
    for params in ({"random_state": 1}, {"generator_seed": 7}):
        fit(small.warm, small.bright, cache=tmp_path, **params)
    steps.clear()
    fit(small.warm, small.bright, cache=tmp_path, generator_seed=7, random_state=2)
    assert not steps  # one GAN for all seeds
    fit(small.warm, small.bright, cache=tmp_path, random_state=None)
    assert steps  # which could never be found again
    assert len(list(tmp_path.glob("*.pt"))) == 3


def test_a_gan_is_trained_on_the_rows_or_read(small: Bunch, tmp_path: Path) -> None:
    gan = ProgressiveGAN(**GAN)
    images = small.images.astype(np.float32) / 255
    made = sampler(gan, classifier=Halving(), n_pairs=20, judge_fraction=0)
    X, _ = made.fit_resample(images, small.bright, sensitive_features=small.warm)
    assert not hasattr(gan, "generator_")
    assert X.dtype == np.float32
    drawn = made.generator_.generate(made.pairs_.z)
    np.testing.assert_allclose(X[600:620], drawn, atol=1e-6)
    made.generator_.save(tmp_path)
    again = sampler(str(tmp_path), classifier=Halving(), judge_fraction=0)
    again.fit(images, small.bright, sensitive_features=small.warm)
    np.testing.assert_array_equal(again.generator_.generate(made.pairs_.z), drawn)


# -- classifiers ------------------------------------------------------------------


def test_composed_with_a_net(faces: Bunch) -> None:
    model = Resampled(sampler(n_pairs=100), TorchClassifier(max_epochs=1, random_state=0))
    model.fit(faces.images, faces.target, sensitive_features=faces.sensitive_features)
    assert model.predict_proba(faces.images[:4]).shape == (4, 2)
    assert len(model.classifier_.groups_) == 600 + 200


def test_parts_have_rows_of_every_cell() -> None:
    cells = np.repeat([0, 1, 2], [1000, 4, 1])
    parts = split_cells(cells, (0.5, 0.2, 0.3), np.random.default_rng(0))
    assert sorted(np.concatenate(parts).tolist()) == list(range(1005))
    assert [int((cells[p] == 0).sum()) for p in parts] == [500, 200, 300]
    assert [int((cells[p] == 1).sum()) for p in parts] == [2, 1, 1]


# -- bad input --------------------------------------------------------------------


def tanh(z: NDArray[Any]) -> NDArray[Any]:
    return PERFECT(z) / np.float32(127.5) - 1


def tiny(z: NDArray[Any]) -> NDArray[Any]:
    return PERFECT(z)[:, :, ::2, ::2]


def blank(z: NDArray[Any]) -> NDArray[Any]:
    return np.zeros((len(z), 3, 24, 24), np.uint8)


def broken(z: NDArray[Any]) -> NDArray[Any]:
    return np.full((len(z), 3, 24, 24), np.nan)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"variant": "mirror"}, "variant is 'mirror'; pass one of 'pair', 'protected-only'"),
        ({"latents": "real"}, "latents is 'real'"),
        ({"n_pairs": 0}, "n_pairs is 0; pass an int of 1 or more"),
        ({"n_hyperplane": 10}, "n_hyperplane is 10; pass an int of 60 or more"),
        ({"judge_fraction": 0.8}, "below 1 together"),
        ({"generator": tanh}, "The generator tanh has no latent_dim"),
        ({"generator": tanh, "latent_dim": PERFECT.latent_dim}, r"from -1 to .*; expected 0..1"),
        ({"generator": broken, "latent_dim": 4}, "values from nan"),
        ({"generator": tiny, "latent_dim": PERFECT.latent_dim}, r"\(3, 12, 12\), X has \(3, 24"),
        ({"generator": blank, "latent_dim": 4}, r"Of 1000 generated images (0|1000) are labelled"),
        ({"generator": 3, "latent_dim": 4}, "generator is 3; pass a fitted ProgressiveGAN"),
        ({"generator": "nowhere"}, r"'nowhere' holds no gan\.json"),
        ({"classifier": LinearSVC()}, "LinearSVC, which has no predict_proba"),
    ],
)
def test_bad_parameters(faces: Bunch, params: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sampler(**params).fit(
            faces.images, faces.target, sensitive_features=faces.sensitive_features
        )


Change = Callable[[Any, Any], tuple[Any, Any]]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda y, a: (y, None), GroupsRequiredError, "LatentPairSampler needs sensitive_features"),
        (lambda y, a: (y[:-1], a), InputError, "y has 599 rows, X has 600"),
        (lambda y, a: (np.arange(600) % 3, a), InputError, "y has 3 classes; a hyperplane has two"),
        (lambda y, a: (y, y), InputError, "Target 1 has 0 row.s. with sensitive_feature=0"),
        (lambda y, a: (y, np.arange(600) % 3), InputError, "has 3 groups; .* of two values"),
        (lambda y, a: (y, np.zeros(600)), InputError, "needs at least 2"),
        (lambda y, a: (y, {"target": a}), InputError, "is called 'target', .* Rename the column"),
    ],
)
def test_bad_labels(faces: Bunch, change: Change, error: type[Exception], message: str) -> None:
    y, a = change(faces.target, faces.sensitive_features["background"].to_numpy())
    with pytest.raises(error, match=message):
        sampler().fit(faces.images, y, sensitive_features=a)


def test_an_attribute_that_looks_like_the_target_is_refused(small: Bunch) -> None:
    made = sampler(classifier=Halving(blind=True))
    images = np.repeat(np.repeat(small.images, 2, 2), 2, 3)[:, :, :24, :24]
    with pytest.raises(InputError, match="'sensitive_feature' is parallel to that of 'target'"):
        made.fit(images, small.bright, sensitive_features=small.bright ^ (np.arange(600) % 9 == 0))


def test_a_generator_that_never_shows_the_attribute_is_cut_by_rank_with_a_warning(
    faces: Bunch,
) -> None:
    hat = np.unique(faces.attributes["hat"], return_inverse=True)[1] == 1
    rows = np.arange(len(hat))
    labellers = Labellers.train(
        pixels(),
        faces.images,
        hat[:, None],
        ["hat"],
        rows,
        rows,
        reweigh=False,
        rng=np.random.default_rng(0),
    )
    assert labellers.recut(faces.images, np.array([hat.mean()])).cuts == labellers.cuts
    bare = load_faces(200, 24, probabilities={"hat": 0.0}, random_state=1).images
    with pytest.warns(FairvisionWarning, match="labelled 'hat'"):
        again = labellers.recut(bare, np.array([0.3]))
    assert again(bare).mean() == pytest.approx(0.3, abs=0.01)
