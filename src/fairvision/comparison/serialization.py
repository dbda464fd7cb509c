"""Any value as plain data that JSON can hold and that identifies the value."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import PurePath
from types import FunctionType
from typing import Any

import joblib
import numpy as np

__all__ = ["dumps", "plain"]


def plain(value: Any) -> Any:
    """Numbers, text, lists and dicts; what is not finite becomes None.

    An estimator becomes its class and its parameters. Any other object becomes its type
    and a hash of its content: `repr` shortens large arrays, and shows addresses.
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
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "get_params"):
        return {"class": plain(type(value)), **plain(value.get_params(deep=False))}
    return _hashed(value)


def _hashed(value: Any) -> str:
    name = type(value).__qualname__
    try:
        if hasattr(value, "state_dict"):  # a torch module: its structure, and its weights
            arrays = {key: _array(item) for key, item in value.state_dict().items()}
            return f"{name} {joblib.hash((repr(value), arrays))}"
        if isinstance(value, FunctionType):  # a lambda, too, which cannot be pickled
            code = value.__code__
            content = (value.__qualname__, code.co_code, _named(code.co_consts), code.co_names)
            return f"{name} {joblib.hash(content)}"
        return f"{name} {joblib.hash(value)}"
    except Exception:  # what cannot be pickled
        return _named(value)


def _named(value: Any) -> str:
    """`repr` without addresses, which differ in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _array(value: Any) -> Any:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def dumps(value: Any) -> str:
    """JSON that every reader takes: no bare NaN."""
    return json.dumps(plain(value), indent=1, allow_nan=False)
