"""Anything as plain data that JSON knows, and that identifies it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import joblib
import numpy as np

__all__ = ["dumps", "plain"]


def plain(value: Any) -> Any:
    """Numbers, text, lists and dicts; what is not finite becomes None.

    Anything else becomes its type and a hash of its content: two arrays or
    modules print alike and are not the same, and addresses differ every time.
    """
    if isinstance(value, (np.generic, np.ndarray)) and np.size(value) <= 100:
        value = value.tolist()
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    try:
        return f"{type(value).__qualname__} {joblib.hash(value)}"
    except Exception:  # what cannot be pickled
        return repr(value)


def dumps(value: Any) -> str:
    """JSON that every reader takes: no bare NaN."""
    return json.dumps(plain(value), indent=1, allow_nan=False)
