"""The toolkits' methods in a comparison, beside plain training."""

from __future__ import annotations

import pytest

import fairvision as fv
from fairvision.exceptions import ConstraintMetWarning


def test_they_run_beside_plain_training() -> None:
    faces = fv.datasets.load("faces", n_samples=400, image_size=24, target="smiling")
    names = ["erm", "reweighing", "balanced-sampling", "exponentiated-gradient"]
    with pytest.warns(ConstraintMetWarning):
        found = fv.compare(
            faces,
            [*names, "threshold-optimizer"],
            seeds=1,
            max_epochs=2,
            n_boot=20,
            params={"exponentiated-gradient": {"difference_bound": 1.0}},
        )
    assert found.failures == {}
    seen = found.table()["groups seen"].to_dict()
    note = "exponentiated-gradient predicted every test row as erm did in 1 of 1 seed(s)."
    assert note in found.notes()
    assert not [note for note in found.notes() if note.startswith("erm predicted")]
    assert seen == {
        "erm": "never",
        "reweighing": "fit",
        "balanced-sampling": "fit",
        "exponentiated-gradient": "fit",
        "threshold-optimizer": "validation, predict",
    }
    inside = {m.label: None if m.model is None else m.model.label for m in found.plan.methods}
    assert inside == {"erm": None} | dict.fromkeys([*names[1:], "threshold-optimizer"], "erm")
