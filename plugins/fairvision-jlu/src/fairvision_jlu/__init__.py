"""Joint learning and unlearning (Alvi et al. 2018) for fairvision."""

from __future__ import annotations

from typing import Any

__all__ = ["JLUClassifier"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # `fairvision_jlu.plugin` lives in this package and must stay light to import.
    if name == "JLUClassifier":
        from fairvision_jlu._estimator import JLUClassifier

        return JLUClassifier
    raise AttributeError(f"module 'fairvision_jlu' has no attribute {name!r}")
