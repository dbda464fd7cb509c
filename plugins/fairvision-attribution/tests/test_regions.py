"""`RegionClassifier`: it scans what it trained on, and its map sits on the attribute."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn

from fairvision.exceptions import InputError
from fairvision.testing import check_resumes
from fairvision_attribution import RegionClassifier
from fairvision_attribution._algorithm import confidence, top_mask

pytestmark = pytest.mark.cpu


def on(maps, region, quantile=0.9) -> float:
    """Share of the maps' top pixels that lie in a region."""
    top = top_mask(maps, quantile)
    return float((top & region).sum() / top.sum())


def strided(shape):
    """A net whose first convolution takes every second pixel and pads nothing."""
    return nn.Sequential(nn.Conv2d(shape[0], 6, 2, stride=2), nn.ReLU(), nn.Flatten())


def sliding_window(model: RegionClassifier, images: np.ndarray) -> np.ndarray:
    """Region maps one patch at a time, the position channel pasted on, as published."""
    grid, module = model.grid_, model.module_.eval()
    down, across = grid.stride
    maps = np.empty((len(images), grid.n_rows, grid.n_columns))
    for n, image in enumerate(torch.from_numpy(images).float() / 255 * 2 - 1):
        for i in range(grid.n_rows):
            for j in range(grid.n_columns):
                rows, columns = i * down, j * across
                patch = image[:, rows : rows + grid.patch, columns : columns + grid.patch]
                place = module.position.weight[i * grid.n_columns + j]
                joined = torch.cat([patch, place.view(1, grid.patch, grid.patch)])[None]
                logits = module.head(module.trunk(joined).flatten(1))
                maps[n, i, j] = confidence(logits.softmax(1)[0], model.confidence)
    return maps


@pytest.mark.parametrize(
    ("backbone", "grid"),
    [("patch-cnn", None), ("cifar-resnet18", (4, 5)), (strided, (7, 9)), (strided, None)],
)
@torch.no_grad()
def test_scanning_is_a_sliding_window(balanced, backbone, grid):
    model = RegionClassifier(
        backbone, grid=grid, scan_grid=None, max_epochs=1, map_rows=2, random_state=0
    )
    model.fit(balanced.images[:40], balanced.groups[:40])
    few = balanced.images[40:43]
    np.testing.assert_allclose(model.region_map(few), sliding_window(model, few), atol=1e-5)


@pytest.mark.slow
def test_positions_mean_the_same_in_training_and_in_scanning():
    """A blob on the left says a, the same blob on the right b: a patch tells only by its place."""
    rng = np.random.default_rng(0)
    images, y = rng.normal(0.2, 0.05, (400, 1, 16, 20)), np.arange(400) % 2
    tops = rng.integers(0, 12, 400)
    for image, label, top in zip(images, y, tops, strict=True):
        left = rng.integers(0, 6) + 10 * label
        image[0, top : top + 4, left : left + 4] = 0.9
    images = images.clip(0, 1).astype(np.float32)
    model = RegionClassifier(max_epochs=25, random_state=0).fit(images[:300], y[:300])
    assert model.score(images[300:], y[300:]) > 0.95
    # Told the wrong places, the same net knows nothing.
    model.module_.position.weight.data = model.module_.position.weight.data.flip(0)
    assert model.score(images[300:], y[300:]) < 0.2


def test_the_map_sits_on_the_attribute(regions, fresh, where):
    chance = where.attribute.mean()
    assert chance < 0.1
    assert on(regions.mean_map_, where.attribute, 0.95) > 0.85
    assert on(regions.pixel_map(fresh.images), where.attribute, 0.95) > 0.65
    assert regions.score(fresh.images, fresh.groups) > 0.95
    assert (regions.mean_map_.min(), regions.mean_map_.max()) == (0, 1)


def test_forms(regions, fresh):
    few = fresh.images[:3]
    assert regions.grid_.n_rows == 13
    assert regions.region_map(few).shape == (3, 13, 17)
    assert regions.pixel_map(few).shape == (3, 16, 20)
    assert regions.mean_map_.shape == (16, 20)
    assert regions.predict_proba(few).shape == (3, 2)
    np.testing.assert_allclose(regions.predict_proba(few).sum(1), 1)
    assert regions.transform(few).shape == (3, 256)
    assert regions.classes_.tolist() == ["no", "yes"]
    plain = regions.pixel_map(few, normalize=False)
    assert plain.max() <= 1
    np.testing.assert_allclose(
        [(m - m.min()) / (m.max() - m.min()) for m in plain], regions.pixel_map(few), atol=1e-5
    )
    # Floats, and views that torch cannot wrap, are the same pictures.
    np.testing.assert_allclose(
        regions.region_map(few[::-1] / np.float32(255)), regions.region_map(few)[::-1], atol=1e-4
    )


class TestCoarseMaps:
    @staticmethod
    def like(regions, **params):
        """The same net with other scanning."""
        return pickle.loads(pickle.dumps(regions)).set_params(**params)

    def test_look_at_some_positions_and_interpolate(self, regions, fresh):
        full = self.like(regions, scan_grid=None).region_map(fresh.images[:20])
        coarse = self.like(regions, scan_grid=5).region_map(fresh.images[:20])
        rows, columns = regions.grid_.spread(5)
        np.testing.assert_allclose(
            coarse[:, rows[:, None], columns], full[:, rows[:, None], columns], atol=1e-5
        )
        assert np.abs(coarse - full).mean() > 1e-3

    def test_come_closer_the_more_is_looked_at(self, regions, fresh):
        few = fresh.images[:30]
        full = self.like(regions, scan_grid=None).region_map(few)
        errors = [
            np.abs(self.like(regions, scan_grid=5, coarse_to_fine=share).region_map(few) - full)
            for share in (0, 0.25, 1)
        ]
        assert errors[0].mean() > 1.3 * errors[1].mean()
        assert errors[2].max() < 1e-5

    def test_in_low_precision_are_nearly_the_same(self, regions, fresh):
        few = fresh.images[:10]
        low = self.like(regions, amp=True).region_map(few)
        difference = np.abs(low - regions.region_map(few))
        assert low.dtype == np.float32
        assert 0 < difference.max() < 0.1


@pytest.fixture(scope="module")
def both(balanced):
    table = pd.DataFrame({"square": balanced.groups, "three": balanced.target})
    table["three"] = np.where(np.arange(300) % 3 == 0, 2, table["three"])
    model = RegionClassifier(max_epochs=10, random_state=0)
    return model.fit(balanced.images, table), table


class TestSeveralAttributes:
    def test_one_net_finds_each_where_it_is(self, both, fresh, where):
        model, _ = both
        assert model.attribute_names_ == ("square", "three")
        assert [c.tolist() for c in model.classes_] == [["no", "yes"], [0, 1, 2]]
        assert model.mean_map_.shape == (2, 16, 20)
        assert on(model.mean_map_[0], where.attribute, 0.95) > 0.8
        assert on(model.mean_map_[1], where.target, 0.95) > 0.8
        assert model.pixel_map(fresh.images[:4]).shape == (4, 2, 16, 20)

    def test_predictions(self, both, fresh, balanced):
        model, table = both
        first, second = model.predict_proba(fresh.images)
        assert (first.shape, second.shape) == ((200, 2), (200, 3))
        predicted = model.predict(fresh.images)
        assert predicted.shape == (200, 2)
        assert (predicted[:, 0] == fresh.groups).mean() > 0.9
        known = model.predict(balanced.images)
        accuracies = [(known[:, i] == table[name]).mean() for i, name in enumerate(table)]
        assert accuracies[0] > 0.9
        assert accuracies[1] > 0.5  # a third of its labels is at random
        assert model.score(balanced.images, table) == pytest.approx(np.mean(accuracies))
        assert {type(label) for label in known[0]} == {str, int}
        names = [c.name for c in model.calibration(balanced.images[:50], table[:50])]
        assert names == ["square", "three"]


class TestCalibration:
    def test_of_a_trained_net(self, regions, fresh):
        result = regions.calibration(fresh.images, fresh.groups)
        assert result.ece < 0.1
        assert result.curve["n"].sum() == 200 * len(regions.grid_)
        assert (result.curve["confidence"].diff().dropna() > 0).all()
        wrong = np.where(fresh.groups == "yes", "no", "yes")
        assert regions.calibration(fresh.images, wrong).ece > result.ece + 0.05

    def test_of_labels_it_never_saw(self, regions, fresh):
        with pytest.raises(InputError, match="maybe"):
            regions.calibration(fresh.images, np.where(fresh.groups == "yes", "yes", "maybe"))


class TestCache:
    def test_answers_for_the_same_pictures_and_net_only(self, regions, fresh, tmp_path):
        model = pickle.loads(pickle.dumps(regions)).set_params(cache=tmp_path / "maps")
        few = fresh.images[:5]
        first = model.region_map(few)
        (file,) = (tmp_path / "maps").iterdir()
        np.save(file, np.zeros_like(first[:, None]))  # seen again only if it is read again
        assert not model.region_map(few).any()
        assert model.region_map(few + np.uint8(1)).any()
        assert model.set_params(scan_grid=5).region_map(few).any()
        model.set_params(scan_grid=13).module_.head.bias.data[0] += 1
        assert model.region_map(few).any()

    def test_a_broken_file_is_made_anew(self, regions, fresh, tmp_path):
        model = pickle.loads(pickle.dumps(regions)).set_params(cache=tmp_path)
        first = model.region_map(fresh.images[:5])
        (file,) = tmp_path.iterdir()
        archive = io.BytesIO()
        np.savez(archive, maps=first)
        whole = archive.getvalue()  # no array, but read without complaint
        for content in (file.read_bytes()[:100], b"", b"PK", whole, whole[:-30], b"rubbish"):
            file.write_bytes(content)
            np.testing.assert_array_equal(model.region_map(fresh.images[:5]), first)

    def test_the_same_training_is_done_once(self, balanced, tmp_path):
        def fit(**params):
            model = RegionClassifier(
                **{"max_epochs": 2, "random_state": 0, "cache": tmp_path} | params
            )
            return model.fit(balanced.images[:60], balanced.groups[:60])

        first, again, other = fit(), fit(), fit(random_state=1)
        assert (first.net_.n_restored_, again.net_.n_restored_, other.net_.n_restored_) == (0, 2, 0)
        for before, after in zip(
            first.module_.parameters(), again.module_.parameters(), strict=True
        ):
            assert torch.equal(before, after)
        np.testing.assert_array_equal(first.mean_map_, again.mean_map_)
        assert len(again.history_) == 2
        assert fit(random_state=None).net_.n_restored_ == 0

    def test_a_folder_that_cannot_be_written(self, regions, fresh, tmp_path):
        (tmp_path / "file").write_text("")
        model = pickle.loads(pickle.dumps(regions)).set_params(cache=tmp_path / "file")
        with pytest.raises(InputError, match=r"cache folder .*cannot be written"):
            model.region_map(fresh.images[:2])


def test_a_seed_decides_everything_and_touches_nothing(balanced):
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second, other = (
        RegionClassifier(max_epochs=1, map_rows=20, random_state=seed).fit(
            balanced.images[:60], balanced.groups[:60]
        )
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.mean_map_, second.mean_map_)
    assert (first.mean_map_ != other.mean_map_).any()
    assert (torch.random.get_rng_state() == states[0]).all()
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002


def test_weights_decide_whom_it_learns_from(balanced):
    """Labels are turned round in half of the rows; those of weight 0 are not learned."""
    labels = balanced.groups.copy()
    labels[150:] = np.where(labels[150:] == "yes", "no", "yes")
    weights = np.repeat([1.0, 0.0], 150)
    model = RegionClassifier(max_epochs=10, random_state=0)
    model.fit(balanced.images, labels, sample_weight=weights)
    assert model.score(balanced.images[150:], balanced.groups[150:]) > 0.9


def test_validation_part_and_learning_rate_steps(balanced):
    model = RegionClassifier(max_epochs=3, lr_drop=1, validation_fraction=0.2, random_state=0)
    model.fit(balanced.images[:100], balanced.groups[:100])
    assert len(model.history_[:, "valid_loss"]) == 3
    assert model.net_.optimizer_.param_groups[0]["lr"] == pytest.approx(3e-6)


def test_it_shows_a_bar(regions, fresh, capsys):
    pickle.loads(pickle.dumps(regions)).set_params(verbose=1).region_map(fresh.images[:2])
    assert "maps" in capsys.readouterr().err


def test_it_has_to_be_fitted(fresh):
    with pytest.raises(NotFittedError):
        RegionClassifier().region_map(fresh.images)
    with pytest.raises(NotFittedError):
        RegionClassifier().predict(fresh.images)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"confidence": "entropy"}, "confidence is 'entropy'"),
        ({"patches_per_image": 0}, "patches_per_image is 0"),
        ({"scan_grid": 1}, "scan_grid is 1"),
        ({"coarse_to_fine": 2}, "coarse_to_fine is 2"),
        ({"grid": 6}, "grid is 6, which does not fit 16 pixels.*5 and 7"),
        ({"patch_size": 17}, "patch_size is 17"),
        ({"backbone": "resnet"}, "backbone is 'resnet'"),
        ({"backbone": lambda shape: nn.Flatten()}, "begins with an nn.Conv2d of 2"),
        ({"backbone": lambda s: nn.Sequential(nn.Conv2d(2, 2, 2, groups=2), nn.ReLU())}, "grouped"),
    ],
)
def test_parameters_that_cannot_be(balanced, params, message):
    with pytest.raises(InputError, match=message):
        RegionClassifier(**params).fit(balanced.images[:20], balanced.groups[:20])


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (slice(0, 20), slice(0, 10), "10 rows, X has 20"),
        (slice(0, 20), np.zeros(20), "one class"),
        (slice(0, 20), np.zeros((20, 2)), "1 group"),
        (slice(0, 20), np.zeros((10, 2)), "10 rows, X has 20"),
    ],
)
def test_data_that_cannot_be(balanced, X, y, message):
    y = balanced.groups[y] if isinstance(y, slice) else y
    with pytest.raises(InputError, match=message):
        RegionClassifier().fit(balanced.images[X], y)
    with pytest.raises(InputError, match="RegionClassifier needs pixels"):
        RegionClassifier().fit(np.zeros((10, 3)), np.arange(10) % 2)


def test_clone_and_refused_refit(regions, balanced):
    again = clone(regions)
    assert not hasattr(again, "module_")
    kept = pickle.loads(pickle.dumps(regions))
    with pytest.raises(InputError):
        kept.fit(balanced.images[:20], np.zeros(20))
    np.testing.assert_array_equal(kept.predict(balanced.images), regions.predict(balanced.images))


def test_it_goes_on_from_a_checkpoint(balanced):
    model = RegionClassifier(max_epochs=4, lr_drop=1, random_state=0)
    assert check_resumes(model, balanced.images[:40], balanced.groups[:40]) == 2
