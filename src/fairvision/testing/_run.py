"""Running checks: one result each; exceptions by name, with a reason, and only while needed."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from fairvision.exceptions import InputError
from fairvision.plugins import RegisteredMethod, clean, closest, default_registry, describe
from fairvision.testing._checks import CHECKS
from fairvision.testing._outcome import NotApplicable
from fairvision.testing._subject import Subject
from fairvision.types import Claims

__all__ = ["ConformanceError", "MethodCheck", "Result", "check_method", "method_checks"]

Status = Literal["passed", "failed", "excused", "not applicable"]


class ConformanceError(AssertionError):
    """What was checked does not conform; a line for each check that failed."""


@dataclass(frozen=True)
class Result:
    """What one check found.

    Attributes
    ----------
    subject, check : str
    status : {"passed", "failed", "excused", "not applicable"}
    message : str
        Why, where it did not just pass.
    seconds : float
    """

    subject: str
    check: str
    status: Status
    message: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.subject}, {self.check}: {self.message or self.status}"


@dataclass(frozen=True)
class MethodCheck:
    """One check of one method. Call it in a test, or `run` it for its result."""

    subject: Subject
    name: str

    def __str__(self) -> str:
        return f"{self.subject.name}-{self.name}"

    def run(self) -> Result:
        """Do the check; no error passes but the user's own interrupt."""
        started = time.perf_counter()
        status, message = self._judged(*run_check(lambda: CHECKS[self.name](self.subject)))
        seconds = time.perf_counter() - started
        return Result(self.subject.name, self.name, status, clean(message, limit=1000), seconds)

    def _judged(self, status: Status, message: str) -> tuple[Status, str]:
        reason = self.subject.claims.exceptions.get(self.name)
        if reason is None:
            return status, message
        if status == "failed":
            return "excused", f"{reason} ({message})"
        return "failed", f"the exception {reason!r} is not used: {status}. Take it out."

    def __call__(self) -> None:
        """Raise `ConformanceError` if the check fails; skip the test if it does not apply."""
        result = self.run()
        if result.status == "failed":
            raise ConformanceError(str(result))
        if result.status != "passed":
            import pytest

            (pytest.xfail if result.status == "excused" else pytest.skip)(result.message)


def run_check(check: Callable[[], Any]) -> tuple[Status, str]:
    """Do one check; what it raised becomes a status and a message."""
    try:
        # Two seconds' training on next to nothing may well warn of it.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check()
    except NotApplicable as reason:
        return "not applicable", str(reason)
    except AssertionError as broken:
        return "failed", str(broken) or "an assertion"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return "failed", f"raised {describe(error)}"
    return "passed", ""


def method_checks(
    method: str | RegisteredMethod, *, claims: Claims | None = None
) -> Iterator[MethodCheck]:
    """Yield the checks of one method, none of them run yet.

    Parameters
    ----------
    method : str or RegisteredMethod
        A name as ``fairvision methods`` lists it, or what `fairvision.methods` returns.
    claims : Claims, default=None
        In place of those in the method's descriptor.

    Raises
    ------
    UnknownNameError
        No installed method has this name.
    InputError
        An exception names no check, or gives no reason.
    """
    if isinstance(method, str):
        found: Any = default_registry().find("method", method)
    else:
        found = method
    subject = Subject(found, claims)
    for name, reason in subject.claims.exceptions.items():
        if name not in CHECKS and not name.startswith("sklearn:"):
            raise InputError(
                f"{subject.name!r} excepts {name!r}, which is no check.{closest(name, CHECKS)}"
            )
        if not str(reason).strip():
            raise InputError(f"{subject.name!r} excepts {name!r} without a reason.")
    yield from (MethodCheck(subject, name) for name in CHECKS)


def check_method(method: str | RegisteredMethod, *, claims: Claims | None = None) -> list[Result]:
    """Run every check of one method.

    Parameters
    ----------
    method, claims
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
    return raise_failed([check.run() for check in method_checks(method, claims=claims)])


def raise_failed(results: list[Result]) -> list[Result]:
    """Return the results, or raise an error with a line for each that failed."""
    failed = [str(result) for result in results if result.status == "failed"]
    if failed:
        raise ConformanceError("\n".join([f"{len(failed)} check(s) failed:", *failed]))
    return results
