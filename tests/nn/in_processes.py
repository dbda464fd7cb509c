"""Fits of every kind in two processes; run by test_accelerate.py.

``python in_processes.py OUT`` writes what came of them to OUT.0 and OUT.1. The first process fits
everything once more by itself, to compare with.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn

import fairvision as fv
from fairvision.exceptions import InputError
from fairvision.nn import (
    Batch,
    Objective,
    ProcessGroup,
    Step,
    TorchClassifier,
    TrainingCheckpoint,
    isolated_rng,
    process_group_of,
)
from fairvision.testing import check_resumes

# 45 rows in batches of 8: the last one has 5, which two processes cannot share alike.
N_ROWS, BATCH = 45, 8


class Watched:
    """Images that remember which rows of them were read."""

    def __init__(self, images: np.ndarray, rows: np.ndarray | None = None, seen: Any = None):
        self.images, self.dtype = images, images.dtype
        self.rows = np.arange(len(images)) if rows is None else rows
        self.shape = (len(self.rows), *images.shape[1:])
        self.seen: list[int] = [] if seen is None else seen

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> Watched:
        return Watched(self.images, self.rows[rows], self.seen)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        self.seen += self.rows.tolist()
        return self.images[self.rows]


def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, N_ROWS)
    a = np.where(rng.random(N_ROWS) < 0.75, y, 1 - y)  # goes with the class, not always
    images = rng.integers(0, 120, (N_ROWS, 3, 16, 16), dtype=np.uint8)
    images[:, 0] += (y * 60).astype(np.uint8)[:, None, None]
    images[:, 1] += (a * 60).astype(np.uint8)[:, None, None]
    groups = np.column_stack([a, rng.integers(0, 3, N_ROWS)])
    return {"X": images, "y": y, "groups": groups, "weights": rng.uniform(0.2, 3, N_ROWS)}


def double(name: str) -> Any:
    """An estimator that computes in double precision, in which sums hardly know an order."""
    module, _, attribute = name.partition(":")
    known = getattr(importlib.import_module(module), attribute)
    return type(attribute, (known,), {"_dtype": torch.float64})


ERM, JLU = "fairvision.nn:TorchClassifier", "fairvision_jlu:JLUClassifier"
DBVAE, TUNING = "fairvision_dbvae:DBVAEClassifier", "fairvision_intra:AdversarialFineTuning"
COMMON: dict[str, Any] = {"max_epochs": 2, "batch_size": BATCH, "random_state": 0}


def erm(accelerator: Any, weights: bool = False, **params: Any) -> Any:
    d = data()
    model = double(ERM)(accelerator=accelerator, **COMMON | params)
    return model.fit(d["X"], d["y"], sample_weight=d["weights"] if weights else None)


def table(accelerator: Any) -> Any:
    d = data()
    model = TorchClassifier(accelerator=accelerator, **COMMON, weight_decay=0.1)
    return model.fit(d["X"].reshape(N_ROWS, -1)[:, ::16] / 255, d["y"])


class WorstGroup(Objective):
    """The largest loss of a group, by somebody who never heard of processes."""

    logged = ("worst",)

    def step(self, module: nn.Module, batch: Batch) -> Step:
        logits, groups = module(batch.images), batch.groups[:, 0]
        losses = F.cross_entropy(logits, batch.targets, reduction="none")
        worst = torch.stack([losses[groups == g].mean() for g in groups.unique()]).max()
        return Step(worst, logits, {"worst": worst.item()})


def foreign(accelerator: Any) -> Any:
    d = data()

    model = double(ERM)(objective=WorstGroup(), accelerator=accelerator, **COMMON)
    return model.fit(d["X"], d["y"], sensitive_features=d["groups"])


def dropout(accelerator: Any) -> Any:
    def backbone(shape: tuple[int, ...]) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(768, 16), nn.ReLU())

    return erm(
        accelerator,
        backbone=backbone,
        train_transform=lambda x: x + 0.1 * torch.randn_like(x),
        random_state=None,  # taken from the first process
    )


def jlu(accelerator: Any, weights: bool = False, **params: Any) -> Any:
    d = data()
    model = double(JLU)(accelerator=accelerator, warmup=0.2, ramp=0.2, **COMMON | params)
    return model.fit(
        d["X"],
        d["y"],
        sensitive_features=d["groups"],
        sample_weight=d["weights"] if weights else None,
    )


def jlu_elsewhere(accelerator: Any) -> Any:
    d = data()
    model = double(JLU)(
        accelerator=accelerator, head_solver="adam", head_memory=2, standardize=False, **COMMON
    )
    return model.fit(d["X"], d["y"], spurious_data=(d["X"][::-1][:33], d["groups"][::-1][:33]))


def dbvae(accelerator: Any, weights: bool = False, **params: Any) -> Any:
    d = data()
    model = double(DBVAE)(
        accelerator=accelerator, n_latents=4, decoder_filters=(8, 8), **COMMON | params
    )
    return model.fit(d["X"], d["y"], sample_weight=d["weights"] if weights else None)


def tuning(accelerator: Any, **params: Any) -> Any:
    from sklearn.frozen import FrozenEstimator

    d = data()
    known = erm(None, max_epochs=0)
    given = double(ERM).from_module(known.module_, classes=[0, 1], accelerator=accelerator)

    class Remembered(double(TUNING)):
        def _trials(self, *args: Any) -> Any:
            trials, outcome = super()._trials(*args), None
            with contextlib.suppress(StopIteration):
                while True:
                    trial = trials.send(outcome)
                    self.last = {name: t.clone() for name, t in trial.changed.items()}
                    outcome = yield trial

    model = Remembered(
        FrozenEstimator(given),
        max_epochs=2,
        critic_steps=5,
        actor_steps=8,
        batch_size=15,
        lr=2e-3,
        penalty=2.0,
        epsilon=0.05,
        n_folds=2,
        allow_worse=True,
        n_thresholds=25,
        bias="spd",
        **{"random_state": 0} | params,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so short a search may find nothing feasible
        return model.fit(d["X"], d["y"], sensitive_features=d["groups"][:, 0])


CASES: dict[str, Callable[[Any], Any]] = {
    "erm": lambda a: erm(a, validation_fraction=0.2),
    "erm, weighted": lambda a: erm(a, True, optimizer="sgd", lr=0.05),
    "erm, fewer rows than processes": lambda a: erm(a, batch_size=1),
    "erm, table": table,
    "foreign objective": foreign,
    "dropout": dropout,
    "jlu": jlu,
    "jlu, weighted": lambda a: jlu(a, True, decorrelate=False),
    "jlu, spurious data": jlu_elsewhere,
    "dbvae": lambda a: dbvae(a, backbone="fairvision_dbvae:lab_encoder"),
    "dbvae, weighted": lambda a: dbvae(a, True, debias_classes="all", aggregate="max"),
    "tuning": lambda a: tuning(a, critic="features"),
    "tuning, labels": lambda a: tuning(a, critic="labels", sampling="natural"),
    "tuning, no critic": lambda a: tuning(a, critic=None, sampling="natural"),
}


def found(model: Any) -> dict[str, Any]:
    """Weights, and the path to them."""
    if hasattr(model, "objective_path_"):
        path = model.objective_path_.select_dtypes("number").to_numpy(float)
        given, weights = model.estimator_.module_.state_dict(), model.last
        moved = max((tensor - given[name]).abs().max().item() for name, tensor in weights.items())
    else:
        names = [n for n in model.history_[-1] if n.endswith(("_loss", "_acc"))]
        names += model.net_.objective.logged
        path = np.array([[row[name] for name in names] for row in model.history_])
        moved = np.abs(path[0] - path[-1]).max()
        weights = model.module_.state_dict()
    return {"weights": weights, "path": torch.from_numpy(path), "moved": float(moved)}


def refused(fit: Callable[[], Any]) -> str:
    """What is said where the processes were given different rows or seeds."""
    try:
        fit()
    except InputError as error:
        return str(error)
    return "nothing"


def read(accelerator: Any) -> list[int]:
    d = data()
    images = Watched(d["X"])
    double(ERM)(accelerator=accelerator, **COMMON | {"max_epochs": 1}).fit(images, d["y"])
    return images.seen


def installed(case: str) -> bool:
    plugin = {"jlu": "jlu", "dbvae": "dbvae", "tuning": "intra"}.get(case.split(",")[0])
    return plugin is None or importlib.util.find_spec(f"fairvision_{plugin}") is not None


def resumed(accelerator: Any) -> dict[str, int]:
    """Epochs that were not done again, where the end was the same bit for bit."""
    d, params = data(), {**COMMON, "max_epochs": 4, "accelerator": accelerator}

    def drops(shape: tuple[int, ...]) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(768, 16), nn.ReLU())

    def shaken(x: torch.Tensor) -> torch.Tensor:
        return x + 0.1 * torch.randn_like(x)

    erm = TorchClassifier(drops, train_transform=shaken, validation_fraction=0.2, **params)
    kept = {"erm": check_resumes(erm, d["X"], d["y"], stop_after=2)}
    for method in ("jlu", "db-vae"):
        if installed(method.replace("-", "")):
            model = fv.make(method, preset="quick", **params)
            kept[method] = check_resumes(
                model, d["X"], d["y"], stop_after=3, sensitive_features=d["groups"][:, 0]
            )
    return kept


def unwritable(accelerator: Any, folder: str) -> str:
    d, checkpoint = data(), TrainingCheckpoint(folder)
    model = TorchClassifier(accelerator=accelerator, callbacks=[checkpoint], **COMMON)
    return refused(lambda: model.fit(d["X"], d["y"]))


def streams(process_group: ProcessGroup) -> dict[str, torch.Tensor]:
    """What each process draws for itself, twice, and what all draw alike after that."""
    with isolated_rng(0):
        with process_group.own_rng():
            own = torch.rand(process_group.rank + 1)
        with process_group.own_rng():
            own = torch.stack([own[0], torch.rand(())])
        return {"own": own, "common": torch.rand(3)}


def main(out: str) -> None:
    # Forked, and not started one by one, because the imports take longer than all fits.
    child = os.fork()
    rank = int(child == 0)
    # As torchrun says it, but for the port: the processes meet in a file.
    said = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": 0}
    os.environ |= {name: str(value) for name, value in said.items()}
    os.environ["MASTER_ADDR"] = "localhost"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{out}.rendezvous", timedelta(seconds=60), 2, rank)
    accelerator = Accelerator(cpu=True)
    results: dict[str, Any] = {"processes": accelerator.num_processes}
    for name, case in CASES.items():
        if not installed(name):
            continue
        results[name] = found(case(accelerator))
        if rank == 0:
            results[f"{name}, alone"] = found(case(None))
    d = data()
    model = TorchClassifier(accelerator=accelerator, **COMMON)
    results["rows"] = refused(lambda: model.fit(d["X"], np.roll(d["y"], rank)))
    if "tuning" in results:
        results["seeds"] = refused(lambda: tuning(accelerator, random_state=rank))
    results["read"] = read(accelerator)
    results["resumed"] = resumed(accelerator)
    results["unwritable"] = unwritable(accelerator, f"{out}.rendezvous/below")
    results |= streams(process_group_of(accelerator))
    dist.barrier()
    torch.save(results, f"{out}.{rank}")
    dist.destroy_process_group()
    if child:
        assert os.waitpid(child, 0)[1] == 0


if __name__ == "__main__":
    main(sys.argv[1])
