"""`AttributionNoise`: rows are kept, regions hidden in training only, the bias lessened."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

import fairvision as fv
from fairvision.datasets import ImageFiles
from fairvision.exceptions import GroupsRequiredError, InputError
from fairvision.nn import TorchClassifier
from fairvision_attribution import (
    AttributionNoise,
    NoisyImages,
    RegionClassifier,
    quantile_curve,
)

pytestmark = pytest.mark.cpu

QUICK = {"max_epochs": 8, "map_rows": 100}


def test_rows_labels_and_groups_are_kept(biased, regions):
    sampler = AttributionNoise(attribution=FrozenEstimator(regions), random_state=0)
    groups = pd.Series(biased.groups, name="square")
    X, y = sampler.fit_resample(biased.images, biased.target, sensitive_features=groups)
    assert isinstance(X, NoisyImages)
    assert sampler.sensitive_features_ is groups
    assert y is biased.target
    np.testing.assert_array_equal(
        np.asarray(X)[:, :, ~sampler.mask_], biased.images[:, :, ~sampler.mask_]
    )


@pytest.mark.parametrize("scope", ["general", "specific"])
@pytest.mark.parametrize("quantile", [0.6, 0.95])
def test_it_hides_the_top_of_the_map(biased, regions, scope, quantile):
    sampler = AttributionNoise(
        scope, "mask", quantile=quantile, attribution=FrozenEstimator(regions)
    )
    few = biased.images[:20], biased.target[:20]
    X, _ = sampler.fit_resample(*few, sensitive_features=biased.groups[:20])
    assert (X.masks.sum((1, 2)) == round((1 - quantile) * 320)).all()
    maps = regions.pixel_map(few[0]) if scope == "specific" else regions.mean_map_[None]
    for mask, one in zip(X.masks, np.broadcast_to(maps, X.masks.shape), strict=True):
        assert one[mask].min() >= one[~mask].max()
    assert (X.masks == sampler.mask_).all() == (scope == "general")
    assert sampler.attribution_ is regions


@pytest.mark.slow
def test_the_target_is_left_visible_although_it_goes_with_the_attribute(biased, where):
    """Without the weights, a map of the biased rows shows the target's own square as well."""
    shares = {}
    for weighed in (True, False):
        sampler = AttributionNoise(attribution=QUICK, decorrelate=weighed, random_state=0)
        sampler.fit(biased.images, biased.target, sensitive_features=biased.groups)
        shares[weighed] = sampler.mean_map_[where.target].mean()
        assert sampler.mean_map_[where.attribute].mean() > 0.6
    assert shares[True] < 0.35
    assert shares[False] > shares[True] + 0.2


@pytest.mark.parametrize("noise", ["mask", "gaussian", "swap"])
def test_a_classifier_relies_less_on_the_attribute(tempting, honest, regions, noise):
    def worst(model):
        right = model.predict(honest.images) == honest.target
        table = pd.DataFrame({"y": honest.target, "a": honest.groups, "right": right})
        return table.groupby(["y", "a"])["right"].mean().min()

    net = TorchClassifier(max_epochs=4, random_state=0)
    plain = clone(net).fit(tempting.images, tempting.target)
    sampler = AttributionNoise(
        noise=noise, quantile=0.8, attribution=FrozenEstimator(regions), random_state=0
    )
    model = fv.compose(pre=sampler, model=net)
    model.fit(tempting.images, tempting.target, sensitive_features=tempting.groups)
    assert worst(plain) < 0.45
    assert worst(model) > 0.6


def test_noise_is_fresh_in_each_epoch_unless_fixed(biased, regions):
    class Recorder(TorchClassifier):
        def make_objective(self):
            objective = super().make_objective()
            step, self.seen_ = objective.step, {}

            def recording(module, batch):
                for row, image in zip(batch.rows.tolist(), batch.images, strict=True):
                    self.seen_.setdefault(row, []).append(image.numpy().copy())
                return step(module, batch)

            objective.step = recording
            return objective

    few = slice(0, 40)
    for fresh in (True, False):
        sampler = AttributionNoise(
            noise="gaussian", attribution=FrozenEstimator(regions), fresh=fresh, random_state=0
        )
        model = fv.compose(pre=sampler, model=Recorder(max_epochs=3, random_state=0))
        model.fit(biased.images[few], biased.target[few], sensitive_features=biased.groups[few])
        hidden = model.sampler_.mask_
        for row, (first, second, _) in model.classifier_.seen_.items():
            original = biased.images[few][row] / np.float32(255)
            np.testing.assert_array_equal(first[:, ~hidden], original[:, ~hidden])
            assert (first[:, hidden] != original[:, hidden]).any()
            assert (first[:, hidden] == second[:, hidden]).all() != fresh


def test_own_regions_survive_a_validation_part_and_weights_of_zero(biased, regions):
    """Rows that a classifier drops or holds out must not shift the regions of the others."""
    sampler = AttributionNoise("specific", "mask", attribution=FrozenEstimator(regions))
    X, y = sampler.fit_resample(
        biased.images[:60], biased.target[:60], sensitive_features=biased.groups[:60]
    )
    seen = []

    def keep(images):
        seen.append((images * 255).round().byte().numpy())
        return images

    net = TorchClassifier(
        max_epochs=1, validation_fraction=0.25, train_transform=keep, random_state=0
    )
    weights = (np.arange(60) % 5 > 0).astype(float)
    net.fit(X, y, sample_weight=weights)
    expected = {picture.tobytes() for picture in np.asarray(X)[weights > 0]}
    trained = np.concatenate(seen)
    assert len(trained) == 36
    assert {picture.tobytes() for picture in trained} <= expected


def test_prediction_sees_clean_pictures(biased, fresh, regions):
    sampler = AttributionNoise(attribution=FrozenEstimator(regions), random_state=0)
    net = TorchClassifier(max_epochs=2, random_state=0)
    model = fv.compose(pre=sampler, model=net)
    model.fit(biased.images, biased.target, sensitive_features=biased.groups)
    np.testing.assert_array_equal(
        model.predict_proba(fresh.images), model.classifier_.predict_proba(fresh.images)
    )
    assert model.sampler_.transform(fresh.images) is fresh.images


def test_it_is_a_transformer_in_a_plain_pipeline(biased, fresh, regions):
    sampler = AttributionNoise(attribution=FrozenEstimator(regions), random_state=0)
    pipeline = Pipeline([("hide", sampler), ("net", TorchClassifier(max_epochs=2, random_state=0))])
    pipeline.fit(biased.images, biased.target, hide__sensitive_features=biased.groups)
    composed = fv.compose(pre=sampler, model=TorchClassifier(max_epochs=2, random_state=0))
    composed.fit(biased.images, biased.target, sensitive_features=biased.groups)
    np.testing.assert_allclose(
        pipeline.predict_proba(fresh.images), composed.predict_proba(fresh.images)
    )


def test_several_attributes_are_hidden_together(balanced, where):
    groups = pd.DataFrame({"a": balanced.groups, "b": balanced.target})
    labels = np.random.default_rng(0).integers(2, size=300)
    sampler = AttributionNoise(attribution=QUICK, quantile=0.8, random_state=0)
    sampler.fit(balanced.images, labels, sensitive_features=groups)
    assert sampler.mask_[where.attribute].mean() > 0.6
    assert sampler.mask_[where.target].mean() > 0.6
    assert sampler.masks(balanced.images[:3]).shape == (3, 16, 20)
    weighted = clone(sampler).set_params(attribution={**QUICK, "class_weight": "balanced"})
    with pytest.raises(InputError, match="class_weight='balanced' works with one attribute"):
        weighted.fit(balanced.images, labels, sensitive_features=groups)


def test_where_the_region_comes_from(biased, regions):
    given = RegionClassifier(max_epochs=1, random_state=5)
    few = slice(0, 60)
    for attribution in (given, {"max_epochs": 1, "random_state": 5}):
        sampler = AttributionNoise(attribution=attribution, random_state=0)
        sampler.fit(biased.images[few], biased.target[few], sensitive_features=biased.groups[few])
        assert sampler.attribution_.random_state == 5
        assert len(sampler.attribution_.history_) == 1
    assert not hasattr(given, "module_")
    copied = clone(AttributionNoise(attribution=FrozenEstimator(regions)))
    assert copied.attribution.estimator is regions


def test_files_are_read_when_they_are_used(biased, regions, tmp_path):
    for row, picture in enumerate(biased.images[:30, 0]):
        Image.fromarray(picture).save(tmp_path / f"{row:02d}.png")
    files = ImageFiles(sorted(tmp_path.glob("*.png")), image_size=(16, 20), mode="L", n_threads=1)
    y, groups = biased.target[:30], biased.groups[:30]
    sampler = AttributionNoise(noise="swap", attribution=FrozenEstimator(regions), random_state=0)
    hidden, _ = sampler.fit_resample(files, y, sensitive_features=groups)
    assert files.n_decoded == 0
    same, _ = clone(sampler).fit_resample(biased.images[:30], y, sensitive_features=groups)
    np.testing.assert_array_equal(np.asarray(hidden[4:9]), np.asarray(same[4:9]))
    assert files.n_decoded <= 10  # five pictures, and five to swap with
    sampler.set_params(scope="specific", attribution={"max_epochs": 1})
    sampler.fit_resample(files, y, sensitive_features=groups)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model(biased):
    def fitted():
        net = TorchClassifier(max_epochs=1, random_state=0)
        sampler = AttributionNoise("specific", attribution=QUICK, random_state=0)
        model = fv.compose(pre=sampler, model=net)
        model.fit(biased.images, biased.target, sensitive_features=biased.groups)
        return model.predict_proba(biased.images[:20])

    np.testing.assert_array_equal(fitted(), fitted())


def test_the_quantile_is_judged_on_validation_data(tempting, honest, regions):
    model = fv.compose(
        pre=AttributionNoise(noise="swap", attribution=FrozenEstimator(regions), random_state=0),
        model=TorchClassifier(max_epochs=4, random_state=0),
    )
    curve = quantile_curve(
        model,
        tempting.images,
        tempting.target,
        sensitive_features=tempting.groups,
        validation=(honest.images, honest.target, honest.groups),
        quantiles=(0.8, 1.0),
    )
    assert curve.index.tolist() == [0.8, 1.0]
    assert not hasattr(model, "sampler_")
    # Nothing is hidden at quantile 1: plain training.
    plain = clone(model.classifier).fit(tempting.images, tempting.target)
    right = plain.predict(honest.images) == honest.target
    assert curve.loc[1.0, "accuracy"] == pytest.approx(right.mean())
    by_class = [right[honest.target == c].mean() for c in (0, 1)]
    assert curve.loc[1.0, "gap"] == pytest.approx(abs(by_class[0] - by_class[1]))
    assert curve.loc[0.8, "worst"] > curve.loc[1.0, "worst"] + 0.2


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"scope": "both"}, "scope is 'both'"),
        ({"noise": "blur"}, "noise is 'blur'"),
        ({"quantile": 1.5}, "quantile is 1.5"),
        ({"attribution": TorchClassifier()}, "pass a RegionClassifier"),
        ({"attribution": {"epochs": 3}}, "attribution=.*unexpected keyword"),
        ({"attribution": FrozenEstimator(TorchClassifier())}, "pass a RegionClassifier"),
    ],
)
def test_parameters_that_cannot_be(biased, params, message):
    with pytest.raises(InputError, match=message):
        AttributionNoise(**params).fit(
            biased.images, biased.target, sensitive_features=biased.groups
        )


def test_data_that_cannot_be(biased, regions):
    sampler = AttributionNoise(attribution=FrozenEstimator(regions))
    with pytest.raises(GroupsRequiredError, match="AttributionNoise needs sensitive_features"):
        sampler.fit(biased.images, biased.target)
    with pytest.raises(InputError, match="y has 3 rows"):
        sampler.fit(biased.images, [0, 1, 0], sensitive_features=biased.groups)
    with pytest.raises(InputError, match="fitted on"):
        sampler.fit(biased.images[:, :, :12], biased.target, sensitive_features=biased.groups)
    with pytest.raises(InputError, match="every class of y shows only one level"):
        AttributionNoise().fit(biased.images, biased.target, sensitive_features=biased.target)
    with pytest.raises(NotFittedError):
        AttributionNoise().transform(biased.images)
    with pytest.raises(NotFittedError):
        AttributionNoise(attribution=FrozenEstimator(RegionClassifier())).fit(
            biased.images, biased.target, sensitive_features=biased.groups
        )
