"""One model in two processes is the model of one process; and what an Accelerator decides."""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback

import fairvision as fv
from fairvision.exceptions import InputError
from fairvision.nn import ProcessGroup, TorchClassifier, TrainingCheckpoint
from fairvision.testing import check_resumes

pytestmark = pytest.mark.cpu

accelerate = pytest.importorskip("accelerate", reason="the extra `accelerate` is not installed")

SCRIPT = Path(__file__).with_name("in_processes.py")


def script() -> Any:
    spec = importlib.util.spec_from_file_location("in_processes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CASES = script().CASES


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two processes found, each for itself."""
    out = tmp_path_factory.mktemp("processes") / "found"
    here = os.environ | ({"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {})
    command = [sys.executable, "-W", "error", str(SCRIPT), str(out)]
    done = subprocess.run(command, env=here, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return [torch.load(f"{out}.{rank}") for rank in "01"]


def assert_same(case: str, ours: dict[str, Any], theirs: dict[str, Any], tolerance: float) -> None:
    assert ours["weights"].keys() == theirs["weights"].keys()
    for name, weight in ours["weights"].items():
        other = theirs["weights"][name]
        torch.testing.assert_close(
            weight, other, rtol=tolerance, atol=tolerance, msg=f"{case}: {name}"
        )
    close = np.allclose(ours["path"], theirs["path"], tolerance, tolerance, equal_nan=True)
    assert close, (case, ours["path"], theirs["path"])


@pytest.mark.slow
def test_two_processes_are_one(both: list[dict[str, Any]]) -> None:
    """One test of all cases: divided between two workers, each of them would train them all."""
    first, second = both
    cases = [case for case in CASES if case in first]  # the others' plugins are not installed
    assert "erm" in cases
    for case in cases:
        assert_same(case, first[case], second[case], 0)
        if case == "dropout":  # every process draws for itself
            assert not torch.equal(first[case]["path"], first[f"{case}, alone"]["path"])
        else:
            assert_same(case, first[case], first[f"{case}, alone"], 1e-9)
        assert first[case]["moved"] > 1e-3, case


@pytest.mark.slow
def test_each_process_reads_its_own_rows(both: list[dict[str, Any]]) -> None:
    first, second = (found["read"] for found in both)
    assert sorted(first + second) == list(range(45))
    assert abs(len(first) - len(second)) <= 6  # one in each of six batches


@pytest.mark.slow
def test_processes_with_different_rows_or_seeds_are_refused(both: list[dict[str, Any]]) -> None:
    for found in both:
        assert found["processes"] == 2
        assert "The processes received different rows of X" in found["rows"]
        assert "same data in the same order" in found["rows"]
        if "tuning" in found:
            assert "random_state of" in found["seeds"]


@pytest.mark.slow
def test_a_training_of_two_processes_goes_on_from_its_checkpoint(both: Any) -> None:
    """Each process names a folder of its own, and only the first one's is used."""
    for found in both:
        assert found["resumed"]["erm"] == 2
        assert set(found["resumed"].values()) == {2}
        assert "cannot be made" in found["unwritable"]


@pytest.mark.slow
def test_draws_by_the_share_leave_the_common_stream_alone(both: list[dict[str, Any]]) -> None:
    first, second = both
    assert torch.equal(first["common"], second["common"])
    drawn = torch.cat([first["own"], second["own"], first["common"]])
    assert len(drawn.unique()) == len(drawn)


@pytest.mark.long
def test_the_page_s_script_under_torchrun(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "distributed.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(page), "model.fv"], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    faces = fv.datasets.load(
        "faces", n_samples=300, image_size=24, target="smiling", random_state=0
    )
    alone = fv.make("erm", max_epochs=2, batch_size=64, random_state=0)
    expected = alone.fit(faces.images, faces.target).predict_proba(faces.images)
    found = fv.load(tmp_path / "model.fv").predict_proba(faces.images)
    np.testing.assert_allclose(found, expected, atol=1e-3)  # sums in single precision


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [0, 1, 4, 13])
def test_shares_are_alike_and_all_of_it(size: int, n: int) -> None:
    shares = [list(range(n))[ProcessGroup(size, rank).shard(n)] for rank in range(size)]
    assert list(chain(*shares)) == list(range(n))
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1


# -- one process ------------------------------------------------------------------


@pytest.fixture
def make() -> Iterator[Any]:
    """Accelerators, which share their state with all of their process."""
    from accelerate.state import AcceleratorState, GradientState

    def reset() -> None:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()

    def new(**params: Any) -> Any:
        reset()
        return accelerate.Accelerator(cpu=True, **params)

    yield new
    reset()


def fitted(pictures: Any, **params: Any) -> TorchClassifier:
    model = TorchClassifier(max_epochs=2, batch_size=16, random_state=0, **params)
    return model.fit(pictures.images, pictures.target)


def test_one_process_is_as_without(pictures: Any, make: Any) -> None:
    plain, ours = fitted(pictures), fitted(pictures, accelerator=make())
    np.testing.assert_array_equal(
        ours.predict_proba(pictures.images), plain.predict_proba(pictures.images)
    )
    assert ours.history_[:, "train_loss"] == plain.history_[:, "train_loss"]


def test_its_precision_is_trained_in(pictures: Any, make: Any) -> None:
    plain, ours = (
        fitted(pictures, amp=True),
        fitted(pictures, accelerator=make(mixed_precision="bf16")),
    )
    np.testing.assert_array_equal(
        ours.predict_proba(pictures.images), plain.predict_proba(pictures.images)
    )
    assert (
        ours.predict_proba(pictures.images)[0, 0]
        != (fitted(pictures).predict_proba(pictures.images)[0, 0])
    )


def test_a_schedule_steps_once_an_epoch(pictures: Any, make: Any) -> None:
    from skorch.callbacks import LRScheduler

    ours = fitted(pictures, accelerator=make(), callbacks=[LRScheduler("StepLR", step_size=1)])
    assert ours.net_.optimizer_.param_groups[0]["lr"] == pytest.approx(1e-5)


@pytest.mark.parametrize("params", [{}, {"mixed_precision": "bf16"}], ids=["plain", "bf16"])
def test_checkpoints_of_one_process(pictures: Any, make: Any, params: Any) -> None:
    model = TorchClassifier(max_epochs=3, random_state=0, accelerator=make(**params))
    kept = check_resumes(model, pictures.images, pictures.target, every=1, stop_after=2)
    assert kept == 2


class Stop(Callback):
    only_watches = True

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        if len(net.history) == 3:
            raise KeyboardInterrupt


def test_gradients_are_scaled_and_the_scale_is_kept(
    pictures: Any, make: Any, tmp_path: Path
) -> None:
    """What fp16 needs. The scaler is torch's for CPUs, as there is no other without a GPU."""

    def trained(*callbacks: Any) -> tuple[TorchClassifier, float]:
        accelerator = make()
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=3)
        params = {"max_epochs": 4, "batch_size": 16, "random_state": 0}
        model = TorchClassifier(accelerator=accelerator, callbacks=[*callbacks], **params)
        return model.fit(pictures.images, pictures.target), accelerator.scaler.get_scale()

    whole, scale = trained()
    assert scale > 4
    checkpoint = TrainingCheckpoint(tmp_path, every=2)
    with pytest.raises(KeyboardInterrupt):
        trained(checkpoint, Stop())
    resumed, same = trained(checkpoint)
    assert resumed.net_.n_restored_ == 2
    assert same == scale
    plain = TorchClassifier(max_epochs=4, batch_size=16, random_state=0)
    expected = plain.fit(pictures.images, pictures.target).predict_proba(pictures.images)
    for model in (whole, resumed):  # a scale is a power of two, which rounds nothing
        np.testing.assert_array_equal(model.predict_proba(pictures.images), expected)


def test_cloned_shared_and_not_saved(pictures: Any, make: Any, tmp_path: Path) -> None:
    accelerator = make()
    model = fitted(pictures, accelerator=accelerator)
    assert clone(model).get_params()["accelerator"] is accelerator
    expected = model.predict_proba(pictures.images)
    loaded = fv.load(fv.save(model, tmp_path / "model.safetensors"))
    assert loaded.accelerator is None
    np.testing.assert_array_equal(loaded.predict_proba(pictures.images), expected)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(pictures.images), expected)


def test_what_it_cannot_train_by_is_refused(
    pictures: Any, make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"'gpu'; pass an accelerate\.Accelerator"):
        fitted(pictures, accelerator="gpu")
    with pytest.raises(InputError, match="Leave device='auto'"):
        fitted(pictures, accelerator=make(), device="cpu")
    with pytest.raises(InputError, match="gradient_accumulation_steps=1"):
        fitted(pictures, accelerator=make(gradient_accumulation_steps=2))
    accelerator = make()
    with monkeypatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")  # as torchrun says it
        with pytest.raises(InputError, match="has 1 process"):
            fitted(pictures, accelerator=accelerator)
    accelerator.state.distributed_type = accelerate.DistributedType.FSDP
    with pytest.raises(InputError, match="FSDP, which splits the model"):
        fitted(pictures, accelerator=accelerator)
