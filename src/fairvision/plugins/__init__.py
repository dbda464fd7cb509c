"""The plugin host: discover, load, hold. Light: listing imports no numpy, scikit-learn or torch.

A plugin is discovered (its metadata read), loaded (its module imported and checked),
collected (its hooks called), and made (its target imported). Each step can fail for
one plugin without costing another anything; a failure is a value that
``fairvision plugins`` shows.
"""

from __future__ import annotations

from typing import Any

from fairvision.plugins._make import QUICK, resolve
from fairvision.plugins._registry import Registry, default_registry
from fairvision.plugins._text import clean, closest, describe
from fairvision.plugins._values import (
    Origin,
    Plugin,
    PluginFailure,
    PluginNote,
    Registered,
    RegisteredMethod,
)
from fairvision.types import Dataset, Metric, ReportSection, Stage

__all__ = [
    "Origin",
    "Plugin",
    "PluginFailure",
    "PluginNote",
    "Registered",
    "RegisteredMethod",
    "Registry",
    "clean",
    "closest",
    "datasets",
    "default_registry",
    "describe",
    "make",
    "methods",
    "metrics",
    "register",
    "report_sections",
    "resolve",
]


def methods(
    stage: Stage | None = None, *, needs: str | None = None, registry: Registry | None = None
) -> tuple[RegisteredMethod, ...]:
    """Return the debiasing methods that are installed, importing none of them.

    Parameters
    ----------
    stage : {"pre", "in", "post"}, default=None
        Only the methods of this stage.
    needs : {"never", "fit", "validation", "predict"}, default=None
        Only the methods that must see group labels then.
    registry : Registry, default=None
        Where to look; None means the registry of this process.

    Returns
    -------
    methods : tuple of RegisteredMethod

    Examples
    --------
    >>> import fairvision as fv
    >>> "erm" in [method.name for method in fv.methods("in", needs="never")]
    True
    """
    return (registry or default_registry()).methods(stage, needs)


def metrics(*, registry: Registry | None = None) -> tuple[Registered[Metric], ...]:
    """Return the metrics that plugins offer, importing none of them."""
    return (registry or default_registry()).metrics()


def datasets(*, registry: Registry | None = None) -> tuple[Registered[Dataset], ...]:
    """Return the data sets that are installed, importing none of them."""
    return (registry or default_registry()).datasets()


def report_sections(*, registry: Registry | None = None) -> tuple[Registered[ReportSection], ...]:
    """Return the report sections that plugins offer, importing none of them."""
    return (registry or default_registry()).report_sections()


def register(plugin: object, name: str | None = None) -> Plugin:
    """Add a plugin to this process, without a distribution: in a notebook, or in a test.

    It goes through the checks of an installed plugin. Registering the same name again
    replaces it.

    Parameters
    ----------
    plugin : module or object
        It has ``FAIRVISION_API`` and hooks (`fairvision.hookspecs`).
    name : str, default=None
        Stands where the distribution's name would; None takes the name of the module.

    Returns
    -------
    Plugin

    Raises
    ------
    PluginError
        The plugin is refused; the message says what to change.
    InputError
        An installed distribution has this name.

    Examples
    --------
    >>> import fairvision as fv
    >>> from fairvision.hookspecs import hookimpl
    >>> from fairvision.types import Method
    >>> class Mine:
    ...     FAIRVISION_API = (1, 0)
    ...
    ...     @hookimpl
    ...     def fairvision_inprocessing(self):
    ...         yield Method("slow-erm", "fairvision.nn:TorchClassifier", "Plain training.")
    >>> fv.register(Mine(), "mine")  # doctest: +SKIP
    >>> fv.make("slow-erm", lr=1e-4)  # doctest: +SKIP
    """
    return default_registry().register(plugin, name)


def make(name: str, /, preset: str | None = QUICK, **params: Any) -> Any:
    """Make an unfitted estimator, sampler or meta-estimator.

    Parameters
    ----------
    name : str
        A method, as ``fairvision methods`` lists it; ``"distribution:name"`` where
        two distributions offer the same name.
    preset : str or None, default="quick"
        One of the method's named parameter sets, such as ``"paper"``. ``"quick"``, the
        default of `fairvision.compare` too, changes nothing for a method without it. None
        takes the defaults of the class.
        A class that has a parameter of its own called ``preset`` is given it by a
        preset or by ``set_params``.
    **params
        Parameters of the class; they win over the preset's.

    Raises
    ------
    UnknownNameError
        No method, or no preset, has this name.
    AmbiguousNameError
        Several distributions offer the method.
    InputError
        The class has no such parameter, or needs one that was not given.
    PluginError
        The class cannot be imported; the message says what to install.

    Examples
    --------
    >>> import fairvision as fv
    >>> model = fv.make("erm", preset="paper", random_state=0)  # doctest: +SKIP
    """
    return default_registry().make(name, preset, **params)
