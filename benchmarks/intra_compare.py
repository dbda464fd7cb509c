"""Intra-processing beside threshold methods and controls, on the same validation rows.

``python benchmarks/intra_compare.py --data faces --seeds 5``; for photographs
``--data utkface --target old --protected gender --root FOLDER`` (or FAIRVISION_UTKFACE).

A net is trained on rows where the protected group goes with the target at `--confounding`. Every
method then sees the same validation rows, none of them among the net's, with their groups:
"balanced" over the four cells, or "skewed" as the training rows are. The test rows are
balanced over the cells. Reported on the test rows: |AOD| (average odds difference) and
balanced accuracy; means over seeds with the t distribution's 95 % interval, and the
difference to last-layer retraining, paired by seed.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fairvision.datasets import biased_split, load
from fairvision.metrics import evaluate_predictions
from fairvision.nn import TorchClassifier
from fairvision_intra import AdversarialFineTuning, LayerwiseOptimization, RandomPerturbation

EPSILON = 0.05
REFERENCE = "control: last-layer retraining"


class Scores(ClassifierMixin, BaseEstimator):
    """A classifier of scores, for the toolkits' methods that want one."""

    classes_ = np.array([0, 1])

    def fit(self, X: Any, y: Any) -> Scores:
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        scores = np.asarray(X, dtype=float)[:, 0]
        return np.column_stack([1 - scores, scores])

    def predict(self, X: Any) -> np.ndarray:
        return (np.asarray(X)[:, 0] > 0.5).astype(int)


def validation_rows(data: Any, split: Any, n: int, share: float, seed: int) -> np.ndarray:
    """Rows of neither part, as many of each class, `share` of them where groups agree."""
    rng, y, a = np.random.default_rng(seed), split.target, split.confounder
    rest = np.setdiff1d(np.arange(len(y)), np.union1d(split.train, split.test))
    parts = []
    for label in (0, 1):
        n_agree = round(n // 2 * share)
        for agree, wanted in ((True, n_agree), (False, n // 2 - n_agree)):
            cell = rest[(y[rest] == label) & ((a[rest] == y[rest]) == agree)]
            parts.append(rng.permutation(cell)[:wanted])
    return np.concatenate(parts)


def threshold_optimizer(case: SimpleNamespace) -> np.ndarray:
    from fairlearn.postprocessing import ThresholdOptimizer

    model = ThresholdOptimizer(
        estimator=Scores(),
        constraints="equalized_odds",
        objective="balanced_accuracy_score",
        prefit=True,
        predict_method="predict_proba",
    )
    model.fit(case.val_scores[:, None], case.y_val, sensitive_features=case.g_val)
    return model.predict(
        case.test_scores[:, None], sensitive_features=case.g_test, random_state=case.seed
    )


def reject_option(case: SimpleNamespace) -> np.ndarray:
    from aif360.algorithms.postprocessing import RejectOptionClassification
    from aif360.datasets import BinaryLabelDataset

    def table(scores: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> Any:
        frame = pd.DataFrame({"y": labels.astype(float), "g": groups.astype(float)})
        made = BinaryLabelDataset(df=frame, label_names=["y"], protected_attribute_names=["g"])
        made.scores = scores.reshape(-1, 1)
        return made

    # Ranks: its margins are steps of score, and cannot part scores that crowd at 0 and 1.
    order = np.sort(case.val_scores)
    half = np.searchsorted(order, 0.5) / len(order)
    val, test = (
        np.searchsorted(order, s) / len(order) for s in (case.val_scores, case.test_scores)
    )
    favoured = int(np.mean(val[case.g_val == 1]) > np.mean(val))
    method = RejectOptionClassification(
        unprivileged_groups=[{"g": 1 - favoured}],
        privileged_groups=[{"g": favoured}],
        num_class_thresh=25,
        num_ROC_margin=15,
        metric_name="Average odds difference",
        metric_ub=EPSILON,
        metric_lb=-EPSILON,
    )
    truth = table(val, case.y_val, case.g_val)
    method.fit(truth, table(val, (val > half).astype(float), case.g_val))
    predicted = table(test, (test > half).astype(float), case.g_test)
    return method.predict(predicted).labels[:, 0].astype(int)


def plain_fine_tuning(case: SimpleNamespace) -> np.ndarray:
    """As many steps as the adversarial method takes, on all validation rows."""
    model = TorchClassifier.from_module(
        case.net.module_,
        classes=[0, 1],
        lr=case.lr,
        batch_size=128,
        max_epochs=max(1, round(200 * 128 / len(case.y_val))),
        random_state=case.seed,
    )
    return clone(model).fit(case.X_val, case.y_val).predict(case.X_test)


def last_layer(case: SimpleNamespace) -> np.ndarray:
    """Mean of ten logistic regressions on features of balanced draws (Kirichenko et al. 2023)."""
    features, test = (case.net.transform(X) for X in (case.X_val, case.X_test))
    rng, cell = np.random.default_rng(case.seed), case.y_val * 2 + case.g_val
    size, logits = np.bincount(cell).min(), np.zeros(len(test))
    for _ in range(10):
        rows = np.concatenate([rng.permutation(np.flatnonzero(cell == c))[:size] for c in range(4)])
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        logits += model.fit(features[rows], case.y_val[rows]).decision_function(test)
    return (logits > 0).astype(int)


def meta(method: Any) -> Callable[[SimpleNamespace], np.ndarray]:
    def run(case: SimpleNamespace) -> np.ndarray:
        method.set_params(estimator=FrozenEstimator(case.net), random_state=case.seed)
        method.set_params(epsilon=EPSILON, performance=case.performance)
        method.fit(case.X_val, case.y_val, sensitive_features=case.g_val)
        return method.predict(case.X_test)

    return run


def methods(lr: float) -> dict[str, Callable[[SimpleNamespace], np.ndarray]]:
    tuned = {"lr": lr}
    return {
        "the net as given": lambda case: (case.test_scores > 0.5).astype(int),
        "random-perturbation": meta(RandomPerturbation()),
        "layerwise-optimization": meta(LayerwiseOptimization()),
        "adversarial-fine-tuning": meta(AdversarialFineTuning(**tuned)),
        "adversarial, penalty 0": meta(AdversarialFineTuning(critic=None, penalty=0, **tuned)),
        "fairlearn ThresholdOptimizer": threshold_optimizer,
        "aif360 reject option": reject_option,
        "control: plain fine-tuning": plain_fine_tuning,
        REFERENCE: last_layer,
    }


def prepare(seed: int, args: argparse.Namespace) -> tuple[Any, Any, TorchClassifier]:
    if args.data == "faces":
        data = load("faces", n_samples=9000, image_size=32, random_state=seed, target="smiling")
    else:
        data = load("utkface", root=args.root, image_size=32)
    split = biased_split(
        data,
        target=args.target,
        confounder=args.protected,
        confounding=args.confounding,
        n_train=args.n_train,
        n_test=args.n_test,
        random_state=seed,
    )
    net = TorchClassifier(max_epochs=args.epochs, random_state=seed)
    return data, split, net.fit(data.images[split.train], split.target[split.train])


def run(seed: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    data, split, net = prepare(seed, args)
    rows, test = [], split.test
    for kind, share in (("balanced", 0.5), ("skewed", args.confounding)):
        val = validation_rows(data, split, args.n_val, share, seed)
        X_val, X_test = np.asarray(data.images[val]), np.asarray(data.images[test])
        case = SimpleNamespace(
            net=net,
            seed=seed,
            lr=args.lr,
            performance=args.performance,
            X_val=X_val,
            y_val=split.target[val],
            g_val=split.confounder[val],
            val_scores=net.predict_proba(X_val)[:, 1],
            X_test=X_test,
            g_test=split.confounder[test],
            test_scores=net.predict_proba(X_test)[:, 1],
        )
        for name, method in methods(args.lr).items():
            if args.only and name not in args.only.split(";"):
                continue
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                predicted = method(case)
            seconds = time.perf_counter() - start
            found = evaluate_predictions(
                split.target[test],
                predicted,
                sensitive_features=case.g_test,
                metrics=["average_odds_difference", "balanced_accuracy"],
                n_boot=0,
            )
            row = {"validation": kind, "method": name, "seed": seed}
            row["aod"] = float(found.interval("average_odds_difference")["value"])
            row["accuracy"] = float(found.interval("balanced_accuracy")["value"])
            row["seconds"] = seconds
            rows.append(row)
            print(*(f"{v:.3f}" if isinstance(v, float) else v for v in row.values()), flush=True)
    return rows


def interval(values: np.ndarray) -> str:
    """Mean and the 95 % interval of the t distribution."""
    mean, n = values.mean(), len(values)
    if n < 2:
        return f"{mean:.3f}"
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return f"{mean:.3f} [{mean - half:.3f}, {mean + half:.3f}]"


def summary(results: pd.DataFrame) -> str:
    lines = []
    for kind, part in results.groupby("validation", sort=False):
        by = {name: rows.set_index("seed") for name, rows in part.groupby("method", sort=False)}
        head = f"{kind} validation rows"
        lines += [
            f"| {head} | AOD | balanced accuracy | AOD - last layer | accuracy - last layer |"
        ]
        lines += ["|---|---|---|---|---|"]
        for name, rows in by.items():
            cells = [name, *(interval(rows[m].to_numpy()) for m in ("aod", "accuracy"))]
            other = by.get(REFERENCE)
            for m in ("aod", "accuracy"):
                same = other is None or name == REFERENCE
                cells.append("" if same else interval((rows[m] - other[m]).dropna().to_numpy()))
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=["faces", "utkface"], default="faces")
    parser.add_argument("--root", default=os.environ.get("FAIRVISION_UTKFACE"))
    parser.add_argument("--target", default="smiling")
    parser.add_argument("--protected", default="skin_group")
    parser.add_argument("--confounding", type=float, default=0.95)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--n-train", type=int, default=2000)
    parser.add_argument("--n-val", type=int, default=800)
    parser.add_argument("--n-test", type=int, default=2000)
    parser.add_argument("--lr", type=float, default=2e-4, help="of every fine-tuning")
    parser.add_argument("--performance", default="group_balanced_accuracy")
    parser.add_argument("--only", help="names of methods, with ; between them")
    parser.add_argument("--out", type=Path, help="keep each seed's rows, and resume from them")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        kept = None if args.out is None else args.out.with_suffix(f".{seed}.json")
        if kept is not None and kept.exists():
            rows += json.loads(kept.read_text())
            continue
        found = run(seed, args)
        rows += found
        if kept is not None:
            kept.write_text(json.dumps(found))
    print(summary(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
