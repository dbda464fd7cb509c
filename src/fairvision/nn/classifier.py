"""`TorchClassifier`: a torch model as a scikit-learn classifier for images."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone

from fairvision.base import (
    ScoreMixin,
    all_or_nothing,
    check_groups,
    check_pixels,
    fit_with_groups,
    fitted_attributes,
)
from fairvision.exceptions import InputError
from fairvision.nn.backbones import Backbone
from fairvision.nn.checks import (
    check_parameters,
    check_training_data,
    check_validation_data,
    check_weights,
    class_weighted,
)
from fairvision.nn.device import choose_device, numbered
from fairvision.nn.distributed import check_accelerator
from fairvision.nn.objective import Objective
from fairvision.nn.prediction import FittedModule
from fairvision.nn.randomness import RandomState
from fairvision.nn.rows import Transform
from fairvision.nn.trainable import Trainable, check_trainable
from fairvision.nn.training import context_of, train
from fairvision.nn.warm_start import check_goes_on, earlier_fit, join, known_classes

__all__ = ["TorchClassifier"]


@dataclass(eq=False, repr=False)
class TorchClassifier(FittedModule, ScoreMixin, BaseEstimator):
    """Train a torch model on images.

    The estimator holds a skorch net, made in `fit`, and gives it plain parameters. What
    training minimises is a parameter: an `Objective`.

    Parameters
    ----------
    backbone : str, nn.Module or callable, default="small-cnn"
        ``"small-cnn"``, ``"mlp"``, ``"linear"`` (a linear probe: only a head, on standardised
        features), the name of any `torchvision.models` classifier (its head is replaced),
        ``"timm:NAME"`` of any model of timm (``pip install fairvision[timm]``),
        ``"package.module:factory"``, a module (copied, never changed), or a factory, called with
        (n_channels, height, width) if it requires an argument. ``"small-cnn"`` becomes ``"mlp"``
        for two-dimensional X, and ``"linear"`` for maps.
    objective : Objective or None, default=None
        The loss that training minimises. None is empirical risk minimisation: cross-entropy.
    weights : str or None, default=None
        For backbones of torchvision and timm: the path of a state dict, which must fit in
        all but the head; ``"package:NAME"``, one in an installed package; or ``"DEFAULT"``
        or another published name, downloaded by them.
    trainable : str or list of str, default="all"
        The weights to train: ``"all"``; only the ``"head"``; the head and the ``"last:N"`` layers
        of the trunk, such as residual blocks; or the head and a list of named layers. All other
        weights are frozen, as are their batch-normalisation statistics. The output of the frozen
        first layers is computed once, unless `train_transform` changes the images.
    trunk_lr : float or None, default=None
        Learning rate of the trunk; None is `lr`.
    optimizer : {"adamw", "adam", "sgd"} or callable, default="adamw"
        Or anything called as ``optimizer(params, lr=..., weight_decay=...)``.
    lr : float, default=1e-3
    weight_decay : float, default=0.0
    max_epochs : int, default=10
    batch_size : int, default=64
    validation_fraction : float, default=0.0
        Share of the training rows held out, stratified by class, to compute
        ``valid_loss`` and ``valid_acc`` each epoch, for early stopping.
    validation_data : tuple (X, y) or None, default=None
        Your own images and labels for the same purpose, such as photographs of other people. They
        are not trained on, copied or saved. `validation_fraction` must then be 0.
    class_weight : dict of label to float, "balanced" or None, default=None
        Weights of the classes in the loss, as in scikit-learn: ``"balanced"`` gives all classes
        the same total weight, in each call of `partial_fit` anew; labels that a dict lacks have
        weight 1. They multiply `sample_weight`. ``valid_loss`` has the weights of rows
        that `validation_fraction` holds out; those of `validation_data` have none.
    device : str, default="auto"
        A torch device, such as ``"cuda:1"`` or ``"mps"``; ``"auto"`` takes CUDA if
        there is one, else the CPU.
    deterministic : bool, default=False
        Make training on CUDA reproducible bit for bit, a little slower; torch warns of operations
        of your net that have no deterministic version. On the CPU training is always
        reproducible.
    train_transform : callable or None, default=None
        Maps a batch of images in 0..1 on the training device to another such batch, such as a v2
        transform of torchvision. Applied to training batches only.
    callbacks : list of skorch callbacks, or None
        Learning-rate schedules, early stopping, checkpoints. Cloned in `fit`.
    compile : bool, str or callable, default=False
        Compile the module, except its head, with `torch.compile`: True, or a backend. The first
        steps are slow, so it pays for long trainings.
    amp : bool or "auto", default="auto"
        Train in mixed precision: features and logits in bfloat16 autocast, what methods compute
        from them in float32. ``"auto"`` does so for images on a CUDA device that computes in
        bfloat16 (Ampere or later), with channels last; results differ slightly. Prediction uses
        neither `compile` nor `amp`.
    accelerator : accelerate.Accelerator or None, default=None
        Train in several processes, started by ``torchrun`` or ``accelerate launch``, on
        its device and in its precision (``pip install fairvision[accelerate]``). Every process
        calls `fit` with all rows and ends with the same model as a single process would:
        `batch_size` counts the rows of all processes. The accelerator is neither copied nor
        saved.
    classes : array-like of shape (n_classes,) or None, default=None
        The labels, in the order of the scores; `fit` refuses any other. None takes the
        labels of `y`, sorted, as scikit-learn's scorers of probabilities expect them.
    warm_start : bool, default=False
        Whether another `fit` continues from the fitted net, for `max_epochs` more, on rows of the
        same shape and classes. ``history_``, ``n_steps_`` and, unless the model was loaded from a
        file, the optimizer state continue too. Callbacks, such as schedulers, and what an
        objective changes over its epochs start again.
    random_state : int, RandomState, Generator or None, default=None
        The only source of randomness. The same int gives the same bits on one machine (on CUDA
        with `deterministic`; otherwise nearly the same model). The global generators are left as
        they were.
    verbose : int, default=0
        1 prints a line an epoch.

    Attributes
    ----------
    module_ : nn.Module
        The trained module, with ``features(x)`` and ``head``.
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
        Channels of an image, or columns of a table.
    input_shape_ : tuple
        (n_channels, height, width), or (n_features,).
    net_ : skorch.NeuralNetClassifier
    history_ : skorch.history.History
        A row an epoch.
    n_steps_ : int
        Optimisation steps taken.
    accelerations_ : tuple of str
        Accelerations that were applied automatically: ``"bfloat16"``, ``"channels last"``,
        ``"fused optimizer"``, ``"images on device"``. All on CUDA only; the last one where the
        images fill at most a quarter of its free memory.
    groups_ : Groups or None
        The groups of the training rows, if they were given. An evaluation uses them to name
        groups unseen in training.

    Examples
    --------
    >>> from fairvision.datasets import load
    >>> from fairvision.nn import TorchClassifier
    >>> faces = load("faces", n_samples=200, image_size=32, random_state=0)
    >>> model = TorchClassifier(max_epochs=2, random_state=0).fit(faces.images, faces.target)
    >>> model.predict_proba(faces.images[:5]).shape
    (5, 2)
    """

    # Of the process or of the data, not of the model.
    __fairvision_unsaved__: ClassVar = ("accelerator", "validation_data")
    # Groups reach `fit` without a set_fit_request call; under metadata routing only.
    __metadata_request__fit: ClassVar = {"sensitive_features": True}
    __metadata_request__partial_fit: ClassVar = {"sensitive_features": True}

    backbone: Backbone = "small-cnn"
    _: KW_ONLY
    objective: Objective | None = None
    weights: str | None = None
    trainable: Trainable = "all"
    trunk_lr: float | None = None
    optimizer: str | Callable[..., torch.optim.Optimizer] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.0
    max_epochs: int = 10
    batch_size: int = 64
    validation_fraction: float = 0.0
    validation_data: tuple[Any, ArrayLike] | None = None
    class_weight: dict[Any, float] | str | None = None
    device: str = "auto"
    deterministic: bool = False
    train_transform: Transform | None = None
    callbacks: Sequence[Any] | None = None
    compile: bool | str | Callable[..., Any] = False
    amp: bool | str = "auto"
    accelerator: Any = None
    classes: ArrayLike | None = None
    warm_start: bool = False
    random_state: RandomState = None
    verbose: int = 0

    def __sklearn_clone__(self) -> Self:
        without = copy.copy(self)
        without.validation_data = None
        cloned = BaseEstimator.__sklearn_clone__(without)
        cloned.validation_data = self.validation_data  # its images are not copied
        return cloned

    # -- training -----------------------------------------------------------------

    @all_or_nothing
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train on images.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, height, width)
            uint8 in 0..255 or floating in 0..1, or a lazy image sequence; or
            features, a table of shape (n_samples, n_features) or the maps of a
            net's inner layer: floating, not 1 or 3 channels.
        y : array-like of shape (n_samples,)
            Class labels of any type.
        sensitive_features : array-like of shape (n_samples,) or \
(n_samples, n_sensitive), default=None
            Checked for length only; plain training does not use them.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self

        Raises
        ------
        InputError
            Before training. A previously fitted estimator is left as it was.
        """
        return self.fit_objective(
            self.make_objective(),
            X,
            y,
            sensitive_features=sensitive_features,
            sample_weight=sample_weight,
        )

    def make_objective(self) -> Objective:
        """A new objective with the estimator's parameters: a clone of `objective`."""
        if self.objective is None:
            return Objective()
        if not isinstance(self.objective, Objective):
            raise InputError(
                f"objective is {self.objective!r}; pass an instance of a subclass of "
                "fairvision.nn.Objective, or None for plain training."
            )
        return clone(self.objective)

    @all_or_nothing
    def fit_objective(
        self,
        objective: Objective,
        X: Any,
        y: ArrayLike,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train with an objective from `make_objective` that was given further data.

        Parameters
        ----------
        objective : Objective
            Used as it is, and kept in ``net_``.
        X, y, sensitive_features, sample_weight
            As in `fit`.

        Returns
        -------
        self
        """
        if objective.needs_pixels:
            X = check_pixels(X, type(self).__name__)
        earlier = earlier_fit(self)
        X, codes = check_training_data(self, X, y, earlier.get("input_shape_"))
        name = type(self).__name__ if objective.needs_groups else None
        self.groups_ = check_groups(
            sensitive_features, len(codes), required_by=name, min_groups=2 if name else 1
        )
        check_parameters(self)
        check_goes_on(self, objective, earlier)
        validation = check_validation_data(self, pixels=objective.needs_pixels)
        check_trainable(self.trainable, self.trunk_lr)
        check_accelerator(self.accelerator, self.device)
        context = context_of(self, self._device())
        objective.check(context)
        weights = None if sample_weight is None else check_weights(sample_weight, codes)
        weights = class_weighted(self.class_weight, weights, codes, self.classes_)
        group_codes = None if self.groups_ is None else self.groups_.codes
        if self.groups_ is not None and weights is not None:
            self.groups_ = self.groups_[np.flatnonzero(weights)]
        columns = X, codes, group_codes, weights
        net, attributes = train(self, objective, context, columns, validation, earlier)
        self.net_, self.module_, self.history_ = net, net.module_.eval(), net.history
        self.accelerations_ = net.accelerations
        self.n_steps_ = sum(self.history_[:, "train_batch_count"]) if len(net.history) else 0
        join(self, earlier)
        for name, value in attributes.items():
            setattr(self, name, value)
        return self

    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        *,
        sensitive_features: Any = None,
    ) -> Self:
        """Train one epoch more, on some of the rows.

        The first call starts a training, unless the estimator is fitted; later calls continue as
        with `warm_start`.

        Parameters
        ----------
        X, y, sensitive_features
            As in `fit`; rows of two classes or more.
        classes : array-like of shape (n_classes,) or None, default=None
            All labels, in the order of the scores. Required in the first call, unless
            they are a parameter.

        Returns
        -------
        self

        Raises
        ------
        InputError
            As in `fit`, and if a label is new or the shape of a row has changed.
        """
        epoch = copy.copy(self)
        epoch.warm_start, epoch.max_epochs = True, 1
        epoch.classes = known_classes(self, classes)
        fit_with_groups(epoch, X, y, sensitive_features=sensitive_features)
        for name, value in fitted_attributes(epoch).items():
            setattr(self, name, value)
        return self

    def _device(self) -> torch.device:
        if self.accelerator is not None:
            return self.accelerator.device
        return numbered(choose_device(self.device))
