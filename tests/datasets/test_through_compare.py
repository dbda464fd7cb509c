"""Every data set in an official layout, through `compare`."""

from __future__ import annotations

import pytest

import fairvision as fv
from fairvision.exceptions import DatasetError

RUN = {"seeds": 1, "max_epochs": 1, "n_boot": 20, "progress": False, "report": False}
EXPECTED = {
    "celeba": (11, 6, "Only to choose a method and a threshold: 6 rows of split 'valid'."),
    "fairface": (17, 18, "Read as the bins they were: 9 ages"),
    "lfw": (7, 8, None),
    "ppb": (16, 7, None),
}


def test_a_confounded_run_keeps_to_the_parts(official):
    """CelebA's parts are of different people."""
    given = {"root": str(official("celeba", n=40)), "image_size": 16}
    asked = {"confounding": 0.6, "balanced_baseline": True, "n_train": 8, "n_test": 4, **RUN}
    found = fv.compare("celeba", ["erm"], dataset_params=given, **asked)
    data = fv.datasets.load("celeba", **given)
    assert len(found.runs) == 2
    for run in found.runs:
        assert set(data.split[run.rows]) == {"test"}
        assert (run.n_train, run.n_test) == (8, 4)
    notes = "\n".join(found.notes())
    assert "Training rows are drawn from split 'train', test rows from split 'test'." in notes
    assert "Only to choose a method and a threshold: 10 rows of split 'valid'." in notes
    # A folder's runs from before drew from all parts: they are done again.
    assert found.plan.split["parts"] == "column"
    with pytest.raises(DatasetError, match=r"in the splits .* in 'test' and needs 3"):
        fv.compare("celeba", ["erm"], dataset_params=given, **{**asked, "n_test": 12})


@pytest.mark.parametrize("name", EXPECTED)
def test_a_run(official, name):
    root = official(name)
    photo = min(root.rglob("*.jpg"))
    photo.unlink()
    for path in root.glob("fairface_label_train.csv"):
        path.write_text(path.read_text().replace(",3-9,", ",9-Mar,"))
    if name == "lfw":
        for part, people in (("Train", "ABCD"), ("Test", "EFGH")):
            text = "4\n" + "".join(f"Person_{person}\t2\n" for person in people)
            (root / f"peopleDev{part}.txt").write_text(text)
    found = fv.compare(name, ["erm"], dataset_params={"root": str(root), "image_size": 16}, **RUN)
    n_train, n_test, note = EXPECTED[name]
    (run,) = found.runs
    assert (run.n_train, run.n_test) == (n_train, n_test)
    notes = "\n".join(found.notes())
    assert "Left out: 1 row(s) whose image is missing, the first" in notes
    assert photo.name in notes
    assert note is None or note in notes
