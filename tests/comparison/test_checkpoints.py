"""Runs that are killed in the middle go on there, and end with the undisturbed numbers."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from skorch.callbacks import Callback

from fairvision.comparison import Comparison
from fairvision.comparison.plan import Plan
from fairvision.comparison.store import Store
from fairvision.exceptions import FairvisionWarning, InputError

pytestmark = pytest.mark.cpu

Compare = Callable[..., Comparison]


class Budget(Callback):
    """Counts the epochs of all trainings, and interrupts when so many are over."""

    only_watches = True
    left: ClassVar[int | None] = None
    trained: ClassVar[int] = 0
    error: ClassVar[type[BaseException]] = KeyboardInterrupt

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        if Budget.left == Budget.trained:
            raise Budget.error

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        Budget.trained += 1


@pytest.fixture
def epochs() -> Iterator[Callable[[int | None], None]]:
    """A function that lets so many epochs be trained from now on."""

    def allow(n: int | None, error: type[BaseException] = KeyboardInterrupt) -> None:
        Budget.left, Budget.trained, Budget.error = n, 0, error

    yield allow
    allow(None)


def watched(*others: str) -> dict[str, Any]:
    """Plain training that is counted, alone and inside other methods."""
    return {"erm": ("erm", {"callbacks": [Budget()], "batch_size": 32})} | {o: o for o in others}


def same(one: Comparison, two: Comparison) -> None:
    assert not one.failures
    assert [(r.method, r.seed) for r in one.runs] == [(r.method, r.seed) for r in two.runs]
    for a, b in zip(one.runs, two.runs, strict=True):
        np.testing.assert_array_equal(a.y_pred, b.y_pred)
        np.testing.assert_array_equal(a.y_score, b.y_score)
        assert (a.evaluation, a.leakage, a.n_steps) == (b.evaluation, b.leakage, b.n_steps)
        without = [{k: v for k, v in e.items() if k != "dur"} for e in a.history]
        assert without == [{k: v for k, v in e.items() if k != "dur"} for e in b.history]


def hidden(out: Path) -> list[Path]:
    return list(out.glob("*/.*"))


@pytest.mark.parametrize(
    ("methods", "every", "after"),
    [
        ((), 1, 3),
        ((), 2, 3),
        (("reweighing",), 2, 8),
        (("threshold-optimizer",), 2, 8),
        (("exponentiated-gradient",), 2, 13),  # in its second training
    ],
)
def test_it_ends_the_same_with_fewer_epochs(
    compare: Compare, tmp_path: Path, epochs: Any, methods: Any, every: int, after: int
) -> None:
    params = {"seeds": 1, "max_epochs": 5}
    if "exponentiated-gradient" in methods:
        params["params"] = {"exponentiated-gradient": {"max_iter": 4, "difference_bound": 0.0}}
    epochs(None)
    whole = compare(watched(*methods), **params)
    n_epochs = Budget.trained
    epochs(after)
    with pytest.raises(KeyboardInterrupt):
        compare(watched(*methods), **params, out=tmp_path, checkpoint_every=every)
    assert [path.name for path in hidden(tmp_path)] == [".seed-0.checkpoint"]
    epochs(None)
    found = compare(watched(*methods), **params, out=tmp_path, checkpoint_every=every)
    lost = after % 5 % every  # since the last checkpoint; every training has 5 epochs
    left = n_epochs - after + lost
    if "exponentiated-gradient" in methods:  # some of its trainings are the same: done once
        assert 0 < Budget.trained <= left
    else:
        assert Budget.trained == left
    assert not found.failures
    same(found, whole)
    assert hidden(tmp_path) == []
    assert compare(watched(*methods), **params, out=tmp_path).reused == len(whole.runs)


@pytest.mark.parametrize("method", ["jlu", "db-vae", "adversarial-fine-tuning"])
def test_methods_of_plugins_end_the_same(
    compare: Compare, tmp_path: Path, epochs: Any, method: str
) -> None:
    modules = {"jlu": "jlu", "db-vae": "dbvae", "adversarial-fine-tuning": "intra"}
    pytest.importorskip(f"fairvision_{modules[method]}")
    # Fine-tuning works on the net of plain training, and says so where it does not reach its aim.
    fine_tuning = method == "adversarial-fine-tuning"
    own = (
        {"epsilon": 0.9, "max_epochs": 2, "actor_steps": 10}
        if fine_tuning
        else {"callbacks": [Budget()]}
    )
    asked = {method: (method, own)} | watched()
    params = {"seeds": 1, "max_epochs": 4, "checkpoint_every": 1}
    epochs(None)
    whole = compare(asked, **params, out=tmp_path / "whole")
    n_epochs = Budget.trained
    epochs(2)
    with pytest.raises(KeyboardInterrupt):
        compare(asked, **params, out=tmp_path / "out")
    epochs(None)
    found = compare(asked, **params, out=tmp_path / "out")
    assert Budget.trained == n_epochs - 2
    assert not found.failures
    same(found, whole)


def test_seconds_are_those_of_both_attempts(compare: Compare, tmp_path: Path, epochs: Any) -> None:
    class Slow(Budget):
        def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
            time.sleep(0.2)

    asked = {"erm": ("erm", {"callbacks": [Slow()]})}
    params = {"seeds": 1, "max_epochs": 5, "out": tmp_path, "checkpoint_every": 1}
    epochs(4)
    with pytest.raises(KeyboardInterrupt):
        compare(asked, **params)
    epochs(None)
    found = compare(asked, **params)
    assert Budget.trained == 1
    assert found.runs[0].train_seconds > 1.0


def test_a_run_that_fails_starts_anew(compare: Compare, tmp_path: Path, epochs: Any) -> None:
    params = {"seeds": 1, "max_epochs": 4, "out": tmp_path, "checkpoint_every": 1}
    epochs(2, OverflowError)
    assert compare(watched(), **params).failures
    assert hidden(tmp_path) == []  # what failed may be mended: half of it would be the old
    epochs(None)
    assert not compare(watched(), **params).failures
    assert Budget.trained == 4


def test_other_parameters_start_anew(compare: Compare, tmp_path: Path, epochs: Any) -> None:
    params = {"seeds": 1, "max_epochs": 4, "out": tmp_path, "checkpoint_every": 1}
    epochs(2)
    with pytest.raises(KeyboardInterrupt):
        compare(watched(), **params)
    epochs(None)
    asked = {"erm": ("erm", {"callbacks": [Budget()], "batch_size": 32, "amp": True})}
    compare(asked, **params)
    assert Budget.trained == 4
    assert hidden(tmp_path) == []


@pytest.mark.long
def test_workers_take_over_what_one_process_began(
    compare: Compare, tmp_path: Path, epochs: Any
) -> None:
    params = {"seeds": 2, "max_epochs": 4}
    asked = watched()
    whole = compare(asked, **params)
    epochs(3)
    with pytest.raises(KeyboardInterrupt):
        compare(asked, **params, out=tmp_path, checkpoint_every=1)
    epochs(None)
    cloudpickle = pytest.importorskip("cloudpickle")  # joblib's, a part of it once
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import it
    try:
        found = compare(asked, **params, out=tmp_path, checkpoint_every=2, n_jobs=2)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    same(found, whole)
    assert hidden(tmp_path) == []


def test_without_checkpoints_nothing_is_kept_nor_left(
    compare: Compare, tmp_path: Path, epochs: Any
) -> None:
    params = {"seeds": 1, "max_epochs": 4, "out": tmp_path}
    epochs(2)
    with pytest.raises(KeyboardInterrupt):
        compare(watched(), **params)
    assert hidden(tmp_path) == []
    epochs(3)
    with pytest.raises(KeyboardInterrupt):
        compare(watched(), **params, checkpoint_every=1)
    epochs(None)
    compare(watched(), **params)  # no longer asked for: not used, and cleared away
    assert Budget.trained == 4
    assert hidden(tmp_path) == []


def test_what_a_kill_after_the_end_left_is_cleared_away(compare: Compare, tmp_path: Path) -> None:
    compare(seeds=1, out=tmp_path)
    left = Store(tmp_path).checkpoint("erm", 0)
    left.mkdir()
    (left / "x.pt").touch()
    assert compare(seeds=1, out=tmp_path).reused == 1
    assert hidden(tmp_path) == []


def test_a_method_that_cannot_be_kept_is_trained_without(
    compare: Compare, tmp_path: Path, epochs: Any
) -> None:
    class Odd(Budget):
        def initialize(self) -> Any:
            self.rng_ = np.random.default_rng(0)
            return self

    asked = {"erm": ("erm", {"callbacks": [Odd()]})}
    with pytest.warns(FairvisionWarning, match="No checkpoints: the callback Odd holds rng_"):
        found = compare(asked, seeds=1, out=tmp_path, checkpoint_every=1)
    assert not found.failures


def test_bad_input(compare: Compare, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="checkpoint_every is 5, but checkpoints need a folder"):
        compare(checkpoint_every=5)
    with pytest.raises(InputError, match="checkpoint_every is 0; pass epochs"):
        compare(checkpoint_every=0, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert "checkpoint" not in str([*Plan.__dataclass_fields__])  # no part of what was asked


COMMAND = (
    "compare --dataset faces --n-samples 500 --image-size 24 --target eyeglasses --sensitive hat "
    "--methods erm --seeds 1 --confounding 0.9 --n-train 160 --n-test 80 --epochs 30 --n-boot 9 "
    "--no-report --checkpoint-every 2 --set erm.verbose=1 --out"
)


@pytest.mark.long
def test_a_killed_process(compare: Compare, tmp_path: Path, faces_params: Any) -> None:
    out = tmp_path / "out"
    start = "import sys; from fairvision.cli import main; main(sys.argv[1:])"
    words = [sys.executable, "-c", start, *COMMAND.split(), str(out)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(out.glob("erm/.seed-0.checkpoint/*.pt")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "erm" / "seed-0").exists()
    again = subprocess.run(words, capture_output=True, text=True, check=True)
    trained = [int(n) for n in re.findall(r"^ +(\d+) .*\d\.\d{4}", again.stdout, re.MULTILINE)]
    assert 2 < trained[0] < 30  # a line an epoch
    assert trained == [*range(trained[0], 31)]
    whole = compare(
        ["erm"], dataset="faces", dataset_params=faces_params, seeds=1, max_epochs=30, n_boot=9,
        params={"erm": {"verbose": 1}},
    )  # fmt: skip
    found = Store(out).find("erm", 0)
    assert found is not None
    np.testing.assert_array_equal(found.y_score, whole.runs[0].y_score)
    assert hidden(out) == []
