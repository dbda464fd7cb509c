"""Samplers of aif360 and imbalanced-learn; they read targets and groups, no pixels."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing

from fairvision.base import check_labels, code_labels, silence_import, take_groups
from fairvision.exceptions import InputError
from fairvision.toolkits.inputs import check_targets_and_groups

__all__ = ["BalancedSampling", "Reweighing"]


class Reweighing(BaseEstimator):
    """Weights that make the target and the group independent (aif360's Reweighing).

    The weight of a row with target y and group a is ``P(y) P(a) / P(y, a)`` [1]_. All rows
    stay; `Resampled` passes the weights to the classifier.

    Attributes
    ----------
    sample_weight_ : ndarray of shape (n_samples,)
    sensitive_features_ : as given
    factors_ : DataFrame
        The weight by group (rows) and class (columns); NaN for a combination without rows.

    References
    ----------
    .. [1] F. Kamiran, T. Calders: Data preprocessing techniques for classification
       without discrimination. Knowledge and Information Systems 33, 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from fairvision.toolkits import Reweighing
    >>> sampler = Reweighing()
    >>> X, y, a = np.zeros((4, 1, 24, 24)), [0, 0, 1, 1], ["x", "x", "x", "z"]
    >>> _ = sampler.fit_resample(X, y, sensitive_features=a)
    >>> sampler.sample_weight_.tolist()
    [0.75, 0.75, 1.5, 0.5]
    """

    __metadata_request__fit: ClassVar = {"sensitive_features": True}
    __metadata_request__fit_resample: ClassVar = {"sensitive_features": True}

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Compute the weights, which `sample_weight` is a factor of."""
        with silence_import():
            from aif360.sklearn.preprocessing import Reweighing as Toolkit

        targets, groups = check_targets_and_groups(self, X, y, sensitive_features)
        target_codes, classes = code_labels(targets)
        codes, labels = groups.intersection()
        # aif360 reads the group from the index; the column is only there to make a table.
        index = pd.Index(codes, name="group")
        toolkit = Toolkit("group")
        _, weights = toolkit.fit_transform(
            pd.DataFrame({"row": np.zeros(len(codes))}, index=index),
            pd.Series(target_codes, index=index),
            sample_weight=None if sample_weight is None else np.asarray(sample_weight, float),
        )
        self.sample_weight_ = np.asarray(weights, dtype=np.float64)
        self.factors_ = pd.DataFrame(
            toolkit.reweigh_factors_,
            index=[labels[code] for code in toolkit.groups_],
            columns=classes,
        )
        self.sensitive_features_ = sensitive_features
        return self

    def fit_resample(
        self,
        X: Any,
        y: ArrayLike,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> tuple[Any, NDArray[Any]]:
        """Return X and y unchanged; the weights are in ``sample_weight_``."""
        self.fit(X, y, sensitive_features=sensitive_features, sample_weight=sample_weight)
        return X, check_labels(y)


@dataclass(eq=False, repr=False)
class BalancedSampling(BaseEstimator):
    """Draw rows so that all cells have as many (imbalanced-learn's random samplers).

    Parameters
    ----------
    cells : {"target and group", "group", "target"}, default="target and group"
        The cells to balance.
    strategy : {"over", "under"}, default="over"
        Repeat rows of small cells, or drop rows of large ones.
    random_state : int, RandomState or None

    Attributes
    ----------
    sample_indices_ : ndarray
        The numbers of the drawn rows.
    sensitive_features_ : their groups
    """

    __metadata_request__fit: ClassVar = {"sensitive_features": True}
    __metadata_request__fit_resample: ClassVar = {"sensitive_features": True}

    cells: str = "target and group"
    _: KW_ONLY
    strategy: str = "over"
    random_state: Any = None

    def fit(self, X: Any, y: ArrayLike, *, sensitive_features: Any = None) -> Self:
        """Choose the rows."""
        from imblearn.over_sampling import RandomOverSampler
        from imblearn.under_sampling import RandomUnderSampler

        samplers = {"over": RandomOverSampler, "under": RandomUnderSampler}
        if self.strategy not in samplers:
            raise InputError(f"strategy is {self.strategy!r}; pass 'over' or 'under'.")
        targets, groups = check_targets_and_groups(self, X, y, sensitive_features)
        codes = code_labels(targets)[0]
        group_codes, labels = groups.intersection()
        cells = {
            "target and group": codes * len(labels) + group_codes,
            "group": group_codes,
            "target": codes,
        }
        if not isinstance(self.cells, str) or self.cells not in cells:
            raise InputError(
                f"cells is {self.cells!r}; pass 'target and group', 'group' or 'target'."
            )
        cell = cells[self.cells]
        self.sample_indices_ = np.arange(len(cell))
        if len(np.unique(cell)) > 1:  # a single cell is balanced
            sampler = samplers[self.strategy](random_state=self.random_state)
            sampler.fit_resample(np.zeros((len(cell), 1)), cell)
            self.sample_indices_ = np.asarray(sampler.sample_indices_)
        self.sensitive_features_ = take_groups(sensitive_features, self.sample_indices_)
        return self

    def fit_resample(
        self, X: Any, y: ArrayLike, *, sensitive_features: Any = None
    ) -> tuple[Any, NDArray[Any]]:
        """The drawn rows of X and y."""
        self.fit(X, y, sensitive_features=sensitive_features)
        rows = self.sample_indices_
        return _safe_indexing(X, rows), check_labels(y)[rows]
