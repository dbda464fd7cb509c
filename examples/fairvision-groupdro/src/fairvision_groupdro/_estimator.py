"""`GroupDROClassifier`: group DRO as a scikit-learn classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fairvision.base import Groups, check_groups
from fairvision.exceptions import InputError
from fairvision.nn import Objective, TorchClassifier
from fairvision_groupdro._objective import GroupDROObjective

__all__ = ["GroupDROClassifier"]


class GroupDROClassifier(TorchClassifier):
    """Minimise the worst loss over cells of target and group (Sagawa et al. 2020).

    Each cell has a weight, raised where its loss is high; what is minimised is the
    weighted sum of the cells' losses.

    Parameters
    ----------
    backbone : str, nn.Module or callable, default="small-cnn"
        As in `TorchClassifier`, like every parameter that is not listed here.
    eta : float, default=0.01
        Step size of the cells' weights. 0 keeps them equal: training on balanced cells.
    adjustment : float, default=0.0
        C of equation 5: a cell of n rows counts ``C / sqrt(n)`` worse than it is.
    balanced : bool, default=True
        Draw rows so that all cells come as often, as in algorithm 1. False shows each row
        once an epoch; small cells are then seen, and learned by heart, less often.
    weight_decay : float, default=0.0
        The paper finds that without a good deal of it, or few epochs, a net fits every
        training row, and the worst group gains nothing.

    Attributes
    ----------
    cell_weights_ : Series
        The last weight of each cell, by target and group.

    References
    ----------
    S. Sagawa, P. W. Koh, T. B. Hashimoto, P. Liang: Distributionally Robust Neural
    Networks for Group Shifts. ICLR 2020, arXiv:1911.08731.
    """

    def __init__(
        self,
        backbone: Any = "small-cnn",
        *,
        eta: float = 0.01,
        adjustment: float = 0.0,
        balanced: bool = True,
        weights: str | None = None,
        optimizer: Any = "adamw",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        max_epochs: int = 10,
        batch_size: int = 64,
        validation_fraction: float = 0.0,
        device: str = "auto",
        train_transform: Any = None,
        callbacks: Sequence[Any] | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            backbone,
            weights=weights,
            optimizer=optimizer,
            lr=lr,
            weight_decay=weight_decay,
            max_epochs=max_epochs,
            batch_size=batch_size,
            validation_fraction=validation_fraction,
            device=device,
            train_transform=train_transform,
            callbacks=callbacks,
            random_state=random_state,
            verbose=verbose,
        )
        self.eta = eta
        self.adjustment = adjustment
        self.balanced = balanced

    def _check_groups(self, sensitive_features: Any, n_samples: int) -> Groups | None:
        name = type(self).__name__
        return check_groups(sensitive_features, n_samples, required_by=name, min_groups=2)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("eta", "adjustment"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)!r}; pass 0 or more.")

    def _make_objective(self) -> Objective:
        return GroupDROObjective(self.eta, self.adjustment, balanced=self.balanced)

    def _train(
        self,
        X: Any,
        codes: NDArray[np.int64],
        groups: Groups | None,
        sample_weight: ArrayLike | None,
    ) -> Self:
        super()._train(X, codes, groups, sample_weight)
        assert groups is not None
        objective: Any = self.net_.objective
        columns = [self.classes_, *groups.categories]
        labels = [
            tuple(values[code] for values, code in zip(columns, cell, strict=True))
            for cell in objective.labels.tolist()
        ]
        index = pd.MultiIndex.from_tuples(labels, names=["target", *groups.names])
        self.cell_weights_ = pd.Series(objective.q.cpu().numpy(), index=index)
        return self

    def __fairvision_getstate__(self) -> dict[str, Any]:
        state = super().__fairvision_getstate__()
        if "cell_weights_" in state:
            state["cell_weights_"] = self.cell_weights_.reset_index(name="weight")
        return state

    def __fairvision_setstate__(self, state: Mapping[str, Any]) -> None:
        super().__fairvision_setstate__(state)
        if "cell_weights_" in state:
            table = self.cell_weights_
            self.cell_weights_ = table.set_index(list(table.columns[:-1]))["weight"]
