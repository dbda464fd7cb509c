"""The three methods as scikit-learn meta-estimators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from fairvision.exceptions import InputError
from fairvision_intra._algorithm import Subspace, perturbed
from fairvision_intra._base import IntraProcessor, Rows
from fairvision_intra._finetune import AdversarialFineTuning
from fairvision_intra._forward import Forward, layers_of
from fairvision_intra._objective import Metric, Objective
from fairvision_intra._search import Trial, Trials
from fairvision_intra._surrogate import SURROGATES, Surrogate

__all__ = ["AdversarialFineTuning", "LayerwiseOptimization", "RandomPerturbation"]


def _check_at_least(owner: Any, low: int, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if value is not None and value < low:
            raise InputError(f"{name} is {value!r}; pass {low} or more.")


def _last_layers(forward: Forward, n_layers: int | None) -> list[str]:
    """Names of the last layers with weights, the first to run first; None for all."""
    layers = layers_of(forward.module, forward.batch(slice(0, 2)))
    return layers if n_layers is None else layers[-n_layers:]


class RandomPerturbation(IntraProcessor):
    """Perturb a trained net's weights at random and keep the best (Savani et al. 2020).

    Each trial multiplies every weight of the *given* net by a draw of
    N(1, scale^2), and takes the threshold with the best performance among those
    with \\|bias\\| below epsilon. The first trial is the net as it is, so the result
    is at least as good on the validation rows as moving the threshold.

    Parameters
    ----------
    estimator : classifier or None, default=None
        With a torch net inside: a `TorchClassifier` or a method built on it, the
        last step of a `Pipeline`, in `Resampled`. In
        `sklearn.frozen.FrozenEstimator` it is used as it is, and all rows of
        `fit` are validation data; otherwise a clone is fitted on a part of
        them. None is a `TorchClassifier`. The given net is never changed.
    n_trials : int, default=101
    scale : float, default=0.1
    n_layers : int or None, default=None
        Perturb only the last layers; what the net computes before them is then
        computed once. None perturbs all.
    bias : str or scorer, default="average_odds_difference"
        ``"spd"``, ``"eod"``, ``"aod"``, ``"equalized_odds"`` or any name of
        :func:`fairvision.metrics.available_metrics`; between several groups the
        largest pairwise gap. A metric that is not one of counts by group and
        class is evaluated without resamples at 25 thresholds, and takes longer.
    performance : str or scorer, default="group_balanced_accuracy"
        Every class of every group weighs the same: where the validation rows
        are as skewed as those that the net learned from, ``"balanced_accuracy"``
        (as published) and ``"accuracy"`` reward the very bias. Also the name
        of a scikit-learn scorer, or anything called as
        ``scorer(estimator, X, y)``.
    epsilon, margin : float, default=0.05, 0.01
        The bound on bias; the search keeps below epsilon - margin.
    min_performance : float or None, default=None
        A net below it is not feasible: without a floor a constant prediction,
        which has no gap, meets any bound. None asks for half of what the given
        net has over a constant prediction; 0 is as published.
    n_thresholds : int, default=501
    n_bootstrap : int, default=5
        Resamples of the rows that the objective is averaged over, the same for
        every trial.
    validation_fraction : float, default=0.4
        Share of the rows to debias with, stratified by target and group, where
        the estimator is not frozen.
    random_state : int, RandomState, Generator or None, default=None
    progress : bool or None, default=None
        A progress bar; None shows one if the standard error is a terminal.
    callback : callable or None, default=None
        Called with each trial's row of `objective_path_`. Where it raises
        KeyboardInterrupt, as where Ctrl-C is pressed, the best so far is kept.

    Attributes
    ----------
    module_ : nn.Module
        The debiased net, the result's own.
    threshold_ : float
        `predict` gives the second class to scores above it.
    estimator_ : estimator
        The fitted estimator, as it was before.
    debiased_ : estimator
        A copy of it that computes with `module_`.
    objective_path_ : DataFrame
        A row a trial: value, threshold, performance, bias, feasible. The first
        is the net as given. A value of 0 or less is minus the smallest bias.
    bias_, performance_ : float
        On all judging rows, at `threshold_`.
    feasible_ : bool
        Whether `bias_` is below epsilon and `performance_` not below the floor.
    interrupted_ : bool
    min_performance_ : float
    classes_ : ndarray of shape (2,)
    sensitive_labels_ : list
        The groups; tuples where several columns were crossed.

    References
    ----------
    Y. Savani, C. White, N. S. Govindarajulu: Intra-Processing Methods for
    Debiasing Neural Networks. NeurIPS 2020, arXiv:2006.08564.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from fairvision.datasets import load
    >>> from fairvision.nn import TorchClassifier
    >>> from fairvision_intra import RandomPerturbation
    >>> faces = load("faces", n_samples=400, image_size=32, sensitive="skin_group")
    >>> net = TorchClassifier(max_epochs=4, random_state=0)
    >>> net = net.fit(faces.images[:200], faces.target[:200])
    >>> debiased = RandomPerturbation(
    ...     FrozenEstimator(net), n_trials=11, epsilon=0.3, random_state=0
    ... ).fit(faces.images[200:], faces.target[200:],
    ...       sensitive_features=faces.sensitive_features[200:])
    >>> len(debiased.objective_path_)
    11
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_trials: int = 101,
        scale: float = 0.1,
        n_layers: int | None = None,
        bias: Metric = "average_odds_difference",
        performance: Metric = "group_balanced_accuracy",
        epsilon: float = 0.05,
        margin: float = 0.01,
        min_performance: float | None = None,
        n_thresholds: int = 501,
        n_bootstrap: int = 5,
        validation_fraction: float = 0.4,
        random_state: Any = None,
        progress: bool | None = None,
        callback: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        self.estimator = estimator
        self.n_trials = n_trials
        self.scale = scale
        self.n_layers = n_layers
        self.bias = bias
        self.performance = performance
        self.epsilon = epsilon
        self.margin = margin
        self.min_performance = min_performance
        self.n_thresholds = n_thresholds
        self.n_bootstrap = n_bootstrap
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.progress = progress
        self.callback = callback

    def _check_parameters(self) -> None:
        super()._check_parameters()
        _check_at_least(self, 1, "n_trials", "n_layers")

    def _n_trials(self, judging: Rows) -> int:
        return self.n_trials

    def _trials(self, tuning: Rows, judging: Rows, objective: Objective, seed: int) -> Trials:
        forward, weights = judging.forward, judging.forward.weights()
        if self.n_layers is not None:
            layers = _last_layers(forward, self.n_layers)
            weights = {
                name: value for name, value in weights.items() if name.rpartition(".")[0] in layers
            }
            forward = forward.resuming_at(layers[0])
        generator = torch.Generator().manual_seed(seed)
        yield Trial(forward.scores())
        for _ in range(self.n_trials - 1):
            changed = perturbed(weights, self.scale, generator)
            yield Trial(forward.scores(changed), changed)


class LayerwiseOptimization(IntraProcessor):
    """Optimise one layer at a time of a trained net and keep the best (Savani et al. 2020).

    For each of the last layers in turn, starting from the given net, a surrogate
    model proposes weights within a box around those that the layer has. What
    runs before the layer is computed once.

    Parameters
    ----------
    estimator : classifier or None, default=None
        As in `RandomPerturbation`, like every parameter that is not listed here.
    n_layers : int, default=3
        How many of the last layers to try.
    n_calls : int, default=20
        Proposals for each layer.
    n_dims : int, default=10
        A wider layer is searched along so many random directions.
    scale : float, default=2.2
        Half the width of the box, in standard deviations of the layer's weights.
    surrogate : {"gp", "tpe", "random"}, default="gp"
        Gaussian process, tree-structured Parzen estimator, or none (optuna's).

    Attributes
    ----------
    layer_ : str or None
        The layer of `module_` that was changed; None if the given net was best.
    objective_path_ : DataFrame
        As in `RandomPerturbation`, with the layer of each trial.

    References
    ----------
    Y. Savani, C. White, N. S. Govindarajulu: Intra-Processing Methods for
    Debiasing Neural Networks. NeurIPS 2020, arXiv:2006.08564.

    Examples
    --------
    >>> from fairvision_intra import LayerwiseOptimization
    >>> LayerwiseOptimization(n_layers=2, n_calls=10).get_params()["n_dims"]
    10
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_layers: int = 3,
        n_calls: int = 20,
        n_dims: int = 10,
        scale: float = 2.2,
        surrogate: str = "gp",
        bias: Metric = "average_odds_difference",
        performance: Metric = "group_balanced_accuracy",
        epsilon: float = 0.05,
        margin: float = 0.01,
        min_performance: float | None = None,
        n_thresholds: int = 501,
        n_bootstrap: int = 5,
        validation_fraction: float = 0.4,
        random_state: Any = None,
        progress: bool | None = None,
        callback: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        self.estimator = estimator
        self.n_layers = n_layers
        self.n_calls = n_calls
        self.n_dims = n_dims
        self.scale = scale
        self.surrogate = surrogate
        self.bias = bias
        self.performance = performance
        self.epsilon = epsilon
        self.margin = margin
        self.min_performance = min_performance
        self.n_thresholds = n_thresholds
        self.n_bootstrap = n_bootstrap
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.progress = progress
        self.callback = callback

    def _check_parameters(self) -> None:
        super()._check_parameters()
        _check_at_least(self, 1, "n_layers", "n_calls", "n_dims")
        if self.surrogate not in SURROGATES:
            raise InputError(
                f"surrogate is {self.surrogate!r}; pass one of {', '.join(SURROGATES)}."
            )

    def _debias(self, *args: Any) -> None:
        super()._debias(*args)
        best = self.objective_path_["value"].idxmax()
        self.layer_ = self.objective_path_["layer"][best]

    def _n_trials(self, judging: Rows) -> int:
        return 1 + self.n_calls * len(_last_layers(judging.forward, self.n_layers))

    def _trials(self, tuning: Rows, judging: Rows, objective: Objective, seed: int) -> Trials:
        forward, generator = judging.forward, torch.Generator().manual_seed(seed)
        given = yield Trial(forward.scores(), where={"layer": None})
        for i, layer in enumerate(_last_layers(forward, self.n_layers)):
            name, resumed = f"{layer}.weight", forward.resuming_at(layer)
            space = Subspace(forward.weights()[name], self.n_dims, generator)
            surrogate = Surrogate(space.n_dims, self.scale, self.surrogate, (seed + i) % 2**32)
            surrogate.know(np.zeros(space.n_dims), given.value)
            for _ in range(self.n_calls):
                steps = surrogate.ask()
                changed = {name: space(torch.from_numpy(steps))}
                outcome = yield Trial(resumed.scores(changed), changed, {"layer": layer})
                surrogate.tell(outcome.value)
