"""`TorchClassifier`: a torch model as a scikit-learn classifier for images."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    clone,
)
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
from torch import Tensor, nn

from fairvision.base import (
    all_or_nothing,
    check_groups,
    check_images,
    fitted_attributes,
    is_images,
    take,
)
from fairvision.exceptions import InputError
from fairvision.nn.acceleration import accelerated
from fairvision.nn.backbones import Backbone, Unfetched, build_classifier
from fairvision.nn.checks import (
    check_parameters,
    check_shape,
    check_weights,
    encode,
    hold_out,
    training_rows,
)
from fairvision.nn.device import choose_device
from fairvision.nn.distributed import (
    check_accelerator,
    check_same_rows,
    precision_of,
    process_group_of,
)
from fairvision.nn.export import Probabilities
from fairvision.nn.modules import with_features
from fairvision.nn.net import inference_size, make_net
from fairvision.nn.objective import Objective, TrainingContext
from fairvision.nn.prefetch import prefetch
from fairvision.nn.randomness import RandomState, as_seed, isolated_rng
from fairvision.nn.rows import Rows, Transform, scale
from fairvision.nn.state import check_structure, get_tensors, put_tensors

__all__ = ["TorchClassifier"]


class TorchClassifier(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, BaseEstimator
):
    """Train a torch model on images.

    The estimator holds a skorch net, made in `fit`, and gives it plain parameters. What
    training minimises is a parameter: an `Objective`.

    Parameters
    ----------
    backbone : str, nn.Module or callable, default="small-cnn"
        ``"small-cnn"``, ``"mlp"``, the name of any `torchvision.models`
        classifier (its head is replaced), ``"timm:NAME"`` of any model of timm
        (``pip install fairvision[timm]``), ``"package.module:factory"``, a
        module (copied, never changed), or a factory, called with
        (n_channels, height, width) if it requires an argument. Two-dimensional X
        gets ``"mlp"`` in place of ``"small-cnn"``.
    objective : Objective or None, default=None
        What a step minimises. None is empirical risk minimisation: cross-entropy.
    weights : str or None, default=None
        For backbones of torchvision and timm: ``"DEFAULT"`` or another published
        name, downloaded by them, or the path of a state dict.
    optimizer : {"adamw", "adam", "sgd"} or callable, default="adamw"
        Or anything called as ``optimizer(params, lr=..., weight_decay=...)``.
    lr : float, default=1e-3
    weight_decay : float, default=0.0
    max_epochs : int, default=10
    batch_size : int, default=64
    validation_fraction : float, default=0.0
        Share of the training rows held out, stratified by class, to compute
        ``valid_loss`` and ``valid_acc`` each epoch, for early stopping.
    device : str, default="auto"
        A torch device; ``"auto"`` takes CUDA if there is one, else the CPU.
    train_transform : callable or None, default=None
        Maps a batch of images in 0..1 on the training device to another such
        batch; any of torchvision's v2 transforms. Training batches only.
    callbacks : list of skorch callbacks, or None
        Learning-rate schedules, early stopping, checkpoints. Cloned in `fit`.
    compile : bool, str or callable, default=False
        Train a module that `torch.compile` has compiled, all but its head: True, or the
        backend to do it with. Pays where epochs are many; the first steps take long.
    amp : bool, default=False
        Train in mixed precision: features and logits in bfloat16 autocast, what
        methods do with them in float32. Pays on a GPU; results differ slightly.
        Neither has a part in prediction.
    accelerator : accelerate.Accelerator or None, default=None
        Train in several processes, started by ``torchrun`` or ``accelerate launch``, on
        its device and in its precision (``pip install fairvision[accelerate]``). Every
        process calls `fit` with all rows and ends with the same model, that of one
        process: `batch_size` counts the rows of all. Neither copied nor saved.
    random_state : int, RandomState, Generator or None, default=None
        The only source of randomness. The same int gives the same bits on one
        machine; the global generators are left as they were.
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
    groups_ : Groups or None
        The groups of the training rows, if they were given: an evaluation names
        those that were not among them.

    Examples
    --------
    >>> from fairvision.datasets import load
    >>> from fairvision.nn import TorchClassifier
    >>> faces = load("faces", n_samples=200, image_size=32, random_state=0)
    >>> model = TorchClassifier(max_epochs=2, random_state=0).fit(faces.images, faces.target)
    >>> model.predict_proba(faces.images[:5]).shape
    (5, 2)
    """

    # Of the process, not of the model.
    __fairvision_unsaved__: ClassVar = ("accelerator",)
    # Groups reach `fit` without a set_fit_request call; under metadata routing only.
    __metadata_request__fit: ClassVar = {"sensitive_features": True}

    def __init__(
        self,
        backbone: Backbone = "small-cnn",
        *,
        objective: Objective | None = None,
        weights: str | None = None,
        optimizer: str | Callable[..., torch.optim.Optimizer] = "adamw",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        max_epochs: int = 10,
        batch_size: int = 64,
        validation_fraction: float = 0.0,
        device: str = "auto",
        train_transform: Transform | None = None,
        callbacks: Sequence[Any] | None = None,
        compile: bool | str | Callable[..., Any] = False,
        amp: bool = False,
        accelerator: Any = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.backbone = backbone
        self.objective = objective
        self.weights = weights
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.device = device
        self.train_transform = train_transform
        self.callbacks = callbacks
        self.compile = compile
        self.amp = amp
        self.accelerator = accelerator
        self.random_state = random_state
        self.verbose = verbose

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
            uint8 in 0..255 or floating in 0..1, or a lazy image sequence; or a
            table of shape (n_samples, n_features).
        y : array-like of shape (n_samples,)
            Class labels of any type.
        sensitive_features : array-like of shape (n_samples,) or \
(n_samples, n_sensitive), default=None
            Checked for length; plain training makes no use of them.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self

        Raises
        ------
        InputError
            Naming what does not fit, before anything runs. An estimator that was
            fitted before is left as it was.
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
        """Train with an objective that holds data of its own, from `make_objective`.

        For classifiers whose `fit` takes more than images, labels and groups.

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
        X, codes = self._check_training_data(X, y)
        groups = check_groups(
            sensitive_features,
            len(codes),
            required_by=type(self).__name__ if objective.needs_groups else None,
            min_groups=2 if objective.needs_groups else 1,
        )
        check_parameters(self)
        check_accelerator(self.accelerator, self.device)
        self.groups_ = groups
        context = self._context()
        objective.check(context)
        weights = None
        if sample_weight is not None:
            weights = check_weights(sample_weight, codes)
            self.groups_ = None if groups is None else groups[np.flatnonzero(weights)]
        group_codes = None if groups is None else groups.codes
        return self._train(objective, context, (X, codes, group_codes, weights))

    def _check_training_data(self, X: Any, y: ArrayLike) -> tuple[Any, NDArray[np.int64]]:
        """Check X and y; set `classes_` and the input's shape; return X and class codes."""
        if is_images(X):
            X = check_images(X)
            y = np.asarray(column_or_1d(y, warn=True))
            if len(y) != len(X):
                raise InputError(f"y has {len(y)} rows, X has {len(X)}. Pass one label per image.")
            self.n_features_in_ = int(X.shape[1])
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
        else:
            X, y = validate_data(self, X, y, dtype=np.float64)
        self.classes_, codes = encode(y)
        self.input_shape_ = tuple(int(size) for size in X.shape[1:])
        return X, codes

    def _context(self) -> TrainingContext:
        return TrainingContext(
            self.input_shape_,
            self.classes_,
            getattr(self, "groups_", None),
            self._device(),
            self._dtype,
            self.get_params(deep=False),
        )

    def _build(self, weights: Any) -> nn.Module:
        """A new classifier from the backbone, on the CPU."""
        backbone = self.backbone
        if isinstance(backbone, str) and backbone == "small-cnn" and len(self.input_shape_) == 1:
            backbone = "mlp"
        return build_classifier(backbone, weights, self.input_shape_, len(self.classes_))

    def _train(self, objective: Objective, context: TrainingContext, columns: Any) -> Self:
        group, device = process_group_of(self.accelerator), context.device
        rows, all_rows = (
            training_rows(*columns, dtype=self._dtype),
            Rows(*columns, dtype=self._dtype),
        )
        check_same_rows(group, rows)
        all_rows.process_group = rows.process_group = group
        seed = group.broadcast(as_seed(self.random_state))
        with isolated_rng(seed, device):
            module = objective.make_module(partial(self._build, self.weights), context)
            net = make_net(self, module.to(device, self._dtype), objective, context)
            held_out = None
            if self.validation_fraction:
                rows, held_out = hold_out(rows, self.validation_fraction, seed)
            precision = precision_of(self.accelerator, self.amp)
            with (
                accelerated(module, compile=self.compile, precision=precision),
                group.gathered_outputs(module),
            ):
                net.train(rows, held_out, context)
            with group.gathered_outputs(module):
                attributes = objective.fitted_attributes(module, all_rows)
        self.net_, self.module_, self.history_ = net, net.module_.eval(), net.history
        self.n_steps_ = sum(self.history_[:, "train_batch_count"]) if len(net.history) else 0
        for name, value in attributes.items():
            setattr(self, name, value)
        return self

    def _device(self) -> torch.device:
        if self.accelerator is not None:
            return self.accelerator.device
        return choose_device(self.device)

    @property
    def _dtype(self) -> torch.dtype:
        # Tables are small and often badly scaled: double costs nothing there.
        shape = getattr(self, "input_shape_", None)
        return torch.float64 if shape is not None and len(shape) == 1 else torch.float32

    # -- models trained elsewhere -------------------------------------------------

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        *,
        classes: ArrayLike,
        input_shape: tuple[int, int, int] | None = None,
        **params: Any,
    ) -> Self:
        """Wrap a model that is already trained, to audit or post-process it.

        Parameters
        ----------
        module : nn.Module
            Takes floating images in 0..1 (put its normalisation in front with
            ``nn.Sequential``) and gives logits: one per class, or a single one
            for the second of two classes. Copied, never changed. Its features
            are what enters its last linear layer, unless it has a method
            ``features(x)`` and a linear ``head`` of its own.
        classes : array-like of shape (n_classes,)
            The label of each output, in the order of the outputs.
        input_shape : tuple (n_channels, height, width) or None
            Checked at predict if given.
        **params
            Parameters of the estimator.

        Returns
        -------
        TorchClassifier
            Fitted; ``module_`` computes what `module` computes. A clone of it
            trains on from the weights of `module`.
        """
        module = with_features(module)
        model = cls(backbone=module, **params)
        model.classes_ = np.asarray(classes)
        n_outputs = int(module.head.out_features)  # type: ignore[union-attr, arg-type]
        if len(model.classes_) != max(n_outputs, 2):
            raise InputError(
                f"classes has {len(model.classes_)} labels, the model's last linear layer "
                f"{n_outputs} output(s). Pass one label per output, in their order."
            )
        model.module_ = copy.deepcopy(module).to(model._device()).eval()
        if input_shape is not None:
            model.input_shape_ = tuple(input_shape)
            model.n_features_in_ = int(input_shape[0])
        return model

    # -- saving -------------------------------------------------------------------

    def __fairvision_getstate__(self) -> dict[str, Any]:
        """What was learned, the module as its tensors; the skorch net is left out."""
        state = fitted_attributes(self)
        state.pop("net_", None)
        if "module_" in state:
            state["module_"] = get_tensors(self.module_)
        return state

    def __fairvision_setstate__(self, state: Mapping[str, Any]) -> None:
        """Build the module again, fetching nothing, and give it its tensors."""
        for name in state.keys() - {"module_"}:
            setattr(self, name, state[name])
        if "module_" not in state:
            return
        module = self._module_again(state["module_"])
        put_tensors(module, state["module_"])
        try:
            device = self._device()
        except InputError:  # it was saved on another machine
            device = torch.device("cpu")
        self.module_ = module.to(device).eval()

    def __fairvision_module__(self) -> nn.Module:
        """Images to probabilities, for `as_module`."""
        check_is_fitted(self)
        return Probabilities(self.module_)

    def _module_again(self, tensors: Mapping[str, Tensor]) -> nn.Module:
        """A module of the structure that `module_` has, with weights of its own."""
        if not hasattr(self, "history_"):  # by `from_module`
            return copy.deepcopy(with_features(self.backbone))  # type: ignore[arg-type]
        check_shape(self.input_shape_)
        objective, context = self.make_objective(), self._context()
        objective.check(context)
        weights = None if self.weights is None else Unfetched(self.weights)

        def make() -> nn.Module:
            return objective.make_module(partial(self._build, weights), context)

        with isolated_rng(0):
            check_structure(make, self.input_shape_, tensors)
            return make()

    # -- use ----------------------------------------------------------------------

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each class, float64 of shape (n_samples, n_classes)."""
        check_is_fitted(self)
        return self.apply(X, Probabilities(self.module_))

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class, shape (n_samples,)."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(1)]

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
        weight = next(self.module_.parameters())
        size = inference_size(self.batch_size, weight.device)
        outputs = []
        self.module_.eval()
        with torch.inference_mode():
            # By index, which copies: a module may work in place, and X is not ours.
            parts = np.array_split(np.arange(len(X)), range(size, len(X), size))
            for batch in prefetch(partial(take, X), parts, X):
                images = scale(batch, weight.device, weight.dtype)
                outputs.append(function(images).cpu().numpy())
        return np.concatenate(outputs)

    def _check_input(self, X: Any) -> Any:
        shape = getattr(self, "input_shape_", None)
        if shape is not None and len(shape) == 1:
            return validate_data(self, X, reset=False, dtype=np.float64)
        return check_images(X, fitted_shape=shape)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")
