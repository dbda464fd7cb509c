"""Drawn faces: the attributes are what was asked for, and what is seen."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fairvision.datasets import _faces as faces_module
from fairvision.datasets import load_faces
from fairvision.exceptions import DatasetError

BINARY = ("eyeglasses", "smiling", "hat", "beard", "age_lines")


def assert_share(hits, expected):
    """A share within five standard errors of what was asked for."""
    hits = np.asarray(hits)
    error = np.sqrt(max(expected * (1 - expected), 1e-12) / len(hits))
    assert abs(hits.mean() - expected) <= 5 * error + 1e-12


def test_the_form_of_the_data():
    faces = load_faces(30, image_size=32, sensitive=["skin_group", "hat"])
    assert faces.images.shape == (30, 3, 32, 32)
    assert faces.images.dtype == np.uint8
    assert faces.target_names == ["not smiling", "smiling"]
    assert_array_equal(faces.target, faces.attributes["smiling"].astype(int))
    assert list(faces.sensitive_features.columns) == ["skin_group", "hat"]
    assert set(faces.sensitive_features["skin_group"]) == {"light", "dark"}
    assert set(faces.sensitive_features["hat"]) == {"no hat", "hat"}
    assert len(faces.attributes) == 30
    assert "Fitzpatrick" in faces.DESCR


def test_a_level_makes_a_binary_target():
    faces = load_faces(60, image_size=24, target="hair_colour=blond", sensitive="skin_tone")
    assert_array_equal(faces.target, (faces.attributes["hair_colour"] == "blond").astype(int))
    assert faces.target_names == ["not blond", "blond"]
    several = load_faces(60, image_size=24, target="hair_colour")
    names = np.array(several.target_names, dtype=object)
    assert_array_equal(names[several.target], several.attributes["hair_colour"])


def test_the_same_seed_gives_the_same_bytes_whatever_the_chunks_and_the_number(monkeypatch):
    faces = load_faces(50, image_size=28, return_masks=True)
    more = load_faces(70, image_size=28)
    assert_array_equal(more.images[:50], faces.images)
    assert more.attributes[:50].equals(faces.attributes)
    monkeypatch.setattr(faces_module, "_PIXELS", 7 * 28**2)  # seven faces at a time
    again = load_faces(50, image_size=28, return_masks=True)
    assert_array_equal(again.images, faces.images)
    for name, mask in faces.masks.items():
        assert_array_equal(again.masks[name], mask)


def test_seeds_differ_and_generators_advance():
    faces = [load_faces(3, image_size=24, random_state=seed).images for seed in (0, 1)]
    assert (faces[0] != faces[1]).any()
    rng = np.random.default_rng(0)
    first, second = (load_faces(3, image_size=24, random_state=rng).images for _ in range(2))
    assert (first != second).any()
    assert_array_equal(first, faces[0])
    old = [load_faces(3, image_size=24, random_state=np.random.RandomState(4)) for _ in range(2)]
    assert_array_equal(old[0].images, old[1].images)


def test_global_randomness_is_untouched():
    before = np.random.get_state()  # noqa: NPY002 (the legacy state is what must not move)
    load_faces(5, image_size=24, random_state=None)
    load_faces(5, image_size=24, random_state=3)
    after = np.random.get_state()  # noqa: NPY002
    assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]


@pytest.mark.parametrize("name", BINARY)
def test_a_toggled_attribute_changes_its_own_pixels_and_its_column_only(name):
    off, on = (
        load_faces(60, image_size=48, probabilities={name: p}, return_masks=True) for p in (0, 1)
    )
    assert not off.attributes[name].any()
    assert on.attributes[name].all()
    assert on.attributes.drop(columns=name).equals(off.attributes.drop(columns=name))
    changed = (on.images != off.images).any(axis=1)
    assert changed.any(axis=(1, 2)).all()
    shown = on.masks[name] | off.masks[name]
    assert not (changed & ~shown).any()
    assert changed.sum() > 0.8 * shown.sum()  # the mask is not much wider than what is seen
    if name != "smiling":  # a mouth is there either way
        assert not off.masks[name].any()


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("skin_tone", ("I", "V")),
        ("hair_colour", ("blond", "black")),
        ("background", ("indoor", "outdoor")),
    ],
)
def test_another_level_changes_its_own_pixels_only(name, levels):
    one, other = (
        load_faces(20, image_size=48, probabilities={name: {level: 1}}, return_masks=True)
        for level in levels
    )
    changed = (one.images != other.images).any(axis=1)
    assert not (changed & ~one.masks[name]).any()
    assert changed.sum() > 0.8 * one.masks[name].sum()


def test_masks_lie_where_the_parts_are():
    masks = load_faces(200, image_size=64, return_masks=True, probabilities={"hat": 1}).masks
    rows = np.arange(64)[None, :, None]

    def height(name):
        mask = masks[name][masks[name].any(axis=(1, 2))]
        return (mask * rows).sum(axis=(1, 2)) / mask.sum(axis=(1, 2))

    assert height("hat").max() < height("smiling").min()
    assert height("eyeglasses").mean() < height("smiling").mean() < height("beard").mean()
    assert (masks["hat"].mean(axis=(1, 2)) > 0.03).all()


def test_darker_tones_are_darker_and_no_shape_depends_on_them():
    tones = [
        load_faces(40, image_size=32, probabilities={"skin_tone": {tone: 1}}, return_masks=True)
        for tone in ("I", "II", "III", "IV", "V", "VI")
    ]
    light = [f.images.mean(axis=1)[f.masks["skin_tone"]].mean() for f in tones]
    assert (np.diff(light) < -5).all()
    assert_array_equal(tones[0].masks["skin_tone"], tones[5].masks["skin_tone"])


def test_attributes_are_independent_and_even_by_default():
    faces = load_faces(4000, image_size=24).attributes
    for name in BINARY:
        assert_share(faces[name], 0.5)
        assert_share(faces[name] == (faces["skin_group"] == "dark"), 0.5)
    for tone in ("I", "II", "III", "IV", "V", "VI"):
        assert_share(faces["skin_tone"] == tone, 1 / 6)
    assert_share(faces["hat"] == faces["eyeglasses"], 0.5)


def test_probabilities():
    asked = {"hat": 0.2, "skin_tone": {"I": 3, "VI": 1}, "hair_colour": {"red": 1}}
    faces = load_faces(3000, image_size=24, probabilities=asked).attributes
    assert_share(faces["hat"], 0.2)
    assert_share(faces["skin_tone"] == "I", 0.75)
    assert_share(faces["skin_tone"] == "VI", 0.25)
    assert_share(faces["skin_group"] == "dark", 0.25)
    assert set(faces["hair_colour"]) == {"red"}


def test_a_rate_is_how_often_two_attributes_agree():
    faces = load_faces(
        4000,
        image_size=24,
        correlation={("hat", "eyeglasses"): 0.9, ("smiling", "skin_group"): 0.05},
        probabilities={"eyeglasses": 0.3},
    ).attributes
    assert_share(faces["hat"] == faces["eyeglasses"], 0.9)
    assert_share(faces["eyeglasses"], 0.3)
    assert_share(faces["smiling"] == (faces["skin_group"] == "dark"), 0.05)
    assert_share(faces["hat"] == faces["smiling"], 0.5)


def test_rates_form_chains():
    pairs = {("hat", "beard"): 0.9, ("smiling", "hat"): 0.8}
    faces = load_faces(4000, image_size=24, correlation=pairs).attributes
    assert_share(faces["hat"] == faces["beard"], 0.9)
    assert_share(faces["smiling"] == faces["hat"], 0.8)
    assert_share(faces["smiling"] == faces["beard"], 0.8 * 0.9 + 0.2 * 0.1)


def test_limits_of_a_rate():
    for rate in (0, 1):
        faces = load_faces(300, image_size=24, correlation={("hat", "beard"): rate}).attributes
        assert ((faces["hat"] == faces["beard"]) == bool(rate)).all()


def test_a_table_gives_joint_probabilities():
    table = np.array([[4, 0, 0, 0, 0, 1], [0, 0, 3, 0, 2, 0]]) / 10  # smiling x skin_tone
    faces = load_faces(3000, image_size=24, correlation={("smiling", "skin_tone"): table})
    faces = faces.attributes
    tones = ["I", "II", "III", "IV", "V", "VI"]
    for i, j in np.argwhere(table > 0):
        cell = (faces["smiling"] == bool(i)) & (faces["skin_tone"] == tones[j])
        assert_share(cell, table[i, j])
    three = np.zeros((2, 2, 2))
    three[0, 1, 1] = three[1, 0, 1] = three[1, 1, 0] = three[0, 0, 0] = 0.25  # hat = xor
    faces = load_faces(2000, image_size=24, correlation={("hat", "beard", "age_lines"): three})
    faces = faces.attributes
    assert_array_equal(faces["hat"], faces["beard"] ^ faces["age_lines"])
    assert_share(faces["hat"] == faces["beard"], 0.5)


@pytest.mark.parametrize("size", [24, 33, 96])
def test_any_size(size):
    images = load_faces(4, image_size=size).images
    assert images.shape == (4, 3, size, size)
    assert images.std(axis=(1, 2, 3)).min() > 15


def test_sizes_show_the_same_faces():
    small, large = (load_faces(8, image_size=s).images.astype(float) for s in (32, 64))
    blocks = large.reshape(8, 3, 32, 2, 32, 2).mean(axis=(3, 5))
    for one, other in zip(small, blocks, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.9


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"target": "smilling"}, "there are skin_tone"),
        ({"target": "hair_colour=green"}, "no row has 'green'"),
        ({"target": ["hat"]}, "one column"),
        ({"sensitive": "race"}, "sensitive feature 'race'"),
        ({"sensitive": []}, "no column"),
        ({"n_samples": 0}, "n_samples=0"),
        ({"image_size": 8}, "an image_size of 24 or more"),
        ({"probabilities": {"hats": 0.5}}, "probabilities names 'hats'"),
        ({"probabilities": {"hat": 1.5}}, "probabilities"),
        ({"probabilities": {"skin_tone": 0.5}}, "mapping of level"),
        ({"probabilities": {"skin_tone": {"VII": 1}}}, "'VII'"),
        ({"correlation": {("hat", "eyeglases"): 0.9}}, "'eyeglases'"),
        ({"correlation": {"hat": 0.9}}, "tuple of names"),
        ({"correlation": {("hat", "beard"): 1.2}}, "share in 0..1"),
        ({"correlation": {("hat", "skin_tone"): 0.9}}, "table"),
        ({"correlation": {("hat", "beard"): np.ones((2, 3))}}, r"\(2, 3\)"),
        ({"correlation": {("hat", "beard"): -np.ones((2, 2))}}, "probabilities"),
        ({"correlation": {("hat", "beard"): 0.9, ("beard", "hat"): 0.8}}, "have fixed already"),
        ({"correlation": {("hat", "skin_group"): 0.9}, "probabilities": {"skin_tone": {"I": 1}}},
         "both skin_tone and skin_group"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_named(settings, said):
    with pytest.raises(DatasetError, match=said):
        load_faces(**{"n_samples": 3, "image_size": 24, **settings})


@pytest.mark.parametrize("size", [24, 64])
def test_what_covers_the_target(size: int) -> None:
    smiling = load_faces(100, size).covered
    assert smiling["hat"] == 0
    assert smiling["skin_group"] == smiling["skin_tone"] > 0.9
    assert smiling["smiling"] > 0.8
    glasses = load_faces(100, size, target="eyeglasses").covered
    assert glasses["hat"] < 0.3 < 0.9 < glasses["skin_tone"]
    nowhere = load_faces(20, size, target="hat", probabilities={"hat": 0.0}).covered
    assert set(nowhere.values()) == {0.0}
