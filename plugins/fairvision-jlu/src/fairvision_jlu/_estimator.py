"""`JLUClassifier`: joint learning and unlearning as a scikit-learn classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike

from fairvision.base import Groups, all_or_nothing, check_groups
from fairvision.exceptions import InputError
from fairvision.nn import Objective, Rows, TorchClassifier
from fairvision_jlu._heads import SpuriousHeads
from fairvision_jlu._objective import JLUObjective

__all__ = ["JLUClassifier"]


class JLUClassifier(TorchClassifier):
    """Learn a task while unlearning spurious attributes (Alvi et al. 2018).

    A head for each column of `sensitive_features` learns to read the attribute
    from the features; the features learn the task and, at the same time, to
    leave those heads guessing:
    ``L_primary + alpha * sum_m L_confusion,m``, equation 4.

    It cannot separate what never occurs apart: with no counter-examples in the
    training data, the attribute and the target are one and the same to it.

    Parameters
    ----------
    backbone : str, nn.Module or callable, default="small-cnn"
        As in `TorchClassifier`, like every parameter that is not listed here.
    alpha : float, default=1.0
        Weight of the confusion; 0 is plain training, bit for bit.
    warmup, ramp : float, default=0.25
        Shares of the training steps: first without confusion, then with alpha
        rising linearly. Both 0 as published.
    head_solver : {"newton", "adam"}, default="newton"
        How the spurious heads learn. A head that lags behind the features
        leaves them unchanged; Newton steps keep it at its best at hardly any
        cost. ``"adam"`` as published.
    head_steps : int, default=4
        Most steps of the spurious heads for each step of the features.
    head_tol : float, default=0.01
        The heads stop sooner, once a step lowers their loss by less than this share.
    head_memory : int, default=1
        Batches whose features the heads see at each step, the current one included.
    head_ridge : float, default=0.01
        Penalty on the heads' squared weights, for ``"newton"``.
    head_lr : float, default=0.01
        Learning rate of the heads, for ``"adam"``.
    standardize : bool, default=True
        Whether the heads read features standardised over the batch. False as
        published; then features can hide the attribute by shrinking, and at
        larger alpha collapse.
    decorrelate : bool, default=True
        Weight the rows in the secondary losses so that, within each class, all
        values of an attribute weigh the same: the heads then read the attribute
        and not the target that goes with it. False as published; then a strong
        correlation costs the target, too. Not applied to `spurious_data`.
    use_spurious_data : bool, default=True
        Whether the heads read `spurious_data` where `fit` is given it. False reads
        the training rows' own groups all the same, so that a comparison on one
        data set can show both.

    Attributes
    ----------
    spurious_heads_ : nn.ModuleList
        One linear head per spurious attribute, on the features that
        ``transform`` gives, standardised over the rows if `standardize`.
    sensitive_names_ : tuple of str
    sensitive_categories_ : tuple of ndarray
        The labels of each attribute, in the order of its head's outputs.

    References
    ----------
    M. Alvi, A. Zisserman, C. Nellaker: Turning a Blind Eye: Explicit Removal of
    Biases and Variation from Deep Neural Network Embeddings. ECCV Workshops
    2018, arXiv:1809.02169.

    Examples
    --------
    >>> from fairvision.datasets import load
    >>> from fairvision_jlu import JLUClassifier
    >>> faces = load("faces", n_samples=200, image_size=32, random_state=0)
    >>> model = JLUClassifier(max_epochs=2, random_state=0)
    >>> _ = model.fit(faces.images, faces.target, sensitive_features=faces.sensitive_features)
    >>> model.transform(faces.images[:5]).shape
    (5, 128)
    """

    __metadata_request__fit: ClassVar = {"sensitive_features": True, "spurious_data": False}

    def __init__(
        self,
        backbone: Any = "small-cnn",
        *,
        alpha: float = 1.0,
        warmup: float = 0.25,
        ramp: float = 0.25,
        head_solver: str = "newton",
        head_steps: int = 4,
        head_tol: float = 0.01,
        head_memory: int = 1,
        head_ridge: float = 0.01,
        head_lr: float = 0.01,
        standardize: bool = True,
        decorrelate: bool = True,
        use_spurious_data: bool = True,
        weights: str | None = None,
        optimizer: str | Callable[..., torch.optim.Optimizer] = "adamw",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        max_epochs: int = 10,
        batch_size: int = 64,
        validation_fraction: float = 0.0,
        device: str = "auto",
        train_transform: Callable[[torch.Tensor], torch.Tensor] | None = None,
        callbacks: Sequence[Any] | None = None,
        compile: bool | str | Callable[..., Any] = False,
        amp: bool = False,
        accelerator: Any = None,
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
            compile=compile,
            amp=amp,
            accelerator=accelerator,
            random_state=random_state,
            verbose=verbose,
        )
        self.alpha = alpha
        self.warmup = warmup
        self.ramp = ramp
        self.head_solver = head_solver
        self.head_steps = head_steps
        self.head_tol = head_tol
        self.head_memory = head_memory
        self.head_ridge = head_ridge
        self.head_lr = head_lr
        self.standardize = standardize
        self.decorrelate = decorrelate
        self.use_spurious_data = use_spurious_data

    @all_or_nothing
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
        spurious_data: tuple[Any, Any] | None = None,
    ) -> Self:
        """Train on images with group labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, height, width)
        y : array-like of shape (n_samples,)
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_sensitive)
            The spurious attributes, a head for each column. With `spurious_data`
            they are not used and may be None.
        sample_weight : array-like of shape (n_samples,), default=None
            A row of weight 2 counts as two, in the secondary losses as well.
        spurious_data : tuple (X, sensitive_features), default=None
            Other images of the same shape that carry the spurious labels; the
            primary images then need none.

        Returns
        -------
        self

        Raises
        ------
        GroupsRequiredError
            Without group labels: it never falls back to plain training.
        """
        X, codes = self._check_training_data(X, y)
        groups: Groups | None = None
        self._secondary: Rows | None = None
        if spurious_data is None or not self.use_spurious_data:
            groups = spurious = self._check_spurious(sensitive_features, len(codes))
        else:
            check_groups(sensitive_features, len(codes))
            images, labels = _pair(spurious_data)
            images = self._check_input(images)
            spurious = self._check_spurious(labels, len(images))
            no_targets = np.zeros(len(images), dtype=np.int64)
            self._secondary = Rows(images, no_targets, spurious.codes, dtype=self._dtype)
        self.sensitive_names_ = spurious.names
        self.sensitive_categories_ = spurious.categories
        try:
            self._train(X, codes, groups, sample_weight)
        finally:
            del self._secondary
        objective = cast(JLUObjective, self.net_.objective)
        self.spurious_heads_ = objective.heads.modules
        return self

    def __fairvision_getstate__(self) -> dict[str, Any]:
        state = super().__fairvision_getstate__()
        if "spurious_heads_" in state:
            state["spurious_heads_"] = [head.state_dict() for head in self.spurious_heads_]
        return state

    def __fairvision_setstate__(self, state: Mapping[str, Any]) -> None:
        super().__fairvision_setstate__(state)
        if "spurious_heads_" in state:
            heads = [torch.nn.Linear(*h["weight"].shape[::-1]) for h in state["spurious_heads_"]]
            self.spurious_heads_ = torch.nn.ModuleList(heads)
            for head, tensors in zip(heads, state["spurious_heads_"], strict=True):
                head.load_state_dict(tensors, assign=True)
            self.spurious_heads_.to(next(self.module_.parameters()).device)

    def _check_spurious(self, labels: Any, n_samples: int) -> Groups:
        name = type(self).__name__
        groups = check_groups(labels, n_samples, required_by=name, min_groups=2)
        assert groups is not None  # None raises where groups are required
        return groups

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("alpha", "warmup", "ramp", "head_tol"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)!r}; pass 0 or more.")
        for name in ("head_ridge", "head_lr"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)!r}; pass more than 0.")
        if self.warmup + self.ramp > 1:
            raise InputError(
                f"warmup={self.warmup} and ramp={self.ramp} are shares of the training steps; "
                "together they must not exceed 1."
            )
        for name in ("head_steps", "head_memory"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)!r}; pass 1 or more.")
        if self.head_solver not in ("newton", "adam"):
            raise InputError(
                f"head_solver is {self.head_solver!r}; pass 'newton', or 'adam' as published."
            )

    def _make_objective(self) -> Objective:
        make_heads = partial(
            SpuriousHeads,
            n_values=tuple(len(values) for values in self.sensitive_categories_),
            solver=self.head_solver,
            steps=self.head_steps,
            tol=self.head_tol,
            lr=self.head_lr,
            ridge=self.head_ridge,
            memory=self.head_memory,
            standardized=self.standardize,
        )
        return JLUObjective(
            make_heads,
            alpha=self.alpha,
            warmup=self.warmup,
            ramp=self.ramp,
            decorrelate=self.decorrelate,
            batch_size=self.batch_size,
            secondary=self._secondary,
            train_transform=self.train_transform,
        )


def _pair(spurious_data: Any) -> tuple[Any, Any]:
    if not isinstance(spurious_data, (tuple, list)) or len(spurious_data) != 2:
        raise InputError(
            f"spurious_data is a {type(spurious_data).__name__}; pass a pair "
            "(X, sensitive_features)."
        )
    return spurious_data[0], spurious_data[1]
