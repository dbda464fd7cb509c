"""Every error that fairvision raises on purpose.

Each one also derives from the built-in that scikit-learn users would catch
(`ValueError`, `KeyError`), so existing `except` clauses keep working.
"""

from __future__ import annotations


class FairvisionError(Exception):
    """Root of fairvision's errors."""


class PluginError(FairvisionError):
    """A plugin could not be discovered, loaded or used."""


class UnknownNameError(PluginError, KeyError):
    """No plugin offers the name that was asked for."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument, which would quote our sentence.
        return str(self.args[0]) if self.args else ""


class AmbiguousNameError(PluginError, KeyError):
    """Two distributions offer the same short name."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class InputError(FairvisionError, ValueError):
    """The given images, targets or groups cannot be used as they are."""


class GroupsRequiredError(InputError):
    """A method needs `sensitive_features` and none were passed."""


class DatasetError(FairvisionError, ValueError):
    """A data set cannot be read as asked."""


class BadImageError(DatasetError):
    """An image file is unreadable, truncated or of a kind we refuse."""


class UndefinedMetricError(FairvisionError, ValueError):
    """A metric has no value on this input, for the reason in the message."""


class SavingError(FairvisionError, ValueError):
    """An estimator cannot be saved, or a file cannot be loaded, for the reason in the message."""


class RunError(FairvisionError, RuntimeError):
    """A comparison cannot start, write or resume."""


class FairvisionWarning(UserWarning):
    """Root of fairvision's warnings."""


class CollapseWarning(FairvisionWarning):
    """A learned representation lost what it needs for its own task."""


class ConstraintMetWarning(FairvisionWarning):
    """Plain training satisfies the constraint on the training rows: the method did nothing."""
