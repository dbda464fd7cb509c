"""A check as an object that can be run, and its result."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from fairvision.plugins import clean, describe
from fairvision.testing._require import NotApplicable

Status = Literal["passed", "failed", "excused", "not applicable"]


class ConformanceError(AssertionError):
    """At least one check failed; the message has a line for each."""


@dataclass(frozen=True)
class Result:
    """The result of one check.

    Attributes
    ----------
    subject : str
        The method or the distribution.
    check : str
    status : {"passed", "failed", "excused", "not applicable"}
        ``"excused"``: it failed, and `Claims.exceptions` gives a reason.
    message : str
        The reason of a status other than "passed".
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
class Check:
    """One check of one method or plugin. Call it in a test, or `run` it for its result.

    Parameters
    ----------
    subject : str
        The method or the distribution.
    name : str
    function : callable
        It raises if the check fails.
    excuse : str or None
        Why it may fail. A check with an excuse that passes is a failure, too.
    """

    subject: str
    name: str
    function: Callable[[], Any]
    excuse: str | None = None

    def __str__(self) -> str:
        return f"{self.subject}-{self.name}"

    def run(self) -> Result:
        """Run the check. Every error becomes a result, except KeyboardInterrupt."""
        start = time.perf_counter()
        status, message = self._outcome()
        if self.excuse is not None and status == "failed":
            status, message = "excused", f"{self.excuse} ({message})"
        elif self.excuse is not None:
            message = f"the exception {self.excuse!r} is not used: {status}. Delete it."
            status = "failed"
        seconds = time.perf_counter() - start
        return Result(self.subject, self.name, status, clean(message, limit=1000), seconds)

    def _outcome(self) -> tuple[Status, str]:
        try:
            # Training for two seconds on 64 images may well warn; that is no fault.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.function()
        except NotApplicable as reason:
            return "not applicable", str(reason)
        except AssertionError as error:
            return "failed", str(error) or "an assertion"
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return "failed", f"raised {describe(error)}"
        return "passed", ""

    def __call__(self) -> None:
        """Raise `ConformanceError` if the check fails; skip the test if it does not apply."""
        result = self.run()
        if result.status == "failed":
            raise ConformanceError(str(result))
        if result.status != "passed":
            import pytest

            (pytest.xfail if result.status == "excused" else pytest.skip)(result.message)


def run_all(checks: Iterable[Check]) -> list[Result]:
    """Run the checks; raise a `ConformanceError` with a line for each that failed."""
    results = [check.run() for check in checks]
    failed = [str(result) for result in results if result.status == "failed"]
    if failed:
        raise ConformanceError("\n".join([f"{len(failed)} check(s) failed:", *failed]))
    return results
