"""A training that was stopped goes on from its checkpoint, and ends as it would have."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import warnings
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from skorch.callbacks import Callback, EarlyStopping, Freezer, LRScheduler, ProgressBar
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torchvision.transforms import v2

from fairvision.datasets import ImageFiles
from fairvision.exceptions import FairvisionWarning, InputError
from fairvision.nn import (
    Batch,
    Objective,
    Rows,
    Step,
    TorchClassifier,
    TrainingCheckpoint,
    fingerprint,
)
from fairvision.testing import ConformanceError, check_resumes

pytestmark = pytest.mark.cpu

TURNED = v2.Compose([v2.RandomHorizontalFlip(), v2.RandomErasing(0.5)])


def dropping() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3),
        nn.Linear(196, 2),
    )  # fmt: skip


def make(*callbacks: Any, **params: Any) -> TorchClassifier:
    common = {"max_epochs": 8, "batch_size": 16, "lr": 1e-2, "random_state": 0}
    return TorchClassifier(**{"backbone": dropping} | common | params, callbacks=list(callbacks))


class Counting(Callback):
    """Counts epochs over all clones, and interrupts or fails in one of them."""

    only_watches = True
    seen: list[int]

    def __init__(self, stop_after: int | None = None, error: type[BaseException] | None = None):
        self.stop_after = stop_after
        self.error = error

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        type(self).seen = []

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        if self.stop_after is not None and len(net.history) > self.stop_after:
            raise self.error or KeyboardInterrupt

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.seen.append(len(net.history))


def weights(model: TorchClassifier) -> bytes:
    return b"".join(t.numpy().tobytes() for t in model.module_.state_dict().values())


def stopped(pictures: Any, folder: Path, *callbacks: Any, after: int = 5, **params: Any) -> None:
    checkpoint = TrainingCheckpoint(folder, every=2)
    with pytest.raises(KeyboardInterrupt):
        make(checkpoint, Counting(after), *callbacks, **params).fit(
            pictures.images, pictures.target
        )


def resumed(pictures: Any, folder: Path, *callbacks: Any, **params: Any) -> TorchClassifier:
    model = make(TrainingCheckpoint(folder, every=2), Counting(), *callbacks, **params)
    return model.fit(pictures.images, pictures.target)


@pytest.mark.parametrize(
    "params",
    [
        {"train_transform": TURNED},
        {"optimizer": "sgd", "validation_fraction": 0.25},
        {"optimizer": partial(torch.optim.Adam, amsgrad=True), "lr": np.float64(1e-3)},
        {"backbone": "small-cnn", "amp": True},
        {"callbacks": [LRScheduler("StepLR", step_size=3)]},
        {"callbacks": [LRScheduler(OneCycleLR, max_lr=0.1, total_steps=24, step_every="batch")]},
        {"callbacks": [LRScheduler("ReduceLROnPlateau", patience=0, threshold=0.5)]},
        {"callbacks": [Freezer("0.*"), ProgressBar()]},
    ],
    ids=["augmented", "sgd", "callable", "amp", "step", "one-cycle", "plateau", "frozen"],
)
def test_it_ends_the_same_bit_for_bit(pictures: Any, params: dict[str, Any]) -> None:
    model = make(*params.pop("callbacks", ())).set_params(**params)
    images, y = pictures.images, pictures.target
    weight = np.linspace(1, 2, len(y))
    for every, after, kept in ((1, 1, 1), (2, 5, 4), (3, 7, 6)):
        found = check_resumes(model, images, y, every=every, stop_after=after, sample_weight=weight)
        assert found == kept


def test_only_what_is_left_is_trained(pictures: Any, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    stopped(pictures, folder)
    assert len(list(folder.iterdir())) == 1
    resumed(pictures, folder)
    assert Counting.seen == [5, 6, 7, 8]
    assert list(folder.iterdir()) == []  # it is over: the next one starts anew
    resumed(pictures, folder)
    assert Counting.seen == [*range(1, 9)]


def test_stopped_again_and_again(pictures: Any, tmp_path: Path) -> None:
    for after in (3, 3, 5, 7):
        stopped(pictures, tmp_path, after=after)
    found = resumed(pictures, tmp_path)
    assert Counting.seen == [7, 8]
    assert weights(found) == weights(make().fit(pictures.images, pictures.target))


def test_an_error_keeps_it_as_well(pictures: Any, tmp_path: Path) -> None:
    broken = make(TrainingCheckpoint(tmp_path, every=1), Counting(2, ZeroDivisionError))
    with pytest.raises(ZeroDivisionError):
        broken.fit(pictures.images, pictures.target)
    resumed(pictures, tmp_path)
    assert Counting.seen[0] == 3


def test_early_stopping_counts_on(pictures: Any, tmp_path: Path) -> None:
    params = {"validation_fraction": 0.25, "max_epochs": 30}
    patience = EarlyStopping(patience=4, threshold=0.3, load_best=True)
    whole = make(patience, **params).fit(pictures.images, pictures.target)
    n_epochs = len(whole.history_)
    assert 6 < n_epochs < 30
    stopped(pictures, tmp_path, patience, after=n_epochs - 2, **params)
    found = resumed(pictures, tmp_path, patience, **params)
    assert len(found.history_) == n_epochs
    assert weights(found) == weights(whole)


def test_global_generators_are_left_alone(pictures: Any, tmp_path: Path) -> None:
    stopped(pictures, tmp_path)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    resumed(pictures, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


# -- whose checkpoint it is ---------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {"random_state": 1},
        {"lr": 1e-3},
        {"weight_decay": 0.1},
        {"max_epochs": 9},
        {"batch_size": 12},
        {"optimizer": "adam"},
        {"amp": True},
        {"train_transform": v2.RandomHorizontalFlip(0.2)},
        {"backbone": "mlp"},
        {"callbacks": [LRScheduler("StepLR", step_size=2)]},
    ],
    ids="-".join,
)
def test_another_training_does_not_take_it(
    pictures: Any, tmp_path: Path, other: dict[str, Any]
) -> None:
    stopped(pictures, tmp_path)
    model = make(TrainingCheckpoint(tmp_path), Counting(), *other.pop("callbacks", ()))
    model.set_params(**other).fit(pictures.images, pictures.target)
    assert Counting.seen[0] == 1
    assert len(list(tmp_path.iterdir())) == 1  # that of the first


def changed(pictures: Any, what: str) -> tuple[Any, Any, Any]:
    X, y, weight = pictures.images.copy(), pictures.target.copy(), np.ones(48)
    if what == "a pixel":
        X[31, 2, 15, 15] ^= 1
    elif what == "a label":
        y[5] = 1 - y[5]
    elif what == "a weight":
        weight[7] = 2
    elif what == "an order":
        X, y = X[::-1], y[::-1]
    return X, y, weight


@pytest.mark.parametrize("what", ["nothing", "a pixel", "a label", "a weight", "an order"])
def test_other_rows_do_not_take_it(pictures: Any, tmp_path: Path, what: str) -> None:
    X, y, weight = changed(pictures, "nothing")
    with pytest.raises(KeyboardInterrupt):
        make(TrainingCheckpoint(tmp_path), Counting(6)).fit(X, y, sample_weight=weight)
    X, y, weight = changed(pictures, what)
    make(TrainingCheckpoint(tmp_path), Counting()).fit(X, y, sample_weight=weight)
    assert Counting.seen[0] == (6 if what == "nothing" else 1)


def test_what_only_watches_makes_no_difference(pictures: Any, tmp_path: Path) -> None:
    stopped(pictures, tmp_path)
    model = make(TrainingCheckpoint(str(tmp_path), every=100), Counting(), verbose=1, device="cpu")
    model.fit(pictures.images, pictures.target)
    assert Counting.seen[0] == 5


def test_images_read_on_access(pictures: Any, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(len(pictures.images))]
    for path, image in zip(paths, pictures.images, strict=True):
        Image.fromarray(image.transpose(1, 2, 0)).save(path)
    files, folder = ImageFiles(paths, image_size=16), tmp_path / "checkpoints"
    assert check_resumes(make(), files, pictures.target, stop_after=5) == 4
    with pytest.raises(KeyboardInterrupt):
        make(TrainingCheckpoint(folder), Counting(6)).fit(files, pictures.target)
    Image.new("RGB", (16, 16)).save(paths[20])
    make(TrainingCheckpoint(folder), Counting()).fit(files, pictures.target)
    assert Counting.seen[0] == 1


def test_a_replaced_picture_is_known_among_many(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(150)]
    for path in paths:
        Image.new("RGB", (4, 4)).save(path)

    def name() -> str:
        return fingerprint(Rows(ImageFiles(paths, image_size=4), np.zeros(150)))

    before = name()
    assert name() == before
    Image.new("RGB", (4, 4), "red").save(paths[1])
    assert name() != before


def test_several_trainings_share_a_folder(pictures: Any, tmp_path: Path) -> None:
    keep = TrainingCheckpoint(tmp_path, every=2, keep=True)
    first = make(keep, Counting()).fit(pictures.images, pictures.target)
    with pytest.raises(KeyboardInterrupt):
        make(keep, Counting(3), random_state=1).fit(pictures.images, pictures.target)
    # What is over trains no more, and says the same of itself.
    again = clone(first).fit(pictures.images, pictures.target)
    assert Counting.seen == []
    assert weights(again) == weights(first)
    assert again.history_ == first.history_
    assert again.n_steps_ == first.n_steps_
    make(keep, Counting(), random_state=1).fit(pictures.images, pictures.target)
    assert Counting.seen[0] == 3
    assert len(list(tmp_path.iterdir())) == 2


# -- files ------------------------------------------------------------------------


class Bomb:
    def __reduce__(self) -> Any:
        return os.mkdir, ("burst",)


def sealed(path: Path, state: Any) -> None:
    """Write a file whose checksum is right, whatever it holds."""
    torch.save(state, path)
    content = path.read_bytes()
    path.write_bytes(sha256(content).digest() + content)


def state_of(path: Path) -> dict[str, Any]:
    return torch.load(io.BytesIO(path.read_bytes()[sha256().digest_size :]), weights_only=True)


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "noise": lambda path: path.write_bytes(b"\x80\x02" + bytes(range(256)) * 9),
    "another's": lambda path: sealed(path, {"name": "another"}),
    "less": lambda path: sealed(path, state_of(path) | {"optimizer": {}}),
    "pickle": lambda path: sealed(path, {"name": path.stem, "module": Bomb()}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_counts_as_none(
    pictures: Any, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "checkpoints"
    stopped(pictures, folder)
    DAMAGES[damage](next(folder.glob("*.pt")))
    found = resumed(pictures, folder)
    assert Counting.seen[0] == 1
    assert weights(found) == weights(make().fit(pictures.images, pictures.target))
    assert os.listdir() == ["checkpoints"]


def test_a_half_written_file_is_passed_over(pictures: Any, tmp_path: Path) -> None:
    stopped(pictures, tmp_path)
    whole = next(tmp_path.glob("*.pt"))
    whole.with_name(f".{whole.name}.partial").write_bytes(whole.read_bytes()[:1000])
    resumed(pictures, tmp_path)
    assert Counting.seen[0] == 5
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_costs_the_checkpoint_only(pictures: Any, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="file size limits are POSIX")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    model = make(TrainingCheckpoint(tmp_path, every=4))
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        with pytest.warns(FairvisionWarning, match="cannot be written: File too large. Training"):
            model.fit(pictures.images, pictures.target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert weights(model) == weights(make().fit(pictures.images, pictures.target))
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys, time, warnings
sys.path.insert(0, {here!r})
import torch
from test_checkpoint import Callback, TrainingCheckpoint, make
import numpy as np
class Slow(Callback):
    only_watches = True
    def on_batch_end(self, net, **kwargs):
        time.sleep(0.01)
data = np.load({data!r})
model = make(TrainingCheckpoint({folder!r}, every=2), Slow(), max_epochs=60, backbone="mlp")
model.fit(data["images"], data["target"])
"""


@pytest.mark.slow
def test_a_killed_process(pictures: Any, tmp_path: Path) -> None:
    data, folder = tmp_path / "data.npz", tmp_path / "checkpoints"
    np.savez(data, images=pictures.images, target=pictures.target)
    script = KILLED.format(here=str(Path(__file__).parent), data=str(data), folder=str(folder))
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    while not list(folder.glob("*.pt")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    # A backbone by name: the module of this file has another name in the other process.
    params = {"max_epochs": 60, "backbone": "mlp"}
    found = resumed(pictures, folder, **params)
    assert 2 < Counting.seen[0] < 60  # neither from the start nor over
    whole = make(**params).fit(pictures.images, pictures.target)
    assert weights(found) == weights(whole)


# -- what cannot be kept ------------------------------------------------------------


class Momentum(Objective):
    """The loss is pulled towards a running mean, which lives from step to step."""

    def start(self, module: nn.Module, rows: Any, context: Any) -> None:
        self.mean = torch.zeros(2)

    def step(self, module: nn.Module, batch: Batch) -> Step:
        step = super().step(module, batch)
        self.mean = 0.9 * self.mean + 0.1 * step.logits.detach().mean(0)
        return Step(step.loss + (step.logits * self.mean).mean(), step.logits)


class Forgetful(Momentum):
    def state_dict(self) -> dict[str, Any]:
        return {}


class Mindful(Momentum):
    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean}

    def load_state_dict(self, state: Any) -> None:
        self.mean: Tensor = state["mean"]


class Stubborn(Momentum):
    def state_dict(self) -> dict[str, Any]:
        return {"mean": Bomb()}


def pulled(kind: type[Objective], **params: Any) -> TorchClassifier:
    common = {"max_epochs": 6, "random_state": 0, "batch_size": 16, "lr": 1e-2}
    return TorchClassifier(dropping, objective=kind(), **{**common, **params})


def test_an_objective_says_what_it_keeps(pictures: Any, tmp_path: Path) -> None:
    assert check_resumes(pulled(Mindful), pictures.images, pictures.target) == 2
    with pytest.raises(ConformanceError, match="after an interrupt the weight"):
        check_resumes(pulled(Forgetful), pictures.images, pictures.target)
    model = pulled(Momentum, callbacks=[TrainingCheckpoint(tmp_path)])
    with pytest.raises(InputError, match="Momentum has no state_dict, so TrainingCheckpoint"):
        model.fit(pictures.images, pictures.target)
    model = pulled(Stubborn, callbacks=[TrainingCheckpoint(tmp_path)])
    with pytest.raises(InputError, match="its Stubborn, cannot be restored from a file without"):
        model.fit(pictures.images, pictures.target)


def test_without_strictness_it_trains_without(pictures: Any, tmp_path: Path) -> None:
    model = pulled(Momentum, callbacks=[TrainingCheckpoint(tmp_path, strict=False)])
    with pytest.warns(FairvisionWarning, match="No checkpoints: Momentum has no state_dict"):
        model.fit(pictures.images, pictures.target)
    same = pulled(Momentum).fit(pictures.images, pictures.target)
    assert weights(model) == weights(same)


class Drawing(Callback):
    """Its state cannot be read: a generator."""

    def initialize(self) -> Any:
        self.rng_ = np.random.default_rng(0)
        return self


class Shaking(Drawing):
    """Shakes the weights a little; its generator can be written down."""

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        with torch.no_grad():
            next(net.module_.parameters()).add_(float(self.rng_.normal()) / 100)

    def state_dict(self) -> dict[str, Any]:
        return self.rng_.bit_generator.state

    def load_state_dict(self, state: Any) -> None:
        self.rng_.bit_generator.state = state


def test_callbacks_say_what_they_keep(pictures: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the callback Drawing holds rng_, a Generator"):
        resumed(pictures, tmp_path, Drawing())
    model = make(Shaking())
    assert check_resumes(model, pictures.images, pictures.target, stop_after=5) == 4
    plain = make().fit(pictures.images, pictures.target)
    assert weights(model.fit(pictures.images, pictures.target)) != weights(plain)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"random_state": None}, "random_state is None, and TrainingCheckpoint identifies"),
        ({"every": 0}, "every is 0; pass epochs, an int of 1 or more"),
        ({"folder": "a file"}, "the folder of TrainingCheckpoint, a file, cannot be made"),
    ],
)
def test_bad_input_is_met_at_the_start(
    pictures: Any, tmp_path: Path, monkeypatch: Any, params: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a file").touch()
    checkpoint = TrainingCheckpoint(params.pop("folder", "x"), every=params.pop("every", 5))
    with pytest.raises(InputError, match=message), warnings.catch_warnings():
        make(checkpoint, Counting(0), **params).fit(pictures.images, pictures.target)
