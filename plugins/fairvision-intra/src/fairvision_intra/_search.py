"""The loop that all three methods share: measure each trial and keep the best."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fairvision.base import ProgressBar
from fairvision.exceptions import FairvisionWarning
from fairvision_intra._bounded_performance import BoundedPerformance, Outcome

__all__ = ["SearchResult", "Trial", "Trials", "cross_fitted", "search"]


@dataclass(frozen=True, eq=False)
class Trial:
    """One candidate net.

    Attributes
    ----------
    scores : ndarray of shape (n,)
    changed : mapping of parameter name to Tensor
        The parameters that differ from the given net. The method may write to
        these tensors again after the trial.
    columns : dict
        Further columns of the trial's row in `objective_path_`.
    """

    scores: NDArray[Any]
    changed: Mapping[str, Tensor] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)


#: A method yields its trials and receives the outcome of each.
Trials = Generator[Trial, Outcome, None]


@dataclass(eq=False)
class SearchResult:
    """The best trial, and the rows of all trials so far."""

    outcome: Outcome
    changed: dict[str, Tensor]
    path: list[dict[str, Any]]
    scores: list[NDArray[Any]]
    interrupted: bool = False

    @property
    def trial(self) -> int:
        """Number of the best trial."""
        return max(range(len(self.path)), key=lambda i: self.path[i]["value"])


def search(
    trials: Trials,
    objective: BoundedPerformance,
    *,
    total: int,
    owner: str,
    verbose: int = 0,
    callbacks: Sequence[Callable[[dict[str, Any]], Any]] = (),
) -> SearchResult:
    """Measure trials until there are no more, or until an interrupt.

    Raises
    ------
    KeyboardInterrupt
        Only before the first trial, the net as given, was measured.
    """
    best: SearchResult | None = None
    path: list[dict[str, Any]] = []
    scores: list[NDArray[Any]] = []
    with ProgressBar(total, owner, show=verbose > 0) as bar:
        try:
            trial = next(trials)
            while True:
                outcome = objective.best_threshold(trial.scores)
                path.append({"trial": len(path), **trial.columns, **vars(outcome)})
                scores.append(trial.scores)
                if best is None or outcome.value > best.outcome.value:
                    changed = {name: w.detach().clone() for name, w in trial.changed.items()}
                    best = SearchResult(outcome, changed, path, scores)
                value, bias = best.outcome.performance, best.outcome.bias
                bar.advance(f"{owner}: best {value:.3f}, bias {bias:.3f}")
                for callback in callbacks:
                    callback(path[-1])
                trial = trials.send(outcome)
        except StopIteration:
            pass
        except KeyboardInterrupt:
            if best is None:
                raise
            best.interrupted = True
        finally:
            trials.close()
    assert best is not None  # the first trial is the net as given
    if best.interrupted:
        warnings.warn(
            f"{owner} was interrupted after {len(path)} of {total} trials and keeps the best so "
            f"far: performance {best.outcome.performance:.3f}, bias {best.outcome.bias:.3f}.",
            FairvisionWarning,
            stacklevel=3,
        )
    return best


def cross_fitted(
    objective: BoundedPerformance,
    scores: list[NDArray[Any]],
    threshold: float,
    folds: list[NDArray[np.intp]],
) -> NDArray[np.bool_]:
    """Whether each row is selected by the trial and threshold that the other folds choose.

    Where the other folds find nothing feasible, by the given net at its own threshold. The
    choice has not seen the rows that it is judged by, however many trials there are.
    """
    selected = scores[0] > threshold
    for rows in folds:
        remaining = objective.without(rows)
        if objective.lowest_cell:
            remaining.allow_no_worse_than(scores[0], threshold)
        outcomes = [remaining.best_threshold(each) for each in scores]
        best = max(range(len(scores)), key=lambda i: outcomes[i].value)
        if outcomes[best].feasible:
            selected[rows] = scores[best][rows] > outcomes[best].threshold
    return selected
