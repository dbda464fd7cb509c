"""How a check reports: a broken promise raises `CheckFailed`, no promise `NotApplicable`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fairvision.plugins import describe


class CheckFailed(AssertionError):
    """The method breaks the promise that the message names."""


class NotApplicable(Exception):
    """The check does not apply to this method, for the reason in the message."""


def require(condition: bool, message: str) -> None:
    """Raise `CheckFailed` with this message unless the condition holds."""
    if not condition:
        raise CheckFailed(message)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Name the step in the message of any error that it raises."""
    try:
        yield
    except CheckFailed:
        raise
    except Exception as error:
        raise CheckFailed(f"{name} raised {describe(error)}") from error


def require_error(call: Callable[[], Any], action: str, kind: type[Exception] = ValueError) -> str:
    """Require that the call raises an error of this kind; return its message."""
    try:
        call()
    except kind as error:
        return str(error)
    except Exception as error:
        raise CheckFailed(f"{action} raised {describe(error)}; expected {kind.__name__}") from error
    raise CheckFailed(f"{action} was accepted; expected {kind.__name__}")


def identical(a: Any, b: Any) -> bool:
    """Whether two arrays hold the same values, bit for bit."""
    return bool(np.array_equal(np.asarray(a), np.asarray(b)))
