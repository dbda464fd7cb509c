"""The checks as pytest's parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fairvision.plugins import RegisteredMethod
from fairvision.testing._run import method_checks
from fairvision.types import Claims

__all__ = ["parametrize_with_method_checks"]


def parametrize_with_method_checks(
    methods: str | RegisteredMethod | Iterable[str | RegisteredMethod],
    *,
    claims: Claims | None = None,
) -> Callable[[Any], Any]:
    """Decorate a test with one parameter, ``check``, to run once for each check.

    Parameters
    ----------
    methods : str, RegisteredMethod, or several
    claims : Claims, default=None
        In place of those in the methods' descriptors.

    Examples
    --------
    >>> from fairvision.testing import parametrize_with_method_checks
    >>> @parametrize_with_method_checks("erm")
    ... def test_conformance(check):
    ...     check()
    """
    import pytest

    several = [methods] if isinstance(methods, (str, RegisteredMethod)) else list(methods)
    checks = [check for method in several for check in method_checks(method, claims=claims)]
    return pytest.mark.parametrize("check", checks, ids=str)
