"""The errors and warnings of fairvision.

Errors also derive from the built-in that scikit-learn raises in such a case (`ValueError`,
`KeyError`), so existing `except` clauses keep working.
"""

from __future__ import annotations


class FairvisionError(Exception):
    """Base class of fairvision's errors."""


class PluginError(FairvisionError):
    """A plugin cannot be discovered, loaded or used."""


class UnknownNameError(PluginError, KeyError):
    """No plugin offers this name."""

    def __str__(self) -> str:
        # KeyError would show the repr of the message.
        return str(self.args[0]) if self.args else ""


class AmbiguousNameError(PluginError, KeyError):
    """Two distributions offer the same short name."""

    __str__ = UnknownNameError.__str__


class InputError(FairvisionError, ValueError):
    """Images, targets, groups or parameters cannot be used."""


class GroupsRequiredError(InputError):
    """A method needs `sensitive_features`, and they are None."""


class DivergedError(FairvisionError, ArithmeticError):
    """A training or its net gives numbers that are not finite."""


class DatasetError(FairvisionError, ValueError):
    """A data set cannot be read with these parameters."""


class BadImageError(DatasetError):
    """An image file is unreadable, truncated or of a refused format."""


class UndefinedMetricError(FairvisionError, ValueError):
    """A metric has no value on this input, for the reason in the message."""


class SavingError(FairvisionError, ValueError):
    """An estimator cannot be saved, or a file cannot be loaded, for the reason in the message."""


class RunError(FairvisionError, RuntimeError):
    """A comparison cannot start, write or resume."""


class FairvisionWarning(UserWarning):
    """Base class of fairvision's warnings."""


class CollapseWarning(FairvisionWarning):
    """The learned features no longer carry the target."""


class ConstraintMetWarning(FairvisionWarning):
    """ERM training already satisfies the constraint, so the result is ERM training."""
