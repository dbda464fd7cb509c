"""Rates, gaps and intervals on a million rows, beside fairlearn's bootstrap of rows.

Run ``python benchmarks/bench_metrics.py``. Both sides run in one process, one
after the other; the ratio is per draw and row, and as run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from fairvision.metrics import evaluate_predictions, paired_difference


def sample(n: int, groups: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    group, true = rng.integers(0, groups, n), rng.integers(0, 2, n)
    score = np.clip(0.5 + 0.25 * (2 * true - 1) + 0.25 * rng.normal(size=n), 0, 1)
    return true, (score > 0.5).astype(int), group, score


def best(run: Callable[[], object], times: int) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def fairlearn_side(true: np.ndarray, predicted: np.ndarray, group: np.ndarray, n_boot: int) -> None:
    from fairlearn import metrics as fl
    from sklearn.metrics import accuracy_score

    frame = fl.MetricFrame(
        metrics={
            "accuracy": accuracy_score,
            "selection_rate": fl.selection_rate,
            "true_positive_rate": fl.true_positive_rate,
            "false_positive_rate": fl.false_positive_rate,
        },
        y_true=true,
        y_pred=predicted,
        sensitive_features=group,
        n_boot=n_boot,
        ci_quantiles=[0.025, 0.975],
        random_state=0,
    )
    frame.difference_ci()
    frame.by_group_ci  # noqa: B018 it is computed by then; named for the reader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--fairlearn-rows", type=int, default=100_000)
    parser.add_argument("--fairlearn-boot", type=int, default=100)
    parser.add_argument("--scores", action="store_true", help="Also 100 draws of score metrics.")
    options = parser.parse_args()

    def line(what: str, seconds: float) -> None:
        print(f"{what:<62} {seconds:9.3f} s")

    true, predicted, group, score = sample(options.rows, 8)
    names = np.array([f"group {g}" for g in range(8)], dtype=object)[group]
    weight = np.random.default_rng(1).choice([0.5, 1.0, 2.0], options.rows)
    rows = f"{options.rows:,} rows x 8 groups, 1,000 draws"
    for what, groups, extra in (
        ("integer labels", group, {}),
        ("text labels", names, {}),
        ("BCa", group, {"interval": "bca"}),
        ("weights of three values", group, {"sample_weight": weight}),
    ):
        line(
            f"fairvision, {rows}, {what}",
            best(
                lambda g=groups, e=extra: evaluate_predictions(
                    true, predicted, sensitive_features=g, random_state=0, **e
                ),
                3,
            ),
        )
    other = np.where(score > 0.45, 1, 0)
    line(
        f"paired difference, {rows}",
        best(
            lambda: paired_difference(
                true, predicted, other, sensitive_features=group, random_state=0
            ),
            3,
        ),
    )
    if options.scores:
        line(
            f"score metrics, {options.rows:,} rows, 100 draws",
            best(
                lambda: evaluate_predictions(
                    true,
                    predicted,
                    y_score=score,
                    sensitive_features=group,
                    n_boot=100,
                    random_state=0,
                ),
                1,
            ),
        )
    n, draws = options.fairlearn_rows, options.fairlearn_boot
    part = (true[:n], predicted[:n], group[:n])
    theirs = best(lambda: fairlearn_side(*part, draws), 1)
    line(f"fairlearn MetricFrame, {n:,} rows, {draws} draws, 4 metrics", theirs)
    ours = best(
        lambda: evaluate_predictions(
            part[0], part[1], sensitive_features=part[2], n_boot=draws, random_state=0
        ),
        3,
    )
    line(f"fairvision, the same rows and draws, {9} rates and all gaps", ours)
    print(f"ratio {theirs / ours:,.0f}")


if __name__ == "__main__":
    main()
