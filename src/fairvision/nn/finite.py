"""Values that are not finite: stop a training that diverged, and refuse its scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairvision.exceptions import DivergedError

__all__ = ["check_loss", "check_scores", "check_weights_finite", "fetch_numbers", "numeric_errors"]

Scores = TypeVar("Scores", bound=NDArray[np.floating[Any]])

_ADVICE = (
    "Lower lr (a tenth of it), and look at the weights of the rows and at the parameters of the "
    "loss; with accelerate's fp16, try bf16."
)


def check_loss(loss: Tensor, epoch: int, name: str = "the loss") -> None:
    """Stop a training whose loss is not finite: later steps cannot recover.

    Parameters
    ----------
    loss : Tensor of shape ()
    epoch : int
        From 1.
    name : str
        What `loss` is.

    Raises
    ------
    DivergedError
    """
    if not bool(torch.isfinite(loss)):
        value = float(loss.detach())
        raise DivergedError(f"Training diverged in epoch {epoch}: {name} is {value}. {_ADVICE}")


def fetch_numbers(batches: Sequence[dict[str, Any]]) -> None:
    """Replace the tensors in the history of an epoch's batches by floats.

    Each name needs one transfer; reading each number in its step would wait for the GPU each
    time.
    """
    names = {name for row in batches for name, value in row.items() if isinstance(value, Tensor)}
    for name in names:
        rows = [row for row in batches if isinstance(row.get(name), Tensor)]
        values = torch.stack([row[name] for row in rows]).tolist()
        for row, value in zip(rows, values, strict=True):
            row[name] = value


@contextmanager
def numeric_errors(epoch: int) -> Iterator[None]:
    """Raise `DivergedError` if a matrix cannot be solved, or a step exceeds the range of floats."""
    try:
        yield
    except RuntimeError as error:
        # torch's own words where lr times a gradient has no float
        if not isinstance(error, torch.linalg.LinAlgError) and "overflow" not in str(error):
            raise
        raise DivergedError(f"Training diverged in epoch {epoch}: {error} {_ADVICE}") from error


def check_weights_finite(module: nn.Module, epoch: int) -> None:
    """Refuse a trained net whose last step made a weight infinite or NaN."""
    for name, weight in module.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise DivergedError(
                f"Training diverged in epoch {epoch}: the weights {name!r} are not finite. "
                + _ADVICE
            )


def check_scores(scores: Scores, owner: str, name: str = "scores") -> Scores:
    """Refuse scores or features that are not finite.

    Parameters
    ----------
    scores : ndarray of shape (n_samples, ...)
    owner : str
        The class whose scores they are.
    name : str
        What they are.

    Returns
    -------
    scores : the same array
    """
    bad_rows = np.flatnonzero(~np.isfinite(scores).reshape(len(scores), -1).all(1))
    if len(bad_rows):
        raise DivergedError(
            f"{owner} gives {name} that are not finite for {len(bad_rows)} of {len(scores)} "
            f"images, row {bad_rows[0]} first. Its training may have diverged: fit it again with "
            "a lower lr. A net in half precision may overflow: pass module.float()."
        )
    return scores
