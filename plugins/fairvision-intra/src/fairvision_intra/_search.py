"""The loop that all three methods share: judge a trial, keep the best, show it, stop on Ctrl-C."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from fairvision.base import ProgressBar
from fairvision.exceptions import FairvisionWarning
from fairvision_intra._objective import Objective, Outcome

__all__ = ["Found", "Trial", "Trials", "search"]


@dataclass(frozen=True, eq=False)
class Trial:
    """One net to judge.

    Attributes
    ----------
    scores : ndarray of shape (n,)
    changed : mapping of parameter name to Tensor
        What differs from the given net. May be written to once judged.
    where : dict
        What tells the trial from others, for the path.
    """

    scores: NDArray[Any]
    changed: Mapping[str, Tensor] = field(default_factory=dict)
    where: dict[str, Any] = field(default_factory=dict)


#: A method yields its trials, and is told how each one did.
Trials = Generator[Trial, Outcome, None]


@dataclass(eq=False)
class Found:
    """The best trial, and the path to it."""

    outcome: Outcome
    changed: dict[str, Tensor]
    path: list[dict[str, Any]]
    interrupted: bool = False


def search(
    trials: Trials,
    objective: Objective,
    *,
    total: int,
    owner: str,
    progress: bool | None = None,
    callback: Callable[[dict[str, Any]], Any] | None = None,
) -> Found:
    """Judge trials until there are no more, or somebody interrupts.

    Raises
    ------
    KeyboardInterrupt
        Only if it came before the first trial, the net as given, was judged.
    """
    found: Found | None = None
    with ProgressBar(total, owner, show=progress) as bar:
        try:
            trial = next(trials)
            while True:
                outcome = objective.search(trial.scores)
                row = {"trial": len(found.path) if found else 0, **trial.where, **vars(outcome)}
                found = _better(found, trial, outcome)
                found.path.append(row)
                best = found.outcome
                bar.advance(f"{owner}: best {best.performance:.3f}, bias {best.bias:.3f}")
                if callback is not None:
                    callback(row)
                trial = trials.send(outcome)
        except StopIteration:
            pass
        except KeyboardInterrupt:
            if found is None:
                raise
            found.interrupted = True
        finally:
            trials.close()
    assert found is not None  # the first trial is the net as given
    _tell(found, objective, owner, total)
    return found


def _better(found: Found | None, trial: Trial, outcome: Outcome) -> Found:
    if found is None or outcome.value > found.outcome.value:
        # A copy: a method may go on writing to the very tensors that it showed.
        changed = {name: value.detach().clone() for name, value in trial.changed.items()}
        return Found(outcome, changed, found.path if found else [])
    return found


def _tell(found: Found, objective: Objective, owner: str, total: int) -> None:
    best = found.outcome
    if found.interrupted:
        warnings.warn(
            f"{owner} was interrupted after {len(found.path)} of {total} trials and keeps the "
            f"best so far: performance {best.performance:.3f}, bias {best.bias:.3f}.",
            FairvisionWarning,
            stacklevel=4,
        )
    if not best.feasible:
        floor = "" if objective.floor is None else f" at a performance of {objective.floor:.3f}"
        warnings.warn(
            f"{owner} found no net with a bias below epsilon={objective.epsilon}{floor} or more; "
            f"it keeps the least biased one: performance {best.performance:.3f}, bias "
            f"{best.bias:.3f}. Raise epsilon, allow more trials, or lower min_performance.",
            FairvisionWarning,
            stacklevel=4,
        )
