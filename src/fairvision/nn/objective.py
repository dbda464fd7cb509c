"""The loss of a training step: the extension point of `TorchClassifier`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from fairvision.base import Groups
from fairvision.nn.rows import Batch, Rows, Transform

__all__ = ["Objective", "Step", "TrainingContext", "cross_entropy"]


@dataclass(slots=True)
class Step:
    """The outcome of one training step.

    Attributes
    ----------
    loss : Tensor of shape ()
        What is minimised.
    logits : Tensor of shape (n, n_classes)
    logged : dict of str to float or Tensor of shape ()
        Values for the history, averaged over each epoch; their names are in
        ``Objective.logged``. A tensor on a GPU is fetched after the epoch, so that no step
        waits for it; ``item()`` would.
    """

    loss: Tensor
    logits: Tensor
    logged: Mapping[str, float | Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainingContext:
    """Information on a training for its objective.

    Attributes
    ----------
    input_shape : tuple of int
        (n_channels, height, width), or (n_features,).
    classes : ndarray of shape (n_classes,)
        Labels; a row's class code is the place of its label.
    groups : Groups or None
        Names, codes and labels of the training rows' groups.
    device : torch.device
        Where the module is trained.
    dtype : torch.dtype
        What the module computes in.
    params : mapping
        The parameters of the estimator: ``params["batch_size"]``.
    """

    input_shape: tuple[int, ...]
    classes: NDArray[Any]
    groups: Groups | None
    device: torch.device
    dtype: torch.dtype
    params: Mapping[str, Any]

    @classmethod
    def of(cls, rows: Rows, device: torch.device | str = "cpu", **params: Any) -> TrainingContext:
        """A context for some rows, to call an objective without an estimator: in a test.

        Labels and groups are named by their codes. `params` default to one epoch in
        batches of 64.
        """
        groups = None
        if rows.groups is not None:
            codes = rows.groups.numpy()
            categories = tuple(np.arange(column.max() + 1) for column in codes.T)
            groups = Groups(tuple(f"group_{i}" for i in range(codes.shape[1])), codes, categories)
        return cls(
            tuple(rows.images.shape[1:]),
            np.arange(int(rows.targets.max()) + 1),
            groups,
            torch.device(device),
            rows.dtype,
            {"max_epochs": 1, "batch_size": 64, "train_transform": None, **params},
        )

    @property
    def batch_size(self) -> int:
        """Rows of a batch."""
        return self.params["batch_size"]

    @property
    def train_transform(self) -> Transform | None:
        """The augmentation of training batches."""
        return self.params["train_transform"]

    def n_steps(self, n_rows: int) -> int:
        """Optimisation steps of the whole training on so many rows."""
        return self.params["max_epochs"] * -(-n_rows // self.batch_size)


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy, each row times its weight.

    Weights have mean 1 over the *training set*. So the mean over a batch is an unbiased
    estimate of the weighted loss; dividing by the batch's own sum would not be.
    """
    if weights is None:
        return F.cross_entropy(logits, targets)
    return (F.cross_entropy(logits, targets, reduction="none") * weights).mean()


class Objective(BaseEstimator):
    """The loss that a `TorchClassifier` minimises; this base class is plain training (ERM).

    Subclass it and override what your method changes. Parameters are those of
    ``__init__``, which only stores them, as in any scikit-learn estimator: so
    ``GridSearchCV`` tunes ``objective__alpha``. The estimator clones the objective for
    each fit and calls the clone in this order: `check`, `make_module`, `start`, then for
    each epoch `order` and for each batch `step`, at the end `fitted_attributes`.

    All calls happen inside the estimator's seeded block, so torch's ordinary random
    functions are reproducible. Attributes that training changes end in an underscore.

    Examples
    --------
    >>> import torch
    >>> from fairvision.nn import Objective, Step, TorchClassifier
    >>> class FocalLoss(Objective):
    ...     def __init__(self, gamma=2.0):
    ...         self.gamma = gamma
    ...
    ...     def step(self, module, batch):
    ...         logits = module(batch.images)
    ...         log_p = logits.log_softmax(1).gather(1, batch.targets[:, None])[:, 0]
    ...         return Step((-((1 - log_p.exp()) ** self.gamma) * log_p).mean(), logits)
    ...
    ...     def state_dict(self):
    ...         return {}
    >>> model = TorchClassifier(objective=FocalLoss(), max_epochs=1, random_state=0)
    >>> model.get_params()["objective__gamma"]
    2.0
    """

    #: Names of the values in ``Step.logged``.
    logged: ClassVar[tuple[str, ...]] = ()
    #: Whether `fit` must be given ``sensitive_features`` with two groups or more.
    needs_groups: bool = False
    #: Whether X must be images: features and the maps of an inner layer are then refused.
    needs_pixels: ClassVar[bool] = False

    def check(self, context: TrainingContext) -> None:
        """Check the parameters against each other and the data, before anything runs.

        Raises
        ------
        InputError
            Naming the parameter, its value and what to pass.
        """

    def make_module(self, build: Callable[[], nn.Module], context: TrainingContext) -> nn.Module:
        """Build the module to train, on the CPU.

        Parameters
        ----------
        build : callable
            Returns a new module made from the estimator's ``backbone``, with
            ``features(x)`` and a linear ``head``.
        context : TrainingContext
        """
        return build()

    def callbacks(self, context: TrainingContext) -> Sequence[Any]:
        """Callbacks of skorch that the method adds to the user's."""
        return ()

    def start(self, module: nn.Module, rows: Rows, context: TrainingContext) -> None:
        """Prepare for training: called once, with the new module on its device."""

    def order(self, module: nn.Module, rows: Rows) -> Tensor:
        """Row numbers of the coming epoch, in order: a permutation unless overridden.

        Called at the start of each epoch. An override that changes the module's mode
        must restore it.
        """
        return torch.randperm(len(rows))

    def step(self, module: nn.Module, batch: Batch) -> Step:
        """Compute the loss of one batch. The estimator calls ``backward`` and the optimiser."""
        logits = module(batch.images)
        return Step(cross_entropy(logits, batch.targets, batch.weights), logits)

    def fitted_attributes(self, module: nn.Module, rows: Rows) -> Mapping[str, Any]:
        """Attributes for the fitted estimator, by name: called once, after the last epoch.

        Parameters
        ----------
        module : nn.Module
        rows : Rows
            All rows that `fit` was given, with those held out and those of weight 0;
            ``rows.weights`` are the weights as they were given.
        """
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The state that must persist between epochs, for `TrainingCheckpoint`.

        Numbers, text, tensors, and dicts and lists of these; {} if there is nothing.
        A subclass must override this to support checkpoints.
        """
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state after `start`; its tensors are on the CPU."""
