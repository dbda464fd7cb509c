"""Prediction with a fitted torch module, and wrapping of trained modules."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from fairvision.base import check_form, sort_labels
from fairvision.exceptions import FairvisionWarning
from fairvision.nn.checks import TABLE_DTYPES
from fairvision.nn.export import Probabilities
from fairvision.nn.probe import check_inputs
from fairvision.nn.storage import get_state, set_state
from fairvision.nn.training import apply_module
from fairvision.nn.wrapping import check_probabilities, output_labels, with_features

__all__ = ["FittedModule"]


class FittedModule(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """The half of `TorchClassifier` that needs a ``module_`` and ``classes_`` only."""

    module_: Any
    classes_: NDArray[Any]
    backbone: Any
    batch_size: int
    _device: Callable[[], Any]

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        *,
        classes: ArrayLike,
        input_shape: tuple[int, int, int] | None = None,
        output: str | int | None = None,
        **params: Any,
    ) -> Self:
        """Wrap a model that is already trained, to audit or post-process it.

        Parameters
        ----------
        module : nn.Module
            Takes floating images in 0..1 (put its normalisation in front with ``nn.Sequential``)
            and returns logits or probabilities: one per class, or a single one for the second of
            two classes. The module is copied, never changed. Its features are the input of its
            last linear layer, unless it has a method ``features(x)`` and a linear ``head``.
        classes : array-like of shape (n_classes,)
            The label of each output, in the order of the outputs.
        input_shape : tuple (n_channels, height, width) or None
            Shape of an image, checked at predict. None tries the module with images of usual
            sizes.
        output : str, int or None, default=None
            Key or index of the logits, if the module returns a dict, a dataclass or a tuple.
        **params
            Parameters of the estimator.

        Returns
        -------
        TorchClassifier
            Fitted; ``module_`` computes the same outputs as `module`. A clone of the estimator
            continues training from the weights of `module`, with the labels in the same order.

        Raises
        ------
        InputError
            If a forward pass fails or does not return one row of scores per image, or if
            `classes` does not hold one label per output.
        """
        module, n_outputs = with_features(module, input_shape, output)
        labels = output_labels(classes, n_outputs)
        if labels.tolist() != sort_labels(labels):
            warnings.warn(
                f"classes {labels.tolist()[:5]} are not sorted. Their order is kept, but "
                "scikit-learn's scorers of probabilities without pos_label (roc_auc, neg_log_loss) "
                "and its CalibratedClassifierCV read them as sorted: use fairvision.evaluate, or "
                "fairvision.metrics.as_scorer.",
                FairvisionWarning,
                stacklevel=2,
            )
        model: Any = cls(backbone=module, classes=labels, **params)
        model.classes_ = labels
        model.module_ = copy.deepcopy(module).to(model._device()).eval()
        if input_shape is not None:
            model.input_shape_ = tuple(input_shape)
            model.n_features_in_ = int(input_shape[0])
        return model

    def __fairvision_getstate__(self) -> dict[str, Any]:
        """What was learned, the module as its tensors; the skorch net is left out."""
        return get_state(self)

    def __fairvision_setstate__(self, state: Mapping[str, Any]) -> None:
        """Build the module again, fetching nothing, and give it its tensors."""
        set_state(self, state)

    def __fairvision_module__(self) -> nn.Module:
        """Images to probabilities, for `as_module`."""
        check_is_fitted(self)
        return Probabilities(self.module_)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each class, float64 of shape (n_samples, n_classes)."""
        check_is_fitted(self)
        return check_probabilities(self.apply(X, Probabilities(self.module_)), self.classes_)

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class, shape (n_samples,)."""
        codes = self.predict_proba(X).argmax(1)
        return self.classes_[codes]

    def transform(self, X: Any) -> NDArray[Any]:
        """The learned features: what enters the head, shape (n_samples, n_features)."""
        return self.apply(X, lambda x: self.module_.features(x))

    @property
    def _n_features_out(self) -> int:  # scikit-learn's name
        return int(self.module_.head.in_features)

    def apply(self, X: Any, function: Callable[[Tensor], Tensor]) -> NDArray[Any]:
        """Apply a function of ``module_`` to images, batch by batch, in evaluation mode.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, height, width)
        function : callable
            Takes floating images in 0..1 on the module's device, and returns a tensor
            with a row for each.

        Returns
        -------
        ndarray of shape (n_samples, ...)
        """
        check_is_fitted(self)
        X = self._check_input(X)
        return apply_module(self.module_, function, X, self.batch_size)

    def _check_input(self, X: Any) -> Any:
        shape = getattr(self, "input_shape_", None)
        X = check_form(X, shape=shape)
        if shape is not None and len(shape) == 1:
            return validate_data(self, X, reset=False, dtype=TABLE_DTYPES)
        return check_inputs(X, backbone=self.backbone, fitted_shape=shape)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")
