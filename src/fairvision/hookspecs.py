"""The six hooks that a plugin may implement: signatures and docstrings only.

A plugin is a module named by an entry point in the group ``fairvision``. It
states ``FAIRVISION_API = (1, 0)`` and implements any of these hooks::

    import fairvision.hookspecs as hooks
    from fairvision.types import Method

    FAIRVISION_API = (1, 0)

    @hooks.hookimpl
    def fairvision_inprocessing():
        yield Method("my-method", "my_package.estimator:MyClassifier", "What it does.")

The registry calls every hook once per process, at the first listing or `make`. A hook takes
no arguments and returns an iterable of descriptors. The module must stay light: descriptors
name their implementation as a string, so listing imports nothing heavy. If a hook raises or
returns anything else, ``fairvision plugins`` lists its plugin as failed; the other plugins
work on.

In a notebook or a test, ``fairvision.register(plugin)`` adds a module, or an object whose
methods are the hooks, without a distribution. It goes through the same checks, and raises
the error for which an installed plugin would be listed as failed.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from fairvision.types import Dataset, Method, Metric, ReportSection

PROJECT = "fairvision"
API_VERSION = (1, 0)

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def fairvision_preprocessing() -> Iterable[Method]:
    """Offer samplers: methods that change the training data before a model sees it.

    The target class follows the pre-processing contract:
    ``fit_resample(X, y, *, sensitive_features=None) -> X_new, y_new``, the groups
    of the new rows in ``sensitive_features_``. It is not used at prediction.

    Used by ``fairvision.make``, ``fairvision.compose(pre=...)`` and ``fairvision compare``,
    which combines it with ERM training.

    Returns
    -------
    iterable of Method

    Examples
    --------
    >>> @hookimpl
    ... def fairvision_preprocessing():
    ...     yield Method("my-sampler", "my_package.sampler:MySampler", "Balances the groups.")
    """
    raise NotImplementedError


@hookspec
def fairvision_inprocessing() -> Iterable[Method]:
    """Offer classifiers: methods that change how a net is trained.

    The target class follows the in-processing contract:
    ``fit(X, y, *, sensitive_features=None, sample_weight=None)``, ``predict``,
    ``predict_proba``, ``score`` and ``transform`` (the learned features).

    Used by ``fairvision.make``, ``fairvision.compose(model=...)`` and ``fairvision compare``.

    Returns
    -------
    iterable of Method

    Examples
    --------
    >>> @hookimpl
    ... def fairvision_inprocessing():
    ...     yield Method("my-net", "my_package.net:MyClassifier", "Forgets the group.")
    """
    raise NotImplementedError


@hookspec
def fairvision_postprocessing() -> Iterable[Method]:
    """Offer meta-estimators: methods that change a trained model or its predictions.

    The target class follows the post-processing contract:
    ``__init__(estimator, ...)``, ``fit(X, y, *, sensitive_features)``, ``predict``,
    ``predict_proba``. An inner estimator in ``sklearn.frozen.FrozenEstimator`` is
    used as it is; any other is cloned and fitted on part of the data.

    Used by ``fairvision.make``, ``fairvision.compose(post=...)`` and ``fairvision compare``,
    which wraps ERM training in it.

    Returns
    -------
    iterable of Method

    Examples
    --------
    >>> @hookimpl
    ... def fairvision_postprocessing():
    ...     yield Method("my-shift", "my_package.shift:MyMeta", "Moves the threshold.")
    """
    raise NotImplementedError


@hookspec
def fairvision_metrics() -> Iterable[Metric]:
    """Offer metrics to ``fairvision.evaluate`` and ``fairvision audit``.

    The target is a function ``f(y_true, y_pred, *, sensitive_features, y_score,
    sample_weight) -> float``. If it raises, only its own row of the evaluation is missing.

    Returns
    -------
    iterable of Metric

    Examples
    --------
    >>> @hookimpl
    ... def fairvision_metrics():
    ...     yield Metric("my-gap", "my_package.metrics:my_gap", "The largest gap in X.")
    """
    raise NotImplementedError


@hookspec
def fairvision_datasets() -> Iterable[Dataset]:
    """Offer data sets to ``fairvision.datasets.load`` and ``fairvision compare``.

    The target is a loader that returns a ``sklearn.utils.Bunch`` with ``images``,
    ``target``, ``sensitive_features`` and ``attributes``. Its errors reach the caller.

    Returns
    -------
    iterable of Dataset

    Examples
    --------
    >>> @hookimpl
    ... def fairvision_datasets():
    ...     yield Dataset("my-faces", "my_package.data:load", "Our faces.", local=True)
    """
    raise NotImplementedError


@hookspec
def fairvision_report_sections() -> Iterable[ReportSection]:
    """Offer sections of the report, for the plugin's own methods or for all.

    If a section raises, the report shows it as failed; the other sections are not affected.

    The target is a function ``f(estimator, X, y, *, sensitive_features)`` that returns a
    matplotlib figure; it is called with a fitted estimator and test rows.

    Returns
    -------
    iterable of ReportSection

    Examples
    --------
    >>> @hookimpl
    ... def fairvision_report_sections():
    ...     yield ReportSection("my-maps", "my_package.report:maps", "What the net looked at")
    """
    raise NotImplementedError
