"""Bounded performance: counts, the threshold search, feasibility, metrics by name."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, make_scorer

from fairvision.exceptions import InputError
from fairvision.metrics import available_metrics, evaluate_predictions
from fairvision_intra._bounded_performance import BoundedPerformance
from fairvision_intra._rates import BIASES, NAMES, PERFORMANCES, cells_of


def rows(n: int, n_groups: int = 2, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Scores that are biased by group, with ties and with values on the grid."""
    rng = np.random.default_rng(seed)
    y, g = rng.integers(0, 2, n), rng.integers(0, n_groups, n)
    scores = np.clip(0.5 + 0.2 * (2 * y - 1) + 0.1 * g + 0.25 * rng.normal(size=n), 0, 1)
    scores[: n // 3] = scores[: n // 3].round(2)
    return scores, y, g


def rate(hit: np.ndarray, weight: np.ndarray) -> float:
    return float(weight[hit].sum())


def double_loop(objective: BoundedPerformance, scores: np.ndarray, bias: str) -> list[float]:
    """Phi of every threshold, written as the paper says it, one resample at a time."""
    y, g, phi = objective.targets, objective.groups, []
    for threshold in objective.thresholds:
        selected, total = scores > threshold, 0.0
        for draw, weight in enumerate(objective.weights):
            tprs, fprs, sels = [], [], []
            for group in np.unique(g):
                pos, neg = (g == group) & (y == 1), (g == group) & (y == 0)
                tp, fp = rate(selected & pos, weight), rate(selected & neg, weight)
                p, n = rate(pos, weight), rate(neg, weight)
                tprs.append(tp / p)
                fprs.append(fp / n)
                sels.append((tp + fp) / (p + n))
            odds = [(t + f) / 2 for t, f in zip(tprs, fprs, strict=True)]
            gap = {
                "average_odds_difference": max(odds) - min(odds),
                "demographic_parity_difference": max(sels) - min(sels),
                "equalized_odds_difference": max(max(tprs) - min(tprs), max(fprs) - min(fprs)),
            }[bias]
            tpr = rate(selected & (y == 1), weight) / rate(y == 1, weight)
            fpr = rate(selected & (y == 0), weight) / rate(y == 0, weight)
            inside = gap < objective.epsilon - objective.margin
            if draw == 0:  # the rows as they are
                possible = gap < objective.epsilon
            else:
                total += (tpr + (1 - fpr)) / 2 if inside else 0.0
        phi.append(total / (len(objective.weights) - 1) if possible else 0.0)
    return phi


@pytest.mark.parametrize("n_groups", [2, 3])
@pytest.mark.parametrize(
    "bias",
    ["average_odds_difference", "demographic_parity_difference", "equalized_odds_difference"],
)
def test_search_is_the_double_loop_to_the_last_digit(bias: str, n_groups: int) -> None:
    scores, y, g = rows(300, n_groups)
    objective = BoundedPerformance(
        y,
        g,
        bias=bias,
        performance="balanced_accuracy",
        epsilon=0.25,
        n_thresholds=101,
        rng=np.random.default_rng(1),
    )
    phi = double_loop(objective, scores, bias)
    found = objective.best_threshold(scores)
    assert found.value == max(phi) > 0.5
    assert phi[int(np.argmin(np.abs(objective.thresholds - found.threshold)))] == max(phi)


@pytest.mark.parametrize("name", [*BIASES, *PERFORMANCES])
def test_every_metric_is_the_hosts_of_that_name(name: str) -> None:
    scores, y, g = rows(400, 3)
    role = "bias" if name in BIASES else "performance"
    objective = BoundedPerformance(
        y, g, **{role: name}, n_bootstrap=0, rng=np.random.default_rng(0)
    )
    for threshold in (0.3, 0.5, 0.81):
        performance, bias = objective.measure(scores, np.array([threshold]))
        found = evaluate_predictions(
            y, (scores > threshold).astype(int), sensitive_features=g, metrics=[name], n_boot=0
        )
        ours = bias if role == "bias" else performance
        assert ours[0, 0] == pytest.approx(float(found.interval(name)["value"]), abs=1e-12)


def test_abbreviations_are_names_of_the_host() -> None:
    assert set(NAMES.values()) <= set(BIASES) <= set(available_metrics())
    _, y, g = rows(50)
    assert BoundedPerformance(y, g, bias="eod", rng=np.random.default_rng(0)).bias == NAMES["eod"]


def test_resamples_are_of_the_rows_and_the_same_for_every_trial() -> None:
    _, y, g = rows(500)
    one, two = (BoundedPerformance(y, g, rng=np.random.default_rng(3)) for _ in range(2))
    assert (one.weights == two.weights).all()
    assert one.weights.shape == (6, 500)
    assert (one.weights[0] == 1).all()
    for cell in cells_of(y, g):
        assert (one.weights[:, cell].sum(1) == len(cell)).all()
    assert not (one.weights[1] == one.weights[2]).all()


def test_other_metrics_by_name_and_by_scorer() -> None:
    scores, y, g = rows(200)
    scorer = make_scorer(f1_score)
    by_name = BoundedPerformance(y, g, performance="f1", epsilon=0.3, rng=np.random.default_rng(0))
    by_scorer = BoundedPerformance(
        y, g, performance=scorer, epsilon=0.3, rng=np.random.default_rng(0)
    )
    found = by_name.best_threshold(scores)
    assert found == by_scorer.best_threshold(scores)
    assert found.performance == f1_score(y, scores > found.threshold)


def test_a_ratio_becomes_a_gap() -> None:
    scores, y, g = rows(200)
    objective = BoundedPerformance(
        y, g, bias="demographic_parity_ratio", rng=np.random.default_rng(0)
    )
    _, bias = objective.measure(scores, np.array([0.5]))
    shares = [(scores[g == group] > 0.5).mean() for group in (0, 1)]
    assert bias[0, 0] == pytest.approx(1 - min(shares) / max(shares))


def test_unknown_metric_names_the_closest() -> None:
    _, y, g = rows(50)
    with pytest.raises(InputError, match="average_odds_difference"):
        BoundedPerformance(y, g, bias="average_odd_difference", rng=np.random.default_rng(0))


def test_a_bias_that_the_rows_cannot_define_says_what_is_missing() -> None:
    y, g = np.array([0, 1, 0, 0]), np.array([0, 0, 1, 1])
    with pytest.raises(InputError, match=r"group 'b' has no rows of class 1"):
        BoundedPerformance(y, g, labels=["a", "b"], rng=np.random.default_rng(0))
    assert BoundedPerformance(y, g, bias="spd", rng=np.random.default_rng(0)) is not None


def test_a_constant_prediction_is_no_repair() -> None:
    rng = np.random.default_rng(0)
    g, y = np.repeat([0, 1], 500), np.tile([0, 1], 500)
    # In group 1 the score says nothing; the gap is large wherever the net is any good.
    scores = np.where(g == 0, 0.2 + 0.6 * y, 0.9 + 0.1 * rng.random(1000))
    objective = BoundedPerformance(
        y,
        g,
        bias="aod",
        performance="balanced_accuracy",
        epsilon=0.02,
        rng=np.random.default_rng(0),
    )
    published = objective.best_threshold(scores)
    assert published.feasible
    assert published.performance < 0.6  # by giving (nearly) everyone one class
    objective.set_floor(scores)
    found = objective.best_threshold(scores)
    assert not found.feasible
    assert -1 < found.value <= 0
    assert found.performance >= objective.floor
    performance, bias = objective.measure(scores, objective.thresholds)
    assert found.bias == bias[0][performance[0] >= objective.floor].min()


def test_infeasible_outcomes_rank_below_feasible_and_by_bias() -> None:
    scores, y, g = rows(400)
    strict = BoundedPerformance(
        y,
        g,
        performance="balanced_accuracy",
        epsilon=0.02,
        margin=0.019,
        floor=0.7,
        rng=np.random.default_rng(0),
    )
    worse = np.clip(scores + 0.15 * g, 0, 1)
    assert strict.best_threshold(scores).value > strict.best_threshold(worse).value
    assert strict.best_threshold(np.zeros(400)).value < -1


@pytest.mark.parametrize("bias", list(BIASES))
@pytest.mark.parametrize("performance", list(PERFORMANCES))
def test_a_cell_of_two_rows_is_in_every_resample(bias: str, performance: str) -> None:
    """A resample without it would leave the rates undefined, and nothing feasible."""
    y = np.concatenate([np.tile([0, 1], 30), [0] * 30, [1] * 2])
    g = np.concatenate([np.zeros(60, int), np.ones(32, int)])
    for seed in range(6):
        objective = BoundedPerformance(
            y, g, bias=bias, performance=performance, epsilon=0.5, rng=np.random.default_rng(seed)
        )
        right = objective.best_threshold(0.2 + 0.6 * y)
        assert (right.feasible, right.performance) == (True, 1)


@pytest.mark.parametrize("performance", list(PERFORMANCES))
def test_an_empty_cell_is_left_out(performance: str) -> None:
    y, g = np.array([0, 1, 0, 0] * 9), np.array([0, 0, 1, 1] * 9)
    objective = BoundedPerformance(
        y, g, bias="spd", performance=performance, rng=np.random.default_rng(0)
    )
    best = objective.best_threshold(0.2 + 0.6 * y)
    assert (best.feasible, best.performance) == (True, 1)


def test_two_errors_that_cancel_are_a_bias() -> None:
    """Group 1 has a higher true and a lower false positive rate: the mean of both is the same."""
    y, g = np.tile([0, 1], 100), np.repeat([0, 1], 100)
    scores = np.where(g == 1, 0.2 + 0.6 * y, 0.5 + 0.4 * (np.arange(200) % 4 < 2))
    objective = BoundedPerformance(y, g, epsilon=0.05, rng=np.random.default_rng(0))
    published = BoundedPerformance(
        y, g, bias="aod", performance="accuracy", epsilon=0.05, rng=np.random.default_rng(0)
    )
    at = np.array([0.6])
    assert published.measure(scores, at)[1][0, 0] == 0
    assert objective.measure(scores, at)[1][0, 0] == 0.5


def test_no_threshold_below_the_given_worst_cell_is_feasible() -> None:
    scores, y, g = rows(400)
    objective = BoundedPerformance(
        y, g, bias="spd", performance="accuracy", epsilon=0.2, rng=np.random.default_rng(0)
    )
    objective.allow_no_worse_than(scores, 0.5)
    best = objective.best_threshold(scores)
    for threshold in {0.5, best.threshold}:
        correct = (scores > threshold) == y
        worst = min(correct[cell].mean() for cell in cells_of(y, g))
        assert worst >= objective.lowest_cell
    assert not objective.best_threshold(np.full(400, 0.7)).feasible


def test_rows_that_do_not_count_change_nothing() -> None:
    scores, y, g = rows(300)
    objective = BoundedPerformance(y, g, rng=np.random.default_rng(0))
    part = objective.without(np.arange(100))
    changed = scores.copy()
    changed[:100] = 1 - changed[:100]
    assert part.best_threshold(scores) == part.best_threshold(changed)
    assert objective.best_threshold(scores) != objective.best_threshold(changed)
