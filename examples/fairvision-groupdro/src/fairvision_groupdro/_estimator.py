"""`GroupDROClassifier`: group DRO as a scikit-learn classifier."""

from __future__ import annotations

from typing import ClassVar

from fairvision.nn import ObjectiveClassifier
from fairvision_groupdro._objective import GroupDROObjective

__all__ = ["GroupDROClassifier"]


class GroupDROClassifier(ObjectiveClassifier):
    """Minimise the worst loss over cells of target and group (Sagawa et al. 2020).

    Each cell has a weight, raised where its loss is high; what is minimised is the
    weighted sum of the cells' losses.

    Parameters
    ----------
    eta : float, default=0.01
        Step size of the cells' weights. 0 keeps them equal: training on balanced cells.
    adjustment : float, default=0.0
        C of equation 5: a cell of n rows counts ``C / sqrt(n)`` worse than it is.
    balanced : bool, default=True
        Draw rows so that all cells come as often, as in algorithm 1. False shows each row
        once an epoch; small cells are then seen, and learned by heart, less often.
    backbone, weight_decay, max_epochs, ...
        As in `TorchClassifier`. The paper finds that without a good deal of weight decay,
        or few epochs, a net fits every training row, and the worst group gains nothing.

    Attributes
    ----------
    cell_weights_ : DataFrame
        The last weight of each cell: a column for the target, for each sensitive feature,
        and ``weight``.

    References
    ----------
    S. Sagawa, P. W. Koh, T. B. Hashimoto, P. Liang: Distributionally Robust Neural
    Networks for Group Shifts. ICLR 2020, arXiv:1911.08731.
    """

    objective_class: ClassVar = GroupDROObjective
