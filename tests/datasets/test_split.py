"""biased_split: the published protocols, counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.utils import Bunch

from fairvision.datasets import biased_split, load_faces, subset
from fairvision.exceptions import DatasetError


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """16,000 rows: four classes, a truth value, a gender, a shade of three levels."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.choice(["child", "young", "old", "elder"], 16_000),
            "blond": rng.random(16_000) < 0.4,
            "eyeglasses": rng.random(16_000) < 0.4,
            "gender": rng.choice(["female", "male"], 16_000),
            "shade": rng.choice(["dark", "light", "medium"], 16_000),
        }
    )


def counts(split, part):
    n = (len(split.target_names), len(split.confounder_names))
    cell = split.target[split[part]] * n[1] + split.confounder[split[part]]
    return np.bincount(cell, minlength=n[0] * n[1]).reshape(n)


def test_de_coninck(rows):
    """0 of 3,000 in one class, 2,000 of 3,000 in the other; the test set balanced."""
    split = biased_split(
        rows,
        target="blond",
        confounder="eyeglasses",
        confounding=2 / 3,
        counterexamples=0,
        n_train=6000,
        n_test=800,
        random_state=0,
    )
    assert_array_equal(counts(split, "train"), [[3000, 0], [1000, 2000]])
    assert_array_equal(counts(split, "test"), np.full((2, 2), 200))
    assert split.target_names == ["no blond", "blond"]


def test_symmetric_confounding(rows):
    split = biased_split(
        rows, target="blond", confounder="gender", n_train=2000, n_test=400, random_state=0
    )
    assert_array_equal(counts(split, "train"), [[950, 50], [50, 950]])
    assert split.table.loc[("blond", "male"), "train"] == 950
    assert_array_equal(split.table["test"], [100] * 4)


def test_several_classes_present_in(rows):
    """Young women and older men: the confounder in some of the classes, not in others."""
    split = biased_split(
        rows,
        target="age",
        confounder="gender=female",
        present_in=["child", "young"],
        confounding=1,
        counterexamples=0.05,
        n_train=800,
        n_test=80,
        random_state=0,
    )
    assert split.target_names == ["child", "elder", "old", "young"]
    assert_array_equal(counts(split, "train"), [[0, 200], [190, 10], [190, 10], [0, 200]])
    assert_array_equal(counts(split, "test"), np.full((4, 2), 10))


def test_shares_for_a_confounder_of_several_levels(rows):
    shares = [[8, 1, 1], [1, 1, 8]]
    split = biased_split(
        rows,
        target="blond",
        confounder="shade",
        shares=shares,
        n_train=2000,
        n_test=60,
        random_state=0,
    )
    assert_array_equal(counts(split, "train"), np.array(shares) * 100)


def test_the_control_has_the_size_and_the_test_rows_of_the_biased_set(rows):
    settings = {"target": "blond", "confounder": "gender", "n_train": 2000, "n_test": 400}
    biased = biased_split(rows, **settings, random_state=7)
    control = biased_split(rows, **settings, random_state=7, balanced=True)
    assert_array_equal(counts(control, "train"), np.full((2, 2), 500))
    assert_array_equal(control.test, biased.test)
    other = biased_split(rows, **settings, random_state=8)
    assert (other.test != biased.test).any()


def test_sizes_default_to_what_there_is(rows):
    split = biased_split(rows, target="blond", confounder="eyeglasses", random_state=0)
    train, test = counts(split, "train"), counts(split, "test")
    smallest = split.table["available"].min()
    assert (test == smallest // 4).all()
    left = split.table["available"].to_numpy().reshape(2, 2) - test
    assert (train <= left).all()
    # One more row a class would not fit.
    more = biased_split(rows, target="blond", confounder="eyeglasses", n_test=int(test.sum()),
                        n_train=int(train.sum()), random_state=0)  # fmt: skip
    assert_array_equal(more.train, split.train)
    with pytest.raises(DatasetError, match=f"n_train can be {train.sum()} at most"):
        biased_split(rows, target="blond", confounder="eyeglasses", n_test=int(test.sum()),
                     n_train=int(train.sum()) + 200, random_state=0)  # fmt: skip


def test_rows_of_each_part_come_from_that_part(rows):
    """People who are in one part only stay in it, in the control too."""
    part = np.random.default_rng(2).choice(["Train", "valid", "test"], len(rows))
    faces = Bunch(attributes=rows, split=part)
    asked = {"target": "blond", "confounder": "gender", "random_state": 0}
    biased = biased_split(faces, **asked, n_train=1000, n_test=400)
    control = biased_split(faces, **asked, n_train=1000, n_test=400, balanced=True)
    for split in (biased, control):
        assert (part[split.train] == "Train").all()
        assert (part[split.test] == "test").all()
    assert_array_equal(counts(biased, "train"), [[475, 25], [25, 475]])
    assert_array_equal(counts(control, "train"), np.full((2, 2), 250))
    assert_array_equal(biased.test, control.test)
    # As much as there is: all of the smallest cell of the test part.
    full = biased_split(faces, **asked)
    assert (counts(full, "test") == full.table["available_test"].min()).all()
    cells = rows[part == "Train"].groupby(["blond", "gender"]).size().to_numpy()
    assert_array_equal(full.table["available"], cells)
    everywhere = biased_split(rows, **asked, n_train=1000, n_test=400)
    assert set(part[everywhere.train]) == {"Train", "valid", "test"}


def test_a_part_with_too_few_rows_is_named_with_its_counts():
    target, confounder = np.tile([0, 0, 1, 1], 50), np.tile([0, 1], 100)
    part = np.repeat(["train", "test"], [180, 20])
    asked = {"target": target, "confounder": confounder, "split": part, "confounding": 0.8}
    with pytest.raises(DatasetError) as caught:
        biased_split(None, **asked, n_train=120, n_test=24)
    said = str(caught.value)
    assert "Too few rows in the splits 'train' and 'test': " in said
    assert "0 / 0 has 45 in 'train' and needs 48; 0 / 0 has 5 in 'test' and needs 6" in said
    assert "1 / 0 has 5 in 'test' and needs 6" in said
    assert "n_train can be 112 at most" in said
    with pytest.raises(
        DatasetError, match=r"needs the values 'train' and 'test'.*\['train', 'val'"
    ):
        biased_split(None, **{**asked, "split": np.repeat(["train", "val"], 100)})
    with pytest.raises(
        DatasetError, match=r"split has shape \(3,\); pass one value for each of 200 rows"
    ):
        biased_split(None, **{**asked, "split": part[:3]})


def test_without_parts_the_rows_are_those_of_earlier_versions():
    """Or comparisons on disk would go on with other rows than they began with."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"t": rng.random(900) < 0.5, "c": rng.random(900) < 0.4})
    split = biased_split(rows, target="t", confounder="c", n_train=200, n_test=40, random_state=3)
    assert split.train[:4].tolist() == [648, 883, 549, 352]
    assert split.test[:4].tolist() == [855, 523, 134, 211]


@settings(max_examples=40, deadline=None)
@given(
    confounding=st.floats(0, 1),
    counterexamples=st.floats(0, 1),
    n_train=st.integers(2, 1500),
    n_test=st.integers(4, 300),
    seed=st.integers(0, 2**32 - 1),
)
def test_always_disjoint_and_balanced(confounding, counterexamples, n_train, n_test, seed):
    rng = np.random.default_rng(1)
    target, confounder = rng.integers(0, 2, 6000), rng.integers(0, 2, 6000)
    split = biased_split(
        None,
        target=target,
        confounder=confounder,
        confounding=confounding,
        counterexamples=counterexamples,
        n_train=n_train,
        n_test=n_test,
        random_state=seed,
    )
    everything = np.concatenate([split.train, split.test])
    assert len(set(everything)) == len(everything)
    train = counts(split, "train")
    assert (train.sum(axis=1) == n_train // 2).all()
    assert (
        np.abs(train[:, 1] - (n_train // 2) * np.array([counterexamples, confounding])).max() <= 1
    )
    assert (counts(split, "test") == n_test // 4).all()
    assert_array_equal(split.table["train"], train.ravel())


def test_rows_are_shuffled_and_seeded(rows):
    settings = {"target": "blond", "confounder": "gender", "n_train": 400, "n_test": 40}
    one, two = (biased_split(rows, **settings, random_state=3) for _ in range(2))
    assert_array_equal(one.train, two.train)
    assert 0 < one.target[one.train[:50]].sum() < 50


def test_a_bunch_and_its_subset():
    faces = load_faces(400, image_size=24, target="smiling", return_masks=True)
    split = biased_split(faces, confounder="hat", n_train=100, n_test=40, random_state=0)
    assert split.table.index.names == ["smiling", "hat"]
    train = subset(faces, split.train)
    assert_array_equal(train.target, split.target[split.train])
    assert_array_equal(train.images, faces.images[split.train])
    assert_array_equal(train.masks["hat"], faces.masks["hat"][split.train])
    assert (train.attributes["hat"] == split.confounder[split.train].astype(bool)).all()
    assert list(train.sensitive_features.index) == list(range(100))
    assert len(faces.images) == 400


def test_a_cell_with_too_few_rows_is_named_with_its_counts():
    target = np.repeat([0, 1], 100)
    confounder = np.concatenate([np.repeat([0, 1], 50), np.repeat([0, 1], [97, 3])])
    with pytest.raises(DatasetError, match=r"1 / 1 has 3 and needs 40 \+ 2") as caught:
        biased_split(
            None, target=target, confounder=confounder, confounding=0.8, n_train=100, n_test=8
        )
    assert "at most" in str(caught.value)


def test_a_confounder_that_is_missing_in_some_rows(rows):
    with pytest.raises(DatasetError, match="'gender' is missing in 1 of 16000 rows"):
        biased_split(rows.assign(gender=["male"] * 15_999 + [None]),
                     target="blond", confounder="gender")  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"confounder": "hat"}, "confounder 'hat' is not in the data"),
        ({"confounder": "shade"}, "has 3 levels"),
        ({"confounder": "gender", "confounding": 1.2}, "confounding must be"),
        ({"confounder": "gender", "counterexamples": -0.1}, "counterexamples must be"),
        ({"confounder": "gender", "present_in": "grey"}, "present_in names"),
        ({"confounder": "gender", "present_in": ["blond", "no blond"]}, "not all"),
        ({"confounder": "gender", "shares": [[1, 2, 3]]}, "2 classes x 2"),
        ({"confounder": "gender", "n_test": 3}, "less than one row"),
        ({"confounder": "gender", "n_train": 1}, "without a row"),
        ({"confounder": np.zeros(16_000)}, "both need two"),
        ({"confounder": np.zeros(5)}, "16000 rows, confounder has 5"),
        ({"confounder": "gender", "target": None}, "target is None"),
    ],
)
def test_what_cannot_be_split_is_named(rows, settings, said):
    with pytest.raises(DatasetError, match=said):
        biased_split(rows, **{"target": "blond", **settings})
