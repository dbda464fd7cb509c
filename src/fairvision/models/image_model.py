"""`ImageModel`: from picture files to classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from torch import nn

from fairvision.base import ScoreMixin, accepts, groups_at_predict
from fairvision.datasets import ImageFiles
from fairvision.exceptions import GroupsRequiredError, InputError, SavingError
from fairvision.models.pictures import as_images, check_pictures
from fairvision.nn import as_module, input_shape_of

__all__ = ["ImageModel"]

#: A file from an untrusted source may state no larger images, which would take gigabytes.
_LARGEST = 2**24
_TEXTS = ("target_name", "class_names", "sensitive_names", "evaluation", "facts")


@dataclass(eq=False, repr=False)
class ImageModel(ScoreMixin, BaseEstimator):
    """A fitted estimator that predicts picture files, with the settings to read them.

    `fairvision.fit` returns one; `fairvision.save` and `fairvision.load` write and read it as one
    file. It holds no training rows and no pictures. It cannot be trained further: `clone` returns
    the model itself.

    Parameters
    ----------
    estimator : fitted estimator
        Takes images, or the features from `extractor`.
    image_size : int or (height, width)
        Pixels to which picture files are read.
    mode : {"RGB", "L"}, default="RGB"
    resize : {"crop", "squash"}, default="crop"
    pixel_max : float or None, default=None
        These three as in `fairvision.datasets.ImageFiles`.
    extractor : fitted FeatureExtractor or None, default=None
        Computes the features that the estimator takes. None passes images to the estimator.
    target_name : str, default="target"
        The attribute that is predicted.
    class_names : sequence of str or None, default=None
        Name of each class in `classes_`; None takes the labels themselves.
    sensitive_names : sequence of str, default=()
        The sensitive attributes of the training rows.
    evaluation : dict or None, default=None
        `Evaluation.to_dict` on rows that the estimator was not trained on.
    facts : mapping or None, default=None
        Further facts to print: the method, the data, numbers of rows. Plain data.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels that `predict` returns.
    input_shape_ : tuple (n_channels, height, width)
        Of the images that picture files are read to.
    reads_groups : bool
        Whether `predict` needs ``sensitive_features``.

    Examples
    --------
    >>> import fairvision as fv
    >>> model = fv.load("model.fv")  # doctest: +SKIP
    >>> model.predict(["a.jpg", "b.jpg"])  # doctest: +SKIP
    """

    # They go into the file as fitted state: as parameters, some text would name an import.
    __fairvision_unsaved__: ClassVar = _TEXTS

    estimator: Any
    _: KW_ONLY
    image_size: int | tuple[int, int]
    mode: Literal["RGB", "L"] = "RGB"
    resize: Literal["crop", "squash"] = "crop"
    pixel_max: float | None = None
    extractor: Any = None
    target_name: str = "target"
    class_names: Sequence[str] | None = None
    sensitive_names: Sequence[str] = ()
    evaluation: dict[str, Any] | None = None
    facts: Mapping[str, Any] | None = None

    @classmethod
    def from_dataset(
        cls, estimator: Any, data: Any, *, extractor: Any = None, **description: Any
    ) -> Self:
        """The model of an estimator that was fitted on a data set of images.

        Parameters
        ----------
        estimator : fitted estimator
        data : Bunch
            As `fairvision.datasets.load` returns it; its images say how files are read.
        extractor : fitted FeatureExtractor or None, default=None
        **description
            ``evaluation`` and ``facts``.
        """
        names, classes = data.get("target_names"), list(estimator.classes_)
        return cls(
            estimator,
            **check_pictures(data.images),
            extractor=extractor,
            target_name=str(data.get("target_name", "target")),
            class_names=None if len(names or ()) != len(classes) else list(map(str, names)),
            sensitive_names=[str(name) for name in data.sensitive_features.columns],
            **description,
        )

    @classmethod
    def from_estimator(cls, estimator: Any) -> Self:
        """The model of any fitted estimator that knows the shape of its images.

        Picture files are read with the middle cropped.

        Raises
        ------
        InputError
            If it is no fitted classifier, or the shape is unknown or not that of images.
        """
        if isinstance(estimator, cls):
            return estimator
        if not hasattr(estimator, "predict") or not hasattr(estimator, "classes_"):
            raise InputError(
                f"{type(estimator).__name__} is not a classifier, or is not fitted. Pass a fitted "
                "classifier."
            )
        shape = input_shape_of(estimator)
        if shape is None or len(shape) != 3 or shape[0] not in (1, 3):
            raise InputError(
                f"{type(estimator).__name__} was fitted on "
                f"{'images of unknown shape' if shape is None else f'rows of shape {shape}'}, so "
                "the size of picture files is unknown. Wrap it: fairvision.ImageModel(estimator, "
                "image_size=..., extractor=...)."
            )
        return cls(estimator, image_size=shape[1:], mode="L" if shape[0] == 1 else "RGB")

    # -- what it is -----------------------------------------------------------------

    @property
    def classes_(self) -> NDArray[Any]:
        return np.asarray(self.estimator.classes_)

    @property
    def input_shape_(self) -> tuple[int, int, int]:
        height, width = np.broadcast_to(self.image_size, 2).tolist()
        return len(self.mode), height, width

    @property
    def reads_groups(self) -> bool:
        return groups_at_predict(self.estimator) is not None

    @property
    def settings(self) -> dict[str, Any]:
        """How picture files are read: the keywords of `fairvision.datasets.ImageFiles`."""
        return {name: getattr(self, name) for name in ("image_size", "mode", "resize", "pixel_max")}

    def names_of(self, labels: NDArray[Any]) -> list[str]:
        """The names of labels that `predict` returned."""
        classes = self.classes_.tolist()
        names = dict(zip(classes, self.class_names or map(str, classes), strict=True))
        return [names[label] for label in np.asarray(labels).tolist()]

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> Self:
        return self

    def __fairvision_module__(self) -> nn.Module:
        """Images to probabilities, for `as_module`."""
        if self.extractor is None:
            return as_module(self.estimator)
        return as_module(Pipeline([("features", self.extractor), ("estimator", self.estimator)]))

    # -- prediction -----------------------------------------------------------------

    def predict(self, X: Any, *, sensitive_features: Any = None) -> NDArray[Any]:
        """The class of each picture, shape (n_samples,).

        Parameters
        ----------
        X : list or Series of paths, path of a folder or a file, or images
            Images are an array or a lazy sequence of shape (n_samples, n_channels, height, width).
        sensitive_features : array-like of shape (n_samples,) or \
(n_samples, n_sensitive), default=None
            Needed where `reads_groups` is true; else not read.

        Raises
        ------
        GroupsRequiredError
            Without group labels that the estimator reads.
        InputError
            If images have another shape, or a group did not occur in training.
        BadImageError
            Naming a file that cannot be read.
        """
        return np.asarray(self._call("predict", self._inputs(X), sensitive_features))

    def predict_proba(self, X: Any, *, sensitive_features: Any = None) -> NDArray[np.float64]:
        """The probability of each class, shape (n_samples, n_classes).

        Parameters and errors are those of `predict`.
        """
        return np.asarray(self._call("predict_proba", self._inputs(X), sensitive_features))

    def predict_both(
        self, X: Any, *, sensitive_features: Any = None
    ) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
        """`predict` and `predict_proba` in one pass; None where the estimator has no scores."""
        return self.decide(self._inputs(X), sensitive_features=sensitive_features)

    def decide(
        self, inputs: Any, *, sensitive_features: Any = None
    ) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
        """As `predict_both`, from the estimator's own input: features, with an `extractor`."""
        if not hasattr(self.estimator, "predict_proba"):
            return np.asarray(self._call("predict", inputs, sensitive_features)), None
        scores = np.asarray(self._call("predict_proba", inputs, sensitive_features))
        if self._takes_likeliest():
            return self.classes_[scores.argmax(1)], scores
        return np.asarray(self._call("predict", inputs, sensitive_features)), scores

    def _takes_likeliest(self) -> bool:
        """Whether `predict` returns the likeliest class, as it does if one module computes both."""
        try:
            return as_module(self.estimator) is not None
        except InputError:
            return False

    def _inputs(self, X: Any) -> Any:
        """What the estimator takes."""
        images = as_images(X, self.settings)
        return images if self.extractor is None else self.extractor.transform(images)

    def _call(self, name: str, inputs: Any, sensitive_features: Any) -> Any:
        method = getattr(self.estimator, name)
        if not (self.reads_groups and accepts(method, "sensitive_features")):
            return method(inputs)
        if sensitive_features is None:
            group_names = ", ".join(self.sensitive_names) or "as in training"
            raise GroupsRequiredError(
                f"The model needs the group of each picture that it predicts ({group_names}). Pass "
                "sensitive_features with one row per picture."
            )
        return method(inputs, sensitive_features=sensitive_features)

    # -- one file -------------------------------------------------------------------

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Save the model to one file, which `fairvision.load` reads.

        Errors are those of `fairvision.save`.
        """
        from fairvision.saving import save

        return save(self, path, overwrite=overwrite)

    def __fairvision_getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _TEXTS}

    def __fairvision_setstate__(self, state: Mapping[str, Any]) -> None:
        for name in _TEXTS:
            setattr(self, name, state[name])
        if not hasattr(self.estimator, "predict") or not hasattr(self.estimator, "classes_"):
            raise SavingError("its ImageModel holds no fitted classifier")
        ImageFiles([], **self.settings)  # raises for settings that make no sense
        if np.prod(self.input_shape_, dtype=float) > _LARGEST:
            raise SavingError(f"its images have shape {self.input_shape_}, above {_LARGEST} values")
        self.names_of(self.classes_)  # raises if the names are not as many
