"""Estimators that are passed to a comparison: checked, described, set up for a run."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from joblib.externals.loky.backend.reduction import dump
from sklearn.base import clone
from sklearn.utils import get_tags

from fairvision.base import accepts, groups_at_predict
from fairvision.comparison.checkpoints import add_callbacks, trains_nets
from fairvision.comparison.plan import MethodPlan, Plan
from fairvision.comparison.serialization import plain
from fairvision.exceptions import InputError, PluginError
from fairvision.plugins import RegisteredMethod, default_registry, describe, resolve
from fairvision.types import Needs

__all__ = ["check_sendable", "needs_within", "plan_estimator", "set_up", "source_hash"]

_WANTED = (
    "Pass the name of a method, a pair (name, parameters), or an unfitted estimator: a classifier, "
    "a sampler (it has fit_resample) or a meta-estimator (it has an `estimator` parameter)."
)


def plan_estimator(label: str, value: Any, params: Mapping[str, Any]) -> MethodPlan:
    """Plan an estimator that was passed in place of a name.

    Parameters
    ----------
    label : str
    value : unfitted estimator
        It is cloned.
    params : mapping
        Set on the clone.

    Raises
    ------
    InputError
        If it is no unfitted estimator that a comparison can run.
    """
    if problem := _problem(value):
        raise InputError(f"methods[{label!r}] is {value!r:.80}{problem}")
    try:
        estimator = clone(value).set_params(**params)
    except Exception as error:  # its constructor may do anything
        raise InputError(f"methods[{label!r}] cannot be cloned: {describe(error)}.") from error
    # The seed replaces them, so they identify nothing.
    seeds = [name for name, _, short in _parameters(estimator) if short == "random_state"]
    estimator.set_params(**dict.fromkeys(seeds))
    registered, parts = _registered(type(estimator)), _parts(estimator)
    needs = registered and needs_within(registered, estimator.get_params(deep=True).values())
    at_fit = accepts(getattr(estimator, "fit_resample", estimator.fit), "sensitive_features")
    at_predict = groups_at_predict(estimator) is not None
    seen = [word for word, seen in (("fit", at_fit), ("predict", at_predict)) if seen]
    return MethodPlan(
        label=label,
        name=registered.qualified_name if registered else plain(type(estimator)),
        stage=registered.stage if registered else _stage(estimator),
        version=", ".join(sorted({_version(step) for step in parts} - {""})),
        preset=None,
        params=plain(estimator.get_params(deep=False)),
        code=source_hash(*map(type, parts)),
        groups_seen=str(needs) if needs else ", ".join(seen) or "never",
        groups_at_fit=not needs or needs.fit or needs.validation,
        groups_at_predict=at_predict,
        estimator=estimator,
    )


def needs_within(registered: RegisteredMethod, values: Iterable[Any]) -> Needs:
    """When a method reads groups, with the estimators and objectives that are its parameters."""
    needs = registered.needs
    for value in values:
        if isinstance(value, type):
            continue
        if hasattr(value, "needs_groups"):  # an objective, which may read them if it can
            needs = replace(needs, fit=True)
        elif hasattr(value, "get_params") and hasattr(value, "fit"):
            inner = _registered(type(value))
            own = (
                Needs(fit=accepts(value.fit, "sensitive_features"))
                if inner is None
                else inner.needs
            )
            needs = replace(
                needs, fit=needs.fit or own.fit, validation=needs.validation or own.validation
            )
    return needs


def set_up(estimator: Any, plan: Plan, seed: int, callbacks: Sequence[Any] = ()) -> Any:
    """Clone an estimator, and set what the comparison decides, in nested estimators too.

    The seed replaces every ``random_state``. ``max_epochs``, ``n_threads`` and ``device``
    are set where they have the default of their class or the value of one of its presets;
    a device "auto" leaves them alone.
    """
    made = clone(estimator)
    settings: dict[str, Any] = {"max_epochs": plan.max_epochs, "n_threads": plan.n_threads}
    settings |= {} if plan.device == "auto" else {"device": plan.device}
    changed = {}
    for name, owner, short in _parameters(made):
        if short == "random_state":
            changed[name] = seed
        elif short in settings and getattr(owner, short, None) in _defaults(type(owner), short):
            changed[name] = settings[short]
    for nested in _parts(made.set_params(**changed)):
        if trains_nets(nested) or _registered(type(nested)):
            add_callbacks(nested, callbacks)
    return made


def check_sendable(plan: Plan) -> None:
    """Refuse an estimator or a registered plugin that no worker process can be sent.

    Raises
    ------
    InputError
        Naming it.
    """
    sent = [(f"methods[{method.label!r}]", method.estimator) for method in plan.methods]
    sent += [(f"the plugin {name!r}", plugin) for plugin, name in default_registry().registered()]
    for name, value in sent:
        try:
            dump(value, io.BytesIO())
        except Exception as error:
            raise InputError(
                f"{name} cannot be sent to a worker process: {describe(error)}. Pass n_jobs=1."
            ) from error


def source_hash(*classes: type) -> str:
    """Hash of the Python files beside each class; of a class outside packages, its own source."""
    digest = hashlib.sha256()
    for cls in classes:
        with suppress(OSError, TypeError):  # typed into a console, or compiled
            for text in _sources(cls):
                digest.update(text)
    return "" if digest.digest() == hashlib.sha256().digest() else digest.hexdigest()[:32]


def _sources(cls: type) -> Iterator[bytes]:
    if "." not in cls.__module__:
        yield inspect.getsource(cls).encode()
        return
    for file in sorted(Path(inspect.getfile(cls)).parent.glob("*.py")):
        yield file.read_bytes()


def _problem(value: Any) -> str | None:
    if isinstance(value, type):
        return f", a class. Pass an object of it: {value.__name__}()."
    is_sampler = hasattr(value, "fit_resample")
    lacking = [
        name
        for name in ("fit", "get_params", "fit_resample" if is_sampler else "predict")
        if not callable(getattr(value, name, None))
    ]
    if lacking:
        return f", which has no {lacking[0]}. {_WANTED}"
    if not is_sampler and (kind := _kind(value)) not in ("classifier", None):
        return f", a {kind}. {_WANTED}"
    if _is_fitted(value):
        return (
            ", which is fitted. A comparison fits it anew for each seed: pass sklearn.base.clone "
            "of it. To measure a fitted model, use fairvision.evaluate."
        )
    return None


def _kind(value: Any) -> str | None:
    try:
        return get_tags(value).estimator_type
    except Exception:  # of an estimator that states no tags
        return None


def _is_fitted(value: Any) -> bool:
    if hasattr(value, "__sklearn_is_fitted__"):
        return bool(value.__sklearn_is_fitted__())
    return any(name.endswith("_") and not name.startswith("_") for name in vars(value))


def _stage(estimator: Any) -> str:
    if hasattr(estimator, "fit_resample"):
        return "pre"
    wraps = "estimator" in estimator.get_params(deep=False)
    return "post" if wraps and accepts(estimator.fit, "sensitive_features") else "in"


def _parameters(estimator: Any) -> Iterator[tuple[str, Any, str]]:
    """Name, owner and short name of each parameter, nested ones too."""
    params = estimator.get_params(deep=True)
    for name in params:
        outer, _, short = name.rpartition("__")
        yield name, params.get(outer) if outer else estimator, short


def _parts(estimator: Any) -> list[Any]:
    """The estimator and those inside it."""
    inner = estimator.get_params(deep=True).values()
    candidates = [estimator, *(v for v in inner if hasattr(v, "get_params") and hasattr(v, "fit"))]
    return [candidate for candidate in candidates if not isinstance(candidate, type)]


def _defaults(cls: type, name: str) -> list[Any]:
    """The values of a parameter that a user did not choose: the class's, and the presets'."""
    # A subclass may pass it on in **kwargs, as those of skorch do.
    makers = (vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base))
    stated = (inspect.signature(maker).parameters.get(name) for maker in makers)
    own = [parameter.default for parameter in stated if parameter is not None][:1]
    registered = _registered(cls)
    presets = registered.presets.values() if registered else ()
    return own + [preset[name] for preset in presets if name in preset]


def _registered(cls: type) -> RegisteredMethod | None:
    """The method whose class this is."""
    package = cls.__module__.partition(".")[0]
    for method in default_registry().methods():
        same = method.target.rpartition(":")[2] == cls.__qualname__
        if same and method.origin.module.partition(".")[0] == package:
            with suppress(PluginError):
                if resolve(method) is cls:
                    return method
    return None


def _version(estimator: Any) -> str:
    """Distribution and version that an estimator comes from; empty for a notebook or a script."""
    registered = _registered(type(estimator))
    if registered is not None:
        return str(registered.origin)
    names = _distributions().get(type(estimator).__module__.partition(".")[0], ())
    return f"{names[0]} {importlib.metadata.version(names[0])}" if names else ""


@cache  # a second: it reads what every distribution installed
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()
