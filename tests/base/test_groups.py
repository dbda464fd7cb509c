"""Group labels in all of fairlearn's forms, their intersections, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from fairlearn.metrics import MetricFrame, count
from hypothesis import given
from hypothesis import strategies as st

from fairvision.base import check_groups
from fairvision.exceptions import GroupsRequiredError, InputError

SIDE = ["b", "a", "b", "c"]

FORMS = {
    "list": list(SIDE),
    "tuple": tuple(SIDE),
    "array": np.array(SIDE),
    "objects": np.array(SIDE, dtype=object),
    "column": np.array(SIDE)[:, None],
    "column of lists": [[label] for label in SIDE],
    "Series": pd.Series(SIDE, index=[9, 3, 5, 1]),
    "category": pd.Series(SIDE, dtype="category"),
    "DataFrame": pd.DataFrame({"side": SIDE}),
    "dict": {"side": SIDE},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_codes_in_the_order_of_the_rows(form):
    groups = check_groups(FORMS[form], 4)
    assert len(groups) == 4
    assert groups.codes.tolist() == [[1], [0], [1], [2]]
    assert groups.codes.dtype == np.int64
    assert groups.categories[0].tolist() == ["a", "b", "c"]
    assert groups.column(0).tolist() == SIDE


@pytest.mark.parametrize(
    ("form", "name"),
    [
        (pd.Series(SIDE, name="side"), "side"),
        (pd.DataFrame({"side": SIDE}), "side"),
        ({"side": SIDE}, "side"),
        (pd.Series(SIDE), "sensitive_feature"),
        (SIDE, "sensitive_feature"),
    ],
)
def test_columns_are_called_as_they_are_named(form, name):
    assert check_groups(form, 4).names == (name,)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([3, 1, 3, 2], [1, 2, 3]),
        ([0.5, 1.5, 0.5, 0.5], [0.5, 1.5]),
        ([True, False, True, True], [False, True]),
        (["b", 1, "b", 1], [1, "b"]),  # 1 stays a number beside text
        (torch.tensor([3, 1, 3, 2]), [1, 2, 3]),
        (pd.array([2, 1, 2, 2], dtype="Int64"), [1, 2]),
        (pd.to_datetime(["2021-01-02", "2021-01-01"] * 2).to_numpy(), None),
    ],
)
def test_labels_of_any_type_keep_their_type(labels, expected):
    groups = check_groups(labels, 4)
    if expected is not None:
        assert groups.categories[0].tolist() == expected
    restored = groups.column(0).tolist()
    assert [type(label) for label in restored] == [
        type(label) for label in (labels if isinstance(labels, list) else labels.tolist())
    ]
    assert restored == (labels if isinstance(labels, list) else labels.tolist())


@given(st.lists(st.one_of(st.integers(-3, 3), st.text("ab", max_size=2)), min_size=1, max_size=20))
def test_any_labels_are_restored(labels):
    groups = check_groups(labels, len(labels))
    assert groups.column(0).tolist() == labels
    assert len(groups.categories[0]) == len(set(labels))


TWO = pd.DataFrame({"side": ["b", "a", "b", "b"], "age": [1, 2, 1, 2]})


class TestSeveralColumns:
    @pytest.mark.parametrize(
        "form", [TWO, TWO.to_numpy(), TWO.to_numpy().tolist(), {"side": TWO.side, "age": TWO.age}]
    )
    def test_their_intersection_is_one_grouping_of_the_cells_that_occur(self, form):
        codes, labels = check_groups(form, 4).intersection()
        assert labels == [("a", 2), ("b", 1), ("b", 2)]
        assert codes.tolist() == [1, 0, 1, 2]
        assert codes.dtype == np.int64

    def test_one_column_is_its_own_intersection(self):
        codes, labels = check_groups(SIDE, 4).intersection()
        assert labels == ["a", "b", "c"]
        assert codes.tolist() == [1, 0, 1, 2]

    def test_the_cells_are_those_of_fairlearn(self):
        frame = MetricFrame(metrics=count, y_true=[0] * 4, y_pred=[0] * 4, sensitive_features=TWO)
        codes, labels = check_groups(TWO, 4).intersection()
        ours = dict(zip(labels, np.bincount(codes).tolist(), strict=True))
        assert ours == frame.by_group.dropna().astype(int).to_dict()

    def test_two_columns_of_one_name_stay_two_columns(self):
        twice = TWO.set_axis(["same", "same"], axis=1)
        groups = check_groups(twice, 4)
        assert groups.names == ("same", "same")
        assert groups.intersection()[1] == [("a", 2), ("b", 1), ("b", 2)]
        assert groups.encode(groups).tolist() == groups.codes.tolist()

    def test_unnamed_columns_are_numbered(self):
        names = check_groups(TWO.to_numpy(), 4).names
        assert names == ("sensitive_feature_0", "sensitive_feature_1")

    def test_names_can_be_given(self):
        assert check_groups(TWO.to_numpy(), 4, names=["x", "y"]).names == ("x", "y")


class TestEncode:
    def test_other_rows_get_the_codes_of_the_fitted_labels(self):
        fitted = check_groups(SIDE, 4)
        assert fitted.encode(check_groups(["c", "c", "a"], 3)).tolist() == [[2], [2], [0]]

    def test_an_unseen_label_is_named_with_those_there_were(self):
        fitted = check_groups(pd.Series(SIDE, name="side"), 4)
        with pytest.raises(
            InputError, match=r"'side' has the label\(s\) \['z'\].*\['a', 'b', 'c'\]"
        ):
            fitted.encode(check_groups(["z", "a"], 2))

    def test_columns_are_found_by_name(self):
        fitted = check_groups(TWO, 4)
        swapped = check_groups(TWO[["age", "side"]], 4)
        assert fitted.encode(swapped).tolist() == fitted.codes.tolist()

    def test_or_by_place_where_there_are_no_names(self):
        fitted = check_groups(TWO, 4)
        assert fitted.encode(check_groups(TWO.to_numpy(), 4)).tolist() == fitted.codes.tolist()

    def test_another_number_of_columns_is_refused(self):
        with pytest.raises(InputError, match=r"has 1 column\(s\); fit saw 2 \(side, age\)"):
            check_groups(TWO, 4).encode(check_groups(SIDE, 4))


@pytest.mark.parametrize(
    ("labels", "count", "first"),
    [
        (["a", None, "b", None], 2, 1),
        (["a", "b", np.nan, "b"], 1, 2),  # beside text, numpy would read "nan"
        ([np.nan, 1.0, 2.0, 1.0], 1, 0),
        (pd.array([1, 2, None, 1], dtype="Int64"), 1, 2),
        (pd.Series(["a", "b", "b", None], dtype="category"), 1, 3),
        (pd.to_datetime(["2021-01-01", None, None, None]).to_numpy(), 3, 1),
    ],
)
def test_missing_labels_are_counted(labels, count, first):
    with pytest.raises(InputError, match=rf"has {count} missing.*row {first}\. Drop those rows"):
        check_groups(labels, 4)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (SIDE[:3], "sensitive_features has 3 rows, X has 4. Pass one label per image."),
        (TWO[:2], "has 2 rows, X has 4"),
        (pd.DataFrame(index=range(4)), "has no columns"),
        ({}, "has no columns"),
        (np.zeros((4, 0)), "shape (4, 0); expected (n_samples,)"),
        (np.zeros((4, 2, 2)), "shape (4, 2, 2)"),
        ("text", "shape ()"),
    ],
)
def test_other_shapes_are_refused(form, message):
    with pytest.raises(InputError) as error:
        check_groups(form, 4)
    assert message in str(error.value)


def test_none_passes_unless_somebody_needs_groups():
    assert check_groups(None, 4) is None
    with pytest.raises(GroupsRequiredError, match=r"JLU needs sensitive_features.*got None"):
        check_groups(None, 4, required_by="JLU")


def test_too_few_groups_are_refused_by_name():
    with pytest.raises(
        InputError, match=r"'side' has 1 group\(s\) \(\['a'\]\); JLU needs at least 2"
    ):
        check_groups(pd.Series(["a"] * 4, name="side"), 4, required_by="JLU", min_groups=2)
