"""What a check raises: that something does not hold, or that it does not apply."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fairvision.plugins import describe

__all__ = ["Broken", "NotApplicable", "refuses", "require", "same", "trying"]


class Broken(AssertionError):
    """A promise is not kept; the message says which, and what was found."""


class NotApplicable(Exception):
    """A check has nothing to say of this method, for the reason in the message."""


def require(kept: bool, message: str) -> None:
    """Raise `Broken` unless the promise is kept."""
    if not kept:
        raise Broken(message)


@contextmanager
def trying(what: str) -> Iterator[None]:
    """Name what was being done when a method raised."""
    try:
        yield
    except (Broken, NotApplicable):
        raise
    except Exception as error:
        raise Broken(f"{what} raised {describe(error)}") from error


def refuses(
    call: Callable[[], Any], what: str, kind: type[Exception] | tuple[type[Exception], ...]
) -> str:
    """Require that the call raises an error of this kind; return its message."""
    names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
    try:
        call()
    except kind as error:
        return str(error)
    except Exception as error:
        raise Broken(f"{what} raised {describe(error)}; expected {names}") from error
    raise Broken(f"{what} was accepted; expected {names}")


def same(one: Any, two: Any) -> bool:
    """Whether two arrays of predictions are the same, bit for bit."""
    return bool(np.array_equal(np.asarray(one), np.asarray(two)))
