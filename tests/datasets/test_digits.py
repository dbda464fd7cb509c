"""Coloured digits: the colour goes with the label as often as asked."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits as load_scans

from fairvision.datasets import load_digits
from fairvision.exceptions import DatasetError


def near(share, expected, n=1797):
    return abs(share - expected) <= 5 * np.sqrt(expected * (1 - expected) / n)


@pytest.mark.parametrize("confounding", [0.0, 0.2, 0.9, 1.0])
def test_two_colours(confounding):
    data = load_digits(confounding=confounding)
    assert_array_equal(data.target, load_scans().target >= 5)
    assert data.target_names == ["0 to 4", "5 to 9"]
    assert set(data.sensitive_features["colour"]) <= {"red", "green"}
    agree = (data.sensitive_features["colour"] == "green") == data.target.astype(bool)
    assert near(agree.mean(), confounding)


def test_ten_colours():
    data = load_digits(target="digit", confounding=0.7)
    assert_array_equal(data.target, load_scans().target)
    colours = data.sensitive_features["colour"].to_numpy()
    assert len(set(colours)) == 10
    usual = [max(set(colours[data.target == d]), key=list(colours[data.target == d]).count)
             for d in range(10)]  # fmt: skip
    assert len(set(usual)) == 10
    assert near((colours == np.array(usual)[data.target]).mean(), 0.7)


@pytest.mark.parametrize(("target", "truth"), [("large", "true_large"), ("digit", "true_digit")])
def test_label_noise_comes_before_the_colour(target, truth):
    data = load_digits(target=target, label_noise=0.25, confounding=1)
    changed = data.target != data.attributes[truth].to_numpy().astype(int)
    assert near(changed.mean(), 0.25)
    for name in set(data.attributes["colour"]):  # the colour tells the noisy label
        assert len(set(data.target[data.attributes["colour"] == name])) == 1


def test_pixels_are_the_scan_in_its_colour():
    data = load_digits(image_size=8, confounding=1)
    scans = load_scans().images
    red = data.attributes["colour"].to_numpy() == "red"
    expected = np.rint(scans / 16 * 255)
    assert_array_equal(data.images[red, 0], expected[red])
    green = data.images[~red].astype(int)
    assert (green[:, 1] >= green[:, 0]).all()
    assert data.images.shape == (1797, 3, 8, 8)
    large = load_digits(image_size=29).images
    assert large.shape == (1797, 3, 29, 29)
    assert large.max(axis=(1, 2, 3)).min() > 150


def test_seeds():
    one, two = (load_digits(random_state=0).images for _ in range(2))
    assert_array_equal(one, two)
    assert (load_digits(random_state=1).images != one).any()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"confounding": 1.1}, "confounding must be"),
        ({"label_noise": -1}, "label_noise must be"),
        ({"image_size": 7}, "8 pixels"),
        ({"sensitive": "race"}, "colour"),
        ({"target": "even"}, "there are large"),
    ],
)
def test_what_cannot_be_made_is_named(settings, said):
    with pytest.raises(DatasetError, match=said):
        load_digits(**settings)
