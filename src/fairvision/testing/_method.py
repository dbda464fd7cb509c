"""The checks of a method."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from fairvision.exceptions import InputError
from fairvision.nn import choose_device
from fairvision.plugins import RegisteredMethod, closest, default_registry
from fairvision.testing import (
    _behaviour,
    _contract,
    _features,
    _groups,
    _inputs,
    _state,
    _toolkits,
)
from fairvision.testing._result import Check, Result, run_all
from fairvision.testing._subject import Subject
from fairvision.types import Claims

#: Name -> check, in the order in which they run: the cheap and basic ones first. Every public
#: function of these modules is a check, which raises if the promise in its docstring is broken.
CHECKS: dict[str, Callable[[Subject], None]] = {
    name: function
    for module in (_contract, _inputs, _features, _groups, _state, _toolkits, _behaviour)
    for name, function in vars(module).items()
    if getattr(function, "__module__", None) == module.__name__
    and inspect.isfunction(function)
    and not name.startswith("_")
}


def method_checks(
    method: str | RegisteredMethod, *, claims: Claims | None = None, device: str = "cpu"
) -> Iterator[Check]:
    """Yield the checks of one method without running them.

    Parameters
    ----------
    method : str or RegisteredMethod
        A name from ``fairvision methods``, or an entry of `fairvision.methods`.
    claims : Claims, default=None
        Replaces the claims in the method's descriptor.
    device : str, default="cpu"
        The torch device that nets are trained on: ``"cuda"``, ``"cuda:1"``.

    Raises
    ------
    UnknownNameError
        If no installed method has this name.
    InputError
        If an exception names no check, or gives no reason; or if there is no such device.
    """
    choose_device(device)
    registered: Any = method
    if isinstance(method, str):
        registered = default_registry().find("method", method)
    subject = Subject(registered, claims, device)
    excuses = subject.claims.exceptions
    for name, reason in excuses.items():
        if name not in CHECKS and not name.startswith("sklearn:"):
            raise InputError(
                f"{subject.name!r} excepts {name!r}, which is no check.{closest(name, CHECKS)}"
            )
        if not str(reason).strip():
            raise InputError(f"{subject.name!r} excepts {name!r} without a reason.")
    for name, function in CHECKS.items():
        yield Check(subject.name, name, partial(function, subject), excuses.get(name))


def check_method(
    method: str | RegisteredMethod, *, claims: Claims | None = None, device: str = "cpu"
) -> list[Result]:
    """Run every check of one method.

    Parameters
    ----------
    method, claims, device
        As in `method_checks`.

    Returns
    -------
    results : list of Result

    Raises
    ------
    ConformanceError
        If any check failed, with a line for each.

    Examples
    --------
    >>> from fairvision.testing import check_method
    >>> results = check_method("erm")  # doctest: +SKIP
    """
    return run_all(method_checks(method, claims=claims, device=device))


def parametrize_with_method_checks(
    methods: str | RegisteredMethod | Iterable[str | RegisteredMethod],
    *,
    claims: Claims | None = None,
    device: str = "cpu",
) -> Callable[[Any], Any]:
    """Decorate a pytest function to run once for each check, given as its argument ``check``.

    Parameters
    ----------
    methods : str, RegisteredMethod, or several
    claims : Claims, default=None
        Replaces the claims in the methods' descriptors.
    device : str, default="cpu"
        As in `method_checks`.

    Examples
    --------
    >>> from fairvision.testing import parametrize_with_method_checks
    >>> @parametrize_with_method_checks("erm")
    ... def test_conformance(check):
    ...     check()
    """
    import pytest

    several = [methods] if isinstance(methods, (str, RegisteredMethod)) else list(methods)
    options: dict[str, Any] = {"claims": claims, "device": device}
    checks = [check for method in several for check in method_checks(method, **options)]
    return pytest.mark.parametrize("check", checks, ids=str)
