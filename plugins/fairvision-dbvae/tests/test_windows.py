"""Sliding windows: the highest score of any, on pictures of any size, a batch at a time."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils import Bunch

from fairvision.exceptions import InputError
from fairvision_dbvae import DBVAEClassifier, window_scores
from fairvision_dbvae._windows import places


def brightness(crops: np.ndarray) -> np.ndarray:
    return crops.mean((1, 2, 3))


def test_windows_cover_the_picture_from_edge_to_edge() -> None:
    found = places((40, 64), (32, 32), (0.5, 1.0), 0.25)
    assert {(height, width) for _, _, height, width in found} == {(40, 40), (20, 20)}
    for side in (40, 20):
        tops = {top for top, _, height, _ in found if height == side}
        lefts = sorted({left for _, left, height, _ in found if height == side})
        assert (min(tops), max(tops), lefts[0], lefts[-1]) == (0, 40 - side, 0, 64 - side)
        assert max(np.diff(lefts)) <= side // 4 + 1
    # Windows have the shape of the net's images.
    assert places((40, 64), (20, 40), (1.0,), 1.0) == [(0, 0, 32, 64), (8, 0, 32, 64)]
    assert places((32, 32), (64, 64), (1.0, 1.0), 0.5) == [(0, 0, 32, 32)]


def test_the_score_is_that_of_the_best_window() -> None:
    pictures = np.random.default_rng(0).random((7, 3, 24, 30))
    seen = []

    def score(crops: np.ndarray) -> np.ndarray:
        seen.append(crops.shape)
        return brightness(crops)

    found = window_scores(
        score, pictures, shape=(12, 12), windows=(0.5,), stride=1 / 12, batch_size=3
    )
    cuts = [
        pictures[:, :, t : t + 12, left : left + 12].mean((1, 2, 3))
        for t in range(13)
        for left in range(19)
    ]
    np.testing.assert_allclose(found, np.max(cuts, axis=0), atol=1e-6)
    assert set(seen) == {(3, 3, 12, 12), (1, 3, 12, 12)}  # memory for a batch of windows
    whole = np.rint(255 * pictures).astype(np.uint8)
    again = window_scores(brightness, whole, shape=(24, 24), windows=(1.0,), stride=1.0)
    halves = [whole[..., :24], whole[..., 6:]]
    expected = np.max([half.mean((1, 2, 3)) / 255 for half in halves], axis=0)
    np.testing.assert_allclose(again, expected, atol=1e-6)


@pytest.fixture(scope="module")
def model(data: Bunch) -> DBVAEClassifier:
    return DBVAEClassifier(max_epochs=4, n_latents=4, random_state=0).fit(data.images, data.target)


def test_the_estimator_looks_through_windows(model: DBVAEClassifier, data: Bunch) -> None:
    images = data.images[:60]
    plain = model.set_params(windows=None).predict_proba(images)
    whole = model.set_params(windows=(1.0,)).predict_proba(images)
    np.testing.assert_allclose(whole, plain, atol=1e-6)
    more = model.set_params(windows=(1.0, 0.5), window_stride=0.5).predict_proba(images)
    found = 1  # "not a face" is the second class, which is debiased
    assert model.debiased_classes_.tolist() == [model.classes_[found]]
    assert (more[:, found] >= plain[:, found] - 1e-6).all()
    assert (more[:, found] > plain[:, found] + 0.01).any()
    np.testing.assert_allclose(more.sum(1), 1)
    seen = [
        (model.set_params(window_threshold=t).predict(images) == "not a face").tolist()
        for t in (0.0, 0.5, 0.9, 1.0)
    ]
    assert all(seen[0])
    assert seen[1] == (more[:, found] >= 0.5).tolist()
    assert seen[2] == (more[:, found] >= 0.9).tolist()
    # On a larger picture, one window of which is a picture that the net knows.
    large = np.full((4, 3, 64, 64), 128, dtype=np.uint8)
    large[:, :, 16:48, 32:] = images[:4]
    model.set_params(windows=(0.5,), window_stride=0.5, window_threshold=0.5)
    assert (model.predict_proba(large)[:, found] >= plain[:4, found] - 1e-6).all()


def test_the_class_that_is_looked_for_is_the_debiased_one(data: Bunch) -> None:
    model = DBVAEClassifier(
        debias_classes="face", windows=(1.0, 0.5), max_epochs=0, n_latents=2, random_state=0
    ).fit(data.images[:40], data.target[:40])
    windows = model.predict_proba(data.images[:9])
    whole = model.set_params(windows=None).predict_proba(data.images[:9])
    assert (windows[:, 0] >= whole[:, 0] - 1e-6).all()


@pytest.mark.parametrize(
    ("params", "size", "said"),
    [
        (
            {"windows": (0.2,)},
            32,
            r"pictures of 32 x 32 .* a window of 0.2 of that is 6 x 6, and 8",
        ),
        ({"windows": ()}, 32, r"windows is \(\); pass sides"),
        ({"windows": (1.5,)}, 32, "pass sides as shares"),
        ({"windows": "wide"}, 32, "windows is 'wide'"),
        ({"windows": (1.0,), "window_stride": 0}, 32, "window_stride is 0"),
        ({"windows": (1.0,), "window_threshold": 2}, 32, "window_threshold is 2"),
    ],
)
def test_windows_that_will_not_do(
    model: DBVAEClassifier, params: dict[str, object], size: int, said: str
) -> None:
    usual = {"windows": None, "window_stride": 0.25, "window_threshold": 0.5}
    model.set_params(**{**usual, **params})
    with pytest.raises(InputError, match=said):
        model.predict(np.zeros((2, 3, size, size), dtype=np.uint8))
    model.set_params(**usual)


def test_windows_need_two_classes_and_stay_outside_an_exported_net(
    model: DBVAEClassifier, data: Bunch
) -> None:
    with pytest.raises(InputError, match="windows need two classes, but y has 3"):
        DBVAEClassifier(windows=(1.0,)).fit(data.images[:30], np.arange(30) % 3)
    with pytest.raises(InputError, match="windows cannot be exported"):
        model.set_params(windows=(1.0,)).__fairvision_module__()
    model.set_params(windows=None).__fairvision_module__()
