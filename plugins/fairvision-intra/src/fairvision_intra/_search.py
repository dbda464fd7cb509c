"""The loop that all three methods share: measure each trial and keep the best."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from fairvision.base import ProgressBar
from fairvision.exceptions import FairvisionWarning
from fairvision_intra._bounded_performance import BoundedPerformance, Outcome

__all__ = ["SearchResult", "Trial", "Trials", "search"]


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
    interrupted: bool = False


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
    with ProgressBar(total, owner, show=verbose > 0) as bar:
        try:
            trial = next(trials)
            while True:
                outcome = objective.best_threshold(trial.scores)
                path.append({"trial": len(path), **trial.columns, **vars(outcome)})
                if best is None or outcome.value > best.outcome.value:
                    changed = {name: w.detach().clone() for name, w in trial.changed.items()}
                    best = SearchResult(outcome, changed, path)
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
    _warn(best, objective, owner, total)
    return best


def _warn(best: SearchResult, objective: BoundedPerformance, owner: str, total: int) -> None:
    outcome = best.outcome
    kept = f"performance {outcome.performance:.3f}, bias {outcome.bias:.3f}"
    if best.interrupted:
        warnings.warn(
            f"{owner} was interrupted after {len(best.path)} of {total} trials and keeps the "
            f"best so far: {kept}.",
            FairvisionWarning,
            stacklevel=4,
        )
    if not outcome.feasible:
        warnings.warn(
            f"{owner} found no net with a bias below epsilon={objective.epsilon} and a "
            f"performance of {objective.floor:.3f} or more; it keeps the least biased one: {kept}. "
            "Raise epsilon, allow more trials, or lower min_performance.",
            FairvisionWarning,
            stacklevel=4,
        )
