"""Random perturbation and layer-wise optimisation as scikit-learn meta-estimators."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fairvision.base import check_choices, check_numbers
from fairvision_intra._adversarial import AdversarialFineTuning
from fairvision_intra._algorithm import Subspace, perturbed
from fairvision_intra._base import DebiasRows, IntraProcessor
from fairvision_intra._bounded_performance import BoundedPerformance
from fairvision_intra._forward import last_layers
from fairvision_intra._search import Trial, Trials
from fairvision_intra._surrogate import SURROGATES, Surrogate

__all__ = ["AdversarialFineTuning", "LayerwiseOptimization", "RandomPerturbation"]


@dataclass(eq=False, repr=False, kw_only=True)
class RandomPerturbation(IntraProcessor):
    """Perturb a trained net's weights at random and keep the best (Savani et al. 2020).

    Each trial multiplies every weight of the *given* net by a draw from
    N(1, scale^2), and takes the threshold with the best performance among those
    with \\|bias\\| below epsilon. The first trial is the net as it is.

    A trial is feasible only if its worst cell of class and group is not below the given net's.
    The choice is then cross-fitted: each fifth of the rows is predicted by the trial that the
    other rows choose. If this leaves the worst cell worse off
    (`fairvision.base.leaves_worse_off`), or no trial is feasible, the given net is returned with
    its own threshold and a warning. Unless it is frozen, it is then trained again on all rows.

    Parameters
    ----------
    estimator : classifier or None, default=None
        An estimator with a torch net: a `TorchClassifier`, a method built on it, a `Pipeline`
        that ends in one, or `Resampled` around one. A `sklearn.frozen.FrozenEstimator` is used as
        it is, and debiased on all rows of `fit`; otherwise a clone is fitted on a part of the
        rows. None is a `TorchClassifier`. The given net is never changed.
    n_trials : int, default=101
    scale : float, default=0.1
    n_layers : int or None, default=None
        Perturb only the last layers; the layers before them are then computed
        once. None perturbs all.
    bias : str or scorer, default="equalized_odds_difference"
        ``"spd"``, ``"eod"``, ``"aod"``, ``"equalized_odds"`` or any name of
        :func:`fairvision.metrics.available_metrics`; between several groups the
        largest pairwise gap. In ``"aod"``, a mean, two errors can cancel. A metric that
        is not computed from counts by group and class is evaluated at 25 thresholds
        without resamples, and takes longer.
    performance : str or scorer, default="worst_group_accuracy"
        By default the worst-group accuracy, which a gap between groups cannot raise: on rows as
        skewed as the training rows, ``"balanced_accuracy"`` (as published) and ``"accuracy"``
        reward the bias. Also the name of a scikit-learn scorer, or anything called as
        ``scorer(estimator, X, y)``.
    epsilon : float or None, default=None
        The bound on bias; 0.05 is published. With forty rows per group, the measured gap is off
        by .1 or more, so such a bound needs many rows. None sets no bound.
    margin : float, default=0.01
        The search keeps the bias below epsilon - margin.
    min_performance : float or None, default=None
        A net below it is not feasible. Without a floor a constant prediction,
        which has no gap, meets any bound. None takes the middle between a constant
        prediction and the given net; 0 is as published.
    allow_worse : bool, default=False
        Whether the worst cell may fall below the given net's; True is as published.
    n_thresholds : int, default=501
        Of those that are within .02 of the best, the one nearest to the net's own is taken; with
        `allow_worse` the best, as published.
    n_bootstrap : int, default=20
        Resamples within the cells that the objective is averaged over, the same for
        every trial.
    debias_fraction : float, default=0.4
        Share of the rows to debias on, stratified by target and group, if the
        estimator is not frozen.
    callbacks : list of callables or None, default=None
        Each is called after every trial, with its row of `objective_path_` as a
        dict. If one raises KeyboardInterrupt, or Ctrl-C is pressed, the best trial
        so far is kept.
    random_state : int, RandomState, Generator or None, default=None
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    module_ : nn.Module
        The debiased net.
    threshold_ : float
        `predict` gives the second class to scores above it.
    estimator_ : estimator
        The fitted estimator before debiasing.
    debiased_ : estimator
        A copy of it that computes with `module_`.
    objective_path_ : DataFrame
        A row a trial: value, threshold, performance, bias, feasible. The first
        is the net as given. A value of 0 or less is minus the smallest bias.
    bias_, performance_ : float
        At `threshold_`, on the rows that the trials were scored on.
    feasible_ : bool
        False where the given net is returned with its own threshold.
    trial_ : int
        Row of `objective_path_` of the net that is returned.
    interrupted_ : bool
    min_performance_ : float
    classes_ : ndarray of shape (2,)
    sensitive_labels_ : list
        The groups; tuples for the intersection of several columns.

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
    ...     FrozenEstimator(net), n_trials=11, random_state=0
    ... ).fit(faces.images[200:], faces.target[200:],
    ...       sensitive_features=faces.sensitive_features[200:])
    >>> len(debiased.objective_path_)
    11
    """

    n_trials: int = 101
    scale: float = 0.1
    n_layers: int | None = None

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_numbers(self, "n_trials", low=1, whole=True)
        check_numbers(self, "n_layers", low=1, whole=True, optional=True)

    def _n_trials(self, rows: DebiasRows) -> int:
        return self.n_trials

    def _trials(self, rows: DebiasRows, objective: BoundedPerformance, seed: int) -> Trials:
        forward, weights = rows.forward, rows.forward.weights()
        if self.n_layers is not None:
            layers = last_layers(forward, self.n_layers)
            weights = {
                name: value for name, value in weights.items() if name.rpartition(".")[0] in layers
            }
            forward = forward.resuming_at(layers[0])
        generator = torch.Generator().manual_seed(seed)
        yield Trial(forward.scores())
        for _ in range(self.n_trials - 1):
            changed = perturbed(weights, self.scale, generator)
            yield Trial(forward.scores(changed), changed)


@dataclass(eq=False, repr=False, kw_only=True)
class LayerwiseOptimization(IntraProcessor):
    """Optimise one layer at a time of a trained net and keep the best (Savani et al. 2020).

    For each of the last layers in turn, starting from the given net, a surrogate
    model proposes weights within a box around the layer's own. The layers before
    it are computed once.

    Parameters
    ----------
    estimator : classifier or None, default=None
        As in `RandomPerturbation`, like every parameter that is not listed here.
    n_layers : int, default=3
        Number of last layers to try.
    n_calls : int, default=20
        Proposals for each layer.
    n_dims : int, default=10
        A layer with more weights is searched along this many random directions.
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

    n_layers: int = 3
    n_calls: int = 20
    n_dims: int = 10
    scale: float = 2.2
    surrogate: str = "gp"

    @property
    def layer_(self) -> str | None:
        return self.objective_path_["layer"][self.trial_]

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_numbers(self, "n_layers", "n_calls", "n_dims", low=1, whole=True)
        check_choices(self, surrogate=list(SURROGATES))

    def _n_trials(self, rows: DebiasRows) -> int:
        return 1 + self.n_calls * len(last_layers(rows.forward, self.n_layers))

    def _trials(self, rows: DebiasRows, objective: BoundedPerformance, seed: int) -> Trials:
        forward, generator = rows.forward, torch.Generator().manual_seed(seed)
        given = yield Trial(forward.scores(), columns={"layer": None})
        for i, layer in enumerate(last_layers(forward, self.n_layers)):
            name, resumed = f"{layer}.weight", forward.resuming_at(layer)
            space = Subspace(forward.weights()[name], self.n_dims, generator)
            surrogate = Surrogate(space.n_dims, self.scale, self.surrogate, (seed + i) % 2**32)
            surrogate.add(np.zeros(space.n_dims), given.value)
            for _ in range(self.n_calls):
                changed = {name: space(torch.from_numpy(surrogate.ask()))}
                outcome = yield Trial(resumed.scores(changed), changed, {"layer": layer})
                surrogate.tell(outcome.value)
