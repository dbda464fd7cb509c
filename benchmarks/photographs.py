"""Every method on photographs of people, against the controls, on the same rows.

``python benchmarks/photographs.py`` reads FAIRVISION_CELEBA, FAIRVISION_UTKFACE,
FAIRVISION_HAM10000 and FAIRVISION_WEIGHTS (MobileNetV2, ImageNet), leaves out what is not there,
keeps every run under ``--out`` and goes on where it stopped. It writes the table of
docs/photographs-measured.md: ``--table docs/photographs-measured.md``.

A training set of 650 rows in which the target goes with the confounder in 95 % of the rows;
as many test rows in every cell of target and confounder; for the setting "validation", 160 rows
more with as many in every cell. Nobody is in both the training and the test rows. In the setting
"training", a method has the training rows and their groups; in "validation" it has the validation
rows, too: a post-processing method wraps a net that was trained on the training rows alone.

The share of the gap closed is (method - erm) / (balanced - erm), in the accuracy of the worst
cell: of the means over tasks, and the mean over tasks of each one's share, which a task with hardly
any gap can rule. ``balanced`` trains on rows with as many in every cell. Settings were chosen on
seeds 0 to 4; the default seeds are others.

``--net tuned`` trains the last two blocks of MobileNetV2 on what the frozen ones give, which is
computed once; ``--net scratch`` trains `small-cnn` from random weights. ``--data drawn`` does
the same with the drawn faces of the package and a net from nothing; it needs no files.
``--data avatars`` does so with those of python-avatars (avatars.py), ``--data one-sided`` with
1,500 rows of them as De Coninck et al. draw them: a cell is empty.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import avatars
import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from sklearn.covariance import ledoit_wolf
from sklearn.frozen import FrozenEstimator
from torch import nn
from torchvision.models import mobilenet_v2

import fairvision as fv
from fairvision.base import accepts, groups_at_predict, independence_weights
from fairvision.nn import FeatureExtractor

TASKS = {
    "Smiling given Male": ("celeba", "Smiling", "Male"),
    "Young given Male": ("celeba", "Young", "Male"),
    "Attractive given Male": ("celeba", "Attractive", "Male"),
    "Blond_Hair given Male": ("celeba", "Blond_Hair", "Male"),
    "Male given Blond_Hair": ("celeba", "Male", "Blond_Hair"),
    "40 or older given gender": ("utkface", "old", "female"),
    "malignant given 60 or older": ("ham10000", "malignant", "age60plus"),
    "malignant given head or neck": ("ham10000", "malignant", "head_neck"),
}
DRAWN = {
    "Eyeglasses given hat": ("faces", "eyeglasses", "hat"),
    "Eyeglasses given skin": ("faces", "eyeglasses", "skin_group"),
}
AVATARS = {
    "Glasses given skin": ("avatars", "glasses", "dark_skin"),
    "Beard given hat": ("avatars", "beard", "hat"),
}
ONE_SIDED = {f"{name}, one-sided": of for name, of in AVATARS.items()}
DATA = {"photographs": TASKS, "drawn": DRAWN, "avatars": AVATARS, "one-sided": ONE_SIDED}
EVERY_TASK = [name for of in DATA.values() for name in of]
SETTINGS = ("training", "validation")
NETS = ("features", "tuned", "scratch")
FROZEN = "features.16"  # the net "tuned" trains what follows: two blocks, 0.9 million weights
N_DRAWN, DRAWN_SIZE = 4000, 32
N_AVATARS, AVATAR_SIZE = 6000, 48
N_TRAIN, CONFOUNDING, PER_CELL, N_TEST = 650, 0.95, 40, 150
# De Coninck et al.: none of the first class has the confounder, two thirds of the second have it.
N_ONE_SIDED = {(0, 0): 750, (0, 1): 0, (1, 0): 250, (1, 1): 500}


class Task(NamedTuple):
    """The rows of one task: `person` says which rows must stay together."""

    X: Any
    y: np.ndarray
    group: np.ndarray
    person: np.ndarray
    one_sided: bool = False


class Rows(NamedTuple):
    train: np.ndarray
    valid: np.ndarray
    balanced: np.ndarray
    test: np.ndarray


def pictures(name: str, image_size: int) -> tuple[Any, pd.DataFrame]:
    """The photographs, decoded when needed, and a table of their labels."""
    root = Path(os.environ[f"FAIRVISION_{name.upper()}"])
    if name == "utkface":
        data = fv.datasets.load("utkface", root=root, image_size=image_size)
        table = pd.DataFrame({"old": data.target, "female": np.asarray(data.attributes["gender"])})
        table["female"] = (table["female"].astype(str).str.lower() == "female").astype(int)
    else:
        table = pd.read_csv(root / "labels.csv").dropna(subset=["path"]).reset_index(drop=True)
        folder = root / "images" if (root / "images" / table["path"][0]).exists() else root
        target, sensitive = table.columns[1], table.columns[2]
        known = table.assign(**{target: table[target].astype(str), sensitive: "any"})
        data = fv.datasets.load(
            "folder", root=folder, labels=known, target=target, sensitive=sensitive,
            image_size=image_size, resize="squash",
        )  # fmt: skip
        if len(data.images) != len(table):
            raise SystemExit(f"{name}: {len(table)} labels, {len(data.images)} pictures.")
    return data.images, table


def tasks(names: list[str], image_size: int, net: str, cache: Path) -> dict[str, Task]:
    """The tasks whose data are here: pictures, their features, or what a frozen trunk makes."""
    loaded: dict[str, tuple[Any, pd.DataFrame]] = {}
    result = {}
    for task in names:
        data, target, confounder = TASKS[task]
        if not os.environ.get(f"FAIRVISION_{data.upper()}"):
            print(f"{task}: left out, FAIRVISION_{data.upper()} is not set.")
            continue
        if data not in loaded:
            images, table = pictures(data, image_size)
            if net == "scratch":
                images = np.asarray(images[:])
            else:
                extractor = FeatureExtractor(
                    "mobilenet_v2",
                    os.environ["FAIRVISION_WEIGHTS"],
                    layer=FROZEN if net == "tuned" else None,
                    image_size=image_size,
                    cache=cache,
                )
                images = np.array(extractor.fit_transform(images))
            loaded[data] = images, table
        images, table = loaded[data]
        kept = table[[target, confounder]].notna().all(axis=1).to_numpy()
        y, group = (table.loc[kept, name].astype(int).to_numpy() for name in (target, confounder))
        person = table["identity"] if "identity" in table else pd.Series(np.arange(len(table)))
        result[task] = Task(images[kept], y, group, person.to_numpy()[kept])
    return result


def drawn_tasks(names: list[str]) -> dict[str, Task]:
    """Tasks of drawn faces, whose attributes are independent before `split`."""
    result = {}
    for name in names:
        _, target, sensitive = DRAWN[name]
        faces = fv.datasets.load(
            "faces", n_samples=N_DRAWN, image_size=DRAWN_SIZE, target=target, sensitive=sensitive,
            probabilities={target: 0.5}, random_state=0,
        )  # fmt: skip
        group = pd.factorize(np.asarray(faces.sensitive_features).ravel(), sort=True)[0]
        result[name] = Task(faces.images, np.asarray(faces.target), group, np.arange(N_DRAWN))
    return result


def avatar_tasks(names: list[str]) -> dict[str, Task]:
    """Tasks of avatars, whose attributes are independent before `split`."""
    images, table = avatars.load(N_AVATARS, AVATAR_SIZE, seed=0)
    either, result = AVATARS | ONE_SIDED, {}
    for name in names:
        y, group = (table[of].to_numpy() for of in either[name][1:])
        result[name] = Task(images, y, group, np.arange(N_AVATARS), name in ONE_SIDED)
    return result


def split(task: Task, seed: int) -> Rows:
    """Rows of a seed; where a cell is too small, fewer of it, and of what must be balanced."""
    rng = np.random.default_rng(seed)
    people = rng.permutation(np.unique(task.person))
    in_test = np.isin(task.person, people[: 2 * len(people) // 5])
    cells = [(y, group) for y in (0, 1) for group in (0, 1)]

    def draw(*, test: bool) -> dict[tuple[int, int], np.ndarray]:
        rows = {
            cell: np.flatnonzero((task.y == cell[0]) & (task.group == cell[1]) & (in_test == test))
            for cell in cells
        }
        return {cell: rng.permutation(index) for cell, index in rows.items()}

    test, pool = draw(test=True), draw(test=False)
    n_test = min(N_TEST, *map(len, test.values()))
    smallest = min(map(len, pool.values()))
    n_train = sum(N_ONE_SIDED.values()) if task.one_sided else N_TRAIN
    n_valid, n_balanced = min(PER_CELL, 2 * smallest // 5), min(n_train // 4, smallest)
    size = {cell: len(index) for cell, index in pool.items()}
    together = size[0, 0] * size[1, 1] >= size[0, 1] * size[1, 0]
    few = round(N_TRAIN // 2 * (1 - CONFOUNDING))
    train = []
    for cell in cells:
        usual = (cell[0] == cell[1]) == together
        n_cell = N_TRAIN // 2 - few if usual else few
        train.append(pool[cell][n_valid:][: N_ONE_SIDED[cell] if task.one_sided else n_cell])
    return Rows(
        rng.permutation(np.concatenate(train)),
        rng.permutation(np.concatenate([pool[cell][:n_valid] for cell in cells])),
        rng.permutation(np.concatenate([pool[cell][:n_balanced] for cell in cells])),
        np.concatenate([test[cell][:n_test] for cell in cells]),
    )


def measure(predicted: np.ndarray, task: Task, rows: np.ndarray) -> dict[str, float]:
    y, group = task.y[rows], task.group[rows]
    right = predicted == y
    cells = {(a, b): right[(y == a) & (group == b)].mean() for a in (0, 1) for b in (0, 1)}
    gaps = [abs(cells[a, 0] - cells[a, 1]) for a in (0, 1)]
    return {"worst": min(cells.values()), "accuracy": right.mean(), "eo_difference": max(gaps)}


# ---- the methods: a function of (task, rows, setting, seed, net) to predictions on the test rows

Net = Callable[[int], Any]


def _rows(rows: Rows, setting: str) -> np.ndarray:
    return rows.train if setting == "training" else np.concatenate([rows.train, rows.valid])


def _fit(model: Any, task: Task, rows: np.ndarray) -> Any:
    groups = (
        {"sensitive_features": task.group[rows]} if accepts(model.fit, "sensitive_features") else {}
    )
    return model.fit(task.X[rows], task.y[rows], **groups)


def _predict(model: Any, task: Task, rows: np.ndarray) -> np.ndarray:
    if groups_at_predict(model):
        return model.predict(task.X[rows], sensitive_features=task.group[rows])
    return model.predict(task.X[rows])


def plain(net: Net, task: Task, rows: Rows, setting: str, seed: int, *, of: str) -> np.ndarray:
    chosen = {"train": rows.train, "all": _rows(rows, setting), "balanced": rows.balanced}[of]
    return _predict(net(seed).fit(task.X[chosen], task.y[chosen]), task, rows.test)


def composed(
    net: Net, task: Task, rows: Rows, setting: str, seed: int, *,
    pre: str | None = None, model: str | None = None, post: str | None = None,
    on_all: bool = False, params: dict[str, Any] | None = None, preset: str | None = None,
) -> np.ndarray:  # fmt: skip
    """A method, or several around each other, as their `fit` with those rows leaves them.

    `params` are those of `post`.
    """
    trained: Any = net(seed)
    if model:
        trained = _make(model, seed, **_shared(trained))
    if pre:
        trained = fv.compose(pre=_make(pre, seed, preset=preset), model=trained)
    if not post:
        return _predict(_fit(trained, task, _rows(rows, setting)), task, rows.test)
    if setting == "training":
        method = _make(post, seed, estimator=trained, **(params or {}))
        return _predict(_fit(method, task, rows.train), task, rows.test)
    frozen = FrozenEstimator(_fit(trained, task, rows.train))
    chosen = _rows(rows, setting) if on_all else rows.valid
    method = _make(post, seed, estimator=frozen, **(params or {}))
    return _predict(_fit(method, task, chosen), task, rows.test)


def reduced(net: Net, task: Task, rows: Rows, setting: str, seed: int) -> np.ndarray:
    """A mixture of nets under a constraint on the gap, trained on all rows."""
    model = _make("exponentiated-gradient", seed, estimator=net(seed))
    return _predict(_fit(model, task, _rows(rows, setting)), task, rows.test)


def erased(
    net: Net, task: Task, rows: Rows, setting: str, seed: int, *, weighted: bool
) -> np.ndarray:
    """A probe of features from which no linear probe can tell the group.

    `weighted` erases and trains with weights under which target and group are independent.
    """
    chosen = _rows(rows, setting)
    y, group = task.y[chosen], task.group[chosen]
    weights = independence_weights(y, group) if weighted else np.ones(len(y))
    erase = linear_eraser(task.X[chosen].astype(np.float64), group, weights)
    model = net(seed).fit(
        erase(task.X[chosen]), y, **({"sample_weight": weights} if weighted else {})
    )
    return model.predict(erase(task.X[rows.test]))


def linear_eraser(
    X: np.ndarray, group: np.ndarray, weights: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """The affine map after which features do not go with the group, and that moves them least.

    Belrose, Schneider-Joseph, Ravfogel, Cotterell, Raff, Biderman, "LEACE: Perfect linear concept
    erasure in closed form", NeurIPS 2023, arXiv:2306.03819. With more features than rows their
    covariance is shrunk (Ledoit and Wolf), which leaves the erasure exact.
    """
    mean = np.average(X, axis=0, weights=weights)
    centred = (X - mean) * np.sqrt(weights / weights.mean())[:, None]
    values, vectors = np.linalg.eigh(ledoit_wolf(centred, assume_centered=True)[0])
    towards = weights * (group - np.average(group, weights=weights)) @ (X - mean)
    whitened = (vectors / np.sqrt(values)).T @ towards
    whitened /= np.linalg.norm(whitened)
    out, into = (vectors * np.sqrt(values)) @ whitened, (vectors / np.sqrt(values)) @ whitened
    return lambda X: (X - np.outer((X - mean) @ into, out)).astype(np.float32)


def _make(name: str, seed: int, **params: Any) -> Any:
    method = fv.make(name, **params)
    seeds = [key for key in method.get_params(deep=False) if key == "random_state"]
    return method.set_params(**dict.fromkeys(seeds, seed))


def _shared(net: Any) -> dict[str, Any]:
    """What of the net is trained, for a method that builds its own."""
    names = ("backbone", "weights", "trainable", "trunk_lr", "max_epochs")
    return {name: value for name, value in net.get_params(deep=False).items() if name in names}


METHODS: dict[str, Callable[..., np.ndarray]] = {
    "erm": partial(plain, of="train"),
    "balanced": partial(plain, of="balanced"),
    "erm, all rows": partial(plain, of="all"),
    "reweighing": partial(composed, pre="reweighing"),
    "balanced-sampling": partial(composed, pre="balanced-sampling"),
    "last-layer-retraining": partial(composed, post="last-layer-retraining", on_all=True),
    "last-layer-retraining, one fit": partial(
        composed, post="last-layer-retraining", params={"refit": False}
    ),
    "last-layer-retraining, validation rows": partial(composed, post="last-layer-retraining"),
    "automatic-feature-reweighting": partial(
        composed, post="automatic-feature-reweighting", on_all=True
    ),
    "exponentiated-gradient": reduced,
    "jlu": partial(composed, model="jlu"),
    "reweighing, then jlu": partial(composed, pre="reweighing", model="jlu"),
    "jlu, then last layer": partial(
        composed, model="jlu", post="last-layer-retraining", on_all=True
    ),
    "linear erasure": partial(erased, weighted=False),
    "reweighing, then linear erasure": partial(erased, weighted=True),
    "adversarial-fine-tuning": partial(composed, post="adversarial-fine-tuning"),
    "balanced-sampling, then last layer": partial(
        composed, pre="balanced-sampling", post="last-layer-retraining", on_all=True
    ),
    "adversarial-fine-tuning, all rows": partial(
        composed, post="adversarial-fine-tuning", on_all=True
    ),
    "adversarial-fine-tuning, all rows, batches of 256": partial(
        composed, post="adversarial-fine-tuning", on_all=True, params={"batch_size": 256}
    ),
    "reweighing, then adversarial-fine-tuning, all rows": partial(
        composed, pre="reweighing", post="adversarial-fine-tuning", on_all=True
    ),
    "reweighing, then jlu, then adversarial-fine-tuning, all rows": partial(
        composed, pre="reweighing", model="jlu", post="adversarial-fine-tuning", on_all=True
    ),
    "data-attribution, then adversarial-fine-tuning, all rows": partial(
        composed, pre="data-attribution", post="adversarial-fine-tuning", on_all=True
    ),
    "balanced-sampling, then jlu": partial(composed, pre="balanced-sampling", model="jlu"),
    "random-perturbation": partial(composed, post="random-perturbation"),
    "layerwise-optimization": partial(composed, post="layerwise-optimization"),
    "threshold-optimizer": partial(composed, post="threshold-optimizer"),
    "db-vae": partial(composed, model="db-vae"),
    "data-attribution": partial(composed, pre="data-attribution"),
    "latent-debiasing": partial(composed, pre="latent-debiasing"),
    "latent-debiasing, pretrained": partial(composed, pre="latent-debiasing", preset="pretrained"),
    "latent-debiasing, pretrained, then last layer": partial(
        composed,
        pre="latent-debiasing",
        preset="pretrained",
        post="last-layer-retraining",
        on_all=True,
    ),
}
# Methods for pictures, and one that differs only where more than the last layer is trained.
NOT_ON_FEATURES = (
    "last-layer-retraining, one fit",
    "db-vae",
    "data-attribution",
    "data-attribution, then adversarial-fine-tuning, all rows",
    "latent-debiasing",
)
FEATURES = (
    "linear erasure",
    "reweighing, then linear erasure",
    "latent-debiasing, pretrained",
    "latent-debiasing, pretrained, then last layer",
)
ONCE = ("erm", "balanced")  # the same in both settings
WITH_VALIDATION = (
    "erm, all rows",
    "last-layer-retraining, validation rows",
    "adversarial-fine-tuning, all rows",
    "adversarial-fine-tuning, all rows, batches of 256",
    "reweighing, then adversarial-fine-tuning, all rows",
    "reweighing, then jlu, then adversarial-fine-tuning, all rows",
    "data-attribution, then adversarial-fine-tuning, all rows",
)
WITHOUT_VALIDATION = ("last-layer-retraining, one fit",)


def last_blocks() -> nn.Module:
    """What of MobileNetV2 follows the frozen layers, with its ImageNet weights."""
    net = mobilenet_v2()
    net.load_state_dict(torch.load(os.environ["FAIRVISION_WEIGHTS"], weights_only=True))
    first = int(FROZEN.removeprefix("features.")) + 1
    return nn.Sequential(*net.features[first:], nn.AdaptiveAvgPool2d(1), nn.Flatten())


def nets(kind: str, max_epochs: int | None) -> Net:
    """What every method trains: a probe, the last blocks of a net, or a net from nothing."""
    params: dict[str, Any] = {}
    if kind == "features":
        params = {"backbone": "linear"}
    elif kind == "tuned":
        params = {"backbone": last_blocks(), "trunk_lr": 1e-4}
    if max_epochs is not None:
        params["max_epochs"] = max_epochs
    return lambda seed: fv.make("erm", random_state=seed, **params)


def runs(args: argparse.Namespace, names: list[str]) -> Iterator[tuple[str, str, str, int]]:
    done = {tuple(run[key] for key in KEYS) for run in read(args.out)}
    for seed in args.seeds:
        for task in names:
            for setting in args.settings:
                for method in args.methods:
                    key = (args.net, task, setting, method, seed)
                    only = WITH_VALIDATION if setting == "training" else WITHOUT_VALIDATION
                    if setting != args.settings[0]:
                        only = (*only, *ONCE)
                    if method in (NOT_ON_FEATURES if args.net == "features" else FEATURES):
                        continue
                    if key not in done and method not in only:
                        yield task, setting, method, seed


KEYS = ("net", "task", "setting", "method", "seed")


def read(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def run(kind: str, task: Task, args: argparse.Namespace, key: tuple[str, str, str, int]) -> None:
    """One run, kept as one file: named by a hash, written whole."""
    name, setting, method, seed = key
    rows, start = split(task, seed), time.perf_counter()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            predicted = METHODS[method](nets(kind, args.epochs), task, rows, setting, seed)
            result = measure(predicted, task, rows.test)
        except fv.exceptions.FairvisionError as error:
            result = {"error": str(error)}
    result |= dict(zip(KEYS, (kind, *key), strict=True))
    result |= {"seconds": round(time.perf_counter() - start, 2), "n": [len(part) for part in rows]}
    with tempfile.NamedTemporaryFile("w", dir=args.out, suffix=".part", delete=False) as file:
        json.dump(result, file, default=float)
    os.replace(file.name, args.out / f"{name_of(kind, *key)}.json")
    print(kind, name, setting, method, seed, f"worst {result.get('worst', float('nan')):.3f}")


def name_of(*words: Any) -> str:
    return hashlib.sha256(repr(words).encode()).hexdigest()[:16]


# ---- tables


def table(results: pd.DataFrame, setting: str, *, n_draws: int = 2000) -> pd.DataFrame:
    """One row for each method: means over tasks, intervals by drawing seeds anew."""
    either = results["setting"].eq(setting) | results["method"].isin(ONCE)
    worst = results[either].pivot_table(index="seed", columns=["method", "task"], values="worst")
    complete = worst.notna().all().groupby(level="method").all()
    worst = worst[complete.index[complete]]  # of others, some seeds are not run yet
    rng = np.random.default_rng(0)
    draws = [worst.index.to_numpy()] + [
        rng.choice(worst.index.to_numpy(), len(worst)) for _ in range(n_draws)
    ]
    pooled, by_tasks = [], []
    for seeds in draws:
        mean = worst.loc[seeds].mean().unstack("task")
        gain, gap = mean - mean.loc["erm"], mean.loc["balanced"] - mean.loc["erm"]
        pooled.append(gain.mean(axis=1) / gap.mean())
        by_tasks.append((gain / gap).mean(axis=1))
    mean = worst.mean().unstack("task")
    other = results[either].groupby("method")[["accuracy", "eo_difference"]].mean()
    rows = pd.DataFrame(
        {
            "worst cell": mean.mean(axis=1).map("{:.3f}".format),
            "share of the gap closed": _intervals(pooled),
            "mean share over tasks": _intervals(by_tasks),
            "lowest against erm": (mean - mean.loc["erm"]).min(axis=1).map("{:+.3f}".format),
            "accuracy": other["accuracy"].reindex(mean.index).map("{:.3f}".format),
            "equalized odds difference": other["eo_difference"]
            .reindex(mean.index)
            .map("{:.3f}".format),
        }
    )
    by_task = mean[[task for task in EVERY_TASK if task in mean]].map("{:.3f}".format)
    order = [name for name in METHODS if name in rows.index]
    return pd.concat([rows, by_task], axis=1).loc[order]


def _intervals(draws: list[pd.Series]) -> list[str]:
    """The first draw is of the seeds themselves."""
    values = pd.DataFrame(draws)
    with np.errstate(invalid="ignore"):
        bounds = values.iloc[1:].quantile([0.025, 0.975])
    # Where a draw of seeds has no gap at all, a share is infinite, and so may a bound be.
    nearest = values.iloc[1:].quantile([0.025, 0.975], interpolation="nearest")
    low, high = bounds.fillna(nearest).to_numpy()
    triples = zip(values.iloc[0], low, high, strict=True)
    return [f"{value:.2f} [{a:.2f}, {b:.2f}]" for value, a, b in triples]


def write(args: argparse.Namespace, tasks: list[str]) -> None:
    """Print the tables of what has been run of these tasks; with `--table`, write them, too."""
    results = pd.DataFrame(read(args.out))
    if "error" in results:
        for _, row in (
            results[results["error"].notna()].drop_duplicates(["method", "net"]).iterrows()
        ):
            print(f"{row['net']}, {row['method']}: {row['error']}")
        results = results[results["error"].isna()]
    lines = []
    for net in sorted(results["net"].unique(), key=NETS.index):
        for setting in args.settings:
            chosen = results[(results["net"] == net) & results["task"].isin(tasks)]
            if setting not in set(chosen["setting"]):
                continue
            lines += [
                f"### {net}, {setting} rows, seeds {sorted(chosen['seed'].unique().tolist())}",
                "",
            ]
            lines += [table(chosen, setting).to_markdown(), ""]
    text = "\n".join(lines)
    print(text)
    if args.table:
        before, marker, _ = args.table.read_text().partition("<!-- tables -->")
        args.table.write_text(f"{before}{marker}\n\n{text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=list(DATA), default="photographs")
    parser.add_argument("--net", choices=NETS, default="features")
    parser.add_argument("--tasks", nargs="+", choices=EVERY_TASK)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=SETTINGS)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[5, 6, 7, 8, 9])
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--epochs", type=int, help="of every net; the default is its own")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, help="the default is a folder of the data in runs/")
    parser.add_argument("--table", type=Path, help="Markdown file to write the tables into")
    args = parser.parse_args()
    args.out = args.out or Path("runs") / args.data
    args.out.mkdir(parents=True, exist_ok=True)
    names = args.tasks or list(DATA[args.data])
    if args.data != "photographs":
        args.net = "scratch"
        data = drawn_tasks(names) if args.data == "drawn" else avatar_tasks(names)
    else:
        data = tasks(names, args.image_size, args.net, args.out / "features")
    Parallel(n_jobs=args.jobs)(
        delayed(run)(args.net, data[key[0]], args, key) for key in runs(args, list(data))
    )
    write(args, names)


if __name__ == "__main__":
    main()
