"""`JLUClassifier`: joint learning and unlearning as a scikit-learn classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from numpy.typing import ArrayLike

from fairvision.nn import ObjectiveClassifier
from fairvision_jlu._objective import JLUObjective

__all__ = ["JLUClassifier"]


class JLUClassifier(ObjectiveClassifier):
    """Learn a task while unlearning spurious attributes (Alvi et al. 2018).

    A head for each column of `sensitive_features` learns to predict the attribute from the
    features. The features learn the task and, at the same time, to confuse these heads:
    ``L_primary + alpha * sum_m L_confusion,m``, equation 4.

    It needs counter-examples: without them in the training data, it cannot distinguish the
    attribute from the target.

    Parameters
    ----------
    backbone : str, nn.Module or callable, default="small-cnn"
        As in `TorchClassifier`, like every parameter that is not listed here. If no layer before
        the head is trained (``"linear"``, ``trainable="head"``), a linear layer of 128 units is
        inserted, whose features can unlearn.
    alpha : float, default=1.0
        Weight of the confusion; 0 is plain training with `class_weight`, bit for bit.
    warmup, ramp : float, default=0.25
        Shares of the training steps: first without confusion, then with alpha
        rising linearly. Both 0 as published.
    head_solver : {"newton", "adam"}, default="newton"
        Optimizer of the spurious heads. A head that lags behind the features cannot change them;
        Newton steps keep it at its optimum at hardly any cost. ``"adam"`` as published.
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
        Weight the rows in the secondary losses so that, within each class, all values of an
        attribute have the same weight: the heads then learn the attribute and not the correlated
        target. False as published; a strong correlation then also costs accuracy on the target.
        Not applied to `spurious_data`.
    class_weight : dict of label to float, "balanced" or None, default="balanced"
        As in `TorchClassifier`. A net that may no longer use the attribute predicts a rare class
        less often; weights prevent that. None as published.
    use_spurious_data : bool, default=True
        Whether the heads use `spurious_data` if `fit` gets it. False uses the groups of the
        training rows even then, so that one comparison can show both.

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

    objective_class: ClassVar = JLUObjective

    def __init__(
        self,
        backbone: Any = "small-cnn",
        *,
        class_weight: dict[Any, float] | str | None = "balanced",
        **params: Any,
    ) -> None:
        super().__init__(backbone, class_weight=class_weight, **params)

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
        objective = self.make_objective()
        objective.spurious_data = spurious_data
        return self.fit_objective(
            objective,
            X,
            y,
            sensitive_features=sensitive_features,
            sample_weight=sample_weight,
        )

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
