"""Descriptors: the frozen objects that a plugin gives to the host. Standard library only.

A descriptor names its implementation as a string, ``"package.module:Name"``,
so a plugin can be listed without importing anything heavy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")

Stage = Literal["pre", "in", "post"]
STAGES: tuple[Stage, ...] = ("pre", "in", "post")


def _check(owner: str, name: str, value: str, pattern: re.Pattern[str], example: str) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{owner}.{name} is {value!r}; expected something like {example!r}.")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a method was published.

    Parameters
    ----------
    title : str
    authors : tuple of str
        "Given Family", in the order of the paper.
    year : int
    venue : str
        Conference or journal; empty for a preprint.
    doi, arxiv, url : str or None
        Bare identifiers (``"10.1145/3306618.3314243"``); give at least one.
    """

    title: str
    authors: tuple[str, ...]
    year: int
    venue: str = ""
    doi: str | None = None
    arxiv: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """When a method reads group labels, and what X must show.

    Parameters
    ----------
    fit : bool
        It reads the groups of the training rows.
    validation : bool
        It reads the groups of validation rows, and not those of the rows the net is trained on.
    predict : bool
        It reads the group of each row that it predicts.
    pixels : bool
        X must be images. Without, it takes features too: X of shape (n_samples, n_features),
        or the maps of an inner layer.
    pixels_except : tuple of str
        Names of presets that take features, and no images, though the method needs pixels.
    place : bool
        The group must show apart from the target in the image: a hat hides no smile, a skin
        tone is where the smile is.
    """

    fit: bool = False
    validation: bool = False
    predict: bool = False
    pixels: bool = False
    pixels_except: tuple[str, ...] = ()
    place: bool = False

    def __str__(self) -> str:
        """When it reads group labels."""
        return ", ".join(w for w in ("fit", "validation", "predict") if getattr(self, w)) or "never"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a method promises; ``fairvision check`` tests it.

    Parameters
    ----------
    params : mapping or str
        Parameters with which forty fits on 64 images of 16 x 16 pixels take about a minute.
        A string, ``"package.module:function"``, names a function that returns them.
    disabled_params : mapping or None
        Parameters that disable the method; predictions must then equal ERM training.
    no_gain_reason : str
        Why the worst cell need not be better than with ERM training on a few hundred strongly
        confounded drawn faces. Empty: it must be better.
    exceptions : mapping of str to str
        Names of checks that the method fails, each with the reason. An exception for a check
        that passes is reported as a failure, so that it gets deleted.
    """

    params: Mapping[str, Any] | str = field(default_factory=dict)
    disabled_params: Mapping[str, Any] | None = None
    no_gain_reason: str = ""
    exceptions: Mapping[str, str] = field(default_factory=dict)


class _Named:
    """A descriptor's name and target, checked."""

    __slots__ = ()
    name: str
    target: str

    def __post_init__(self) -> None:
        owner = type(self).__name__
        _check(owner, "name", self.name, _NAME, "my-method")
        _check(f"{owner} {self.name!r}", "target", self.target, _TARGET, "package.module:Name")


@dataclass(frozen=True, slots=True)
class Method(_Named):
    """A debiasing method. The hook that returns it decides its stage.

    Parameters
    ----------
    name : str
        Lower case, digits and dashes; what users type.
    target : str
        ``"package.module:Class"``; imported when the method is made, not before.
    summary : str
        One line.
    reference : Reference or None
    needs : Needs
        When it reads group labels, and what X must show.
    targets : tuple of {"binary", "multiclass"}
        The classification targets it takes.
    groups : tuple of {"binary", "multiple"}
        How many groups a sensitive column may have: two, or more than two.
    presets : mapping of str to mapping
        Parameter sets by name; ``"quick"`` for a CPU, ``"paper"`` as published.
    claims : Claims
        What it promises; ``fairvision check`` tests it.
    """

    name: str
    target: str
    summary: str
    reference: Reference | None = None
    needs: Needs = Needs()
    targets: tuple[Literal["binary", "multiclass"], ...] = ("binary", "multiclass")
    groups: tuple[Literal["binary", "multiple"], ...] = ("binary", "multiple")
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    claims: Claims = Claims()

    def __post_init__(self) -> None:
        _Named.__post_init__(self)
        frozen = {name: MappingProxyType(dict(values)) for name, values in self.presets.items()}
        object.__setattr__(self, "presets", MappingProxyType(frozen))


@dataclass(frozen=True, slots=True)
class Metric(_Named):
    """A fairness or performance metric.

    Parameters
    ----------
    name : str
    target : str
        ``"package.module:function"`` with the signature
        ``f(y_true, y_pred, *, sensitive_features, y_score, sample_weight) -> float``.
    summary : str
    reference : Reference or None
    needs_scores : bool
        Whether it reads `y_score`.
    greater_is_better : bool
    """

    name: str
    target: str
    summary: str
    reference: Reference | None = None
    needs_scores: bool = False
    greater_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Dataset(_Named):
    """A data set.

    Parameters
    ----------
    name : str
    target : str
        ``"package.module:function"``, a loader that returns a
        :class:`sklearn.utils.Bunch` with at least ``images``, ``target``,
        ``sensitive_features`` and ``attributes``.
    summary : str
    reference : Reference or None
    local : bool
        Whether it reads a folder that the user names (``root=``).
    """

    name: str
    target: str
    summary: str
    reference: Reference | None = None
    local: bool = False


@dataclass(frozen=True, slots=True)
class ReportSection(_Named):
    """A section of the report.

    Parameters
    ----------
    name : str
    target : str
        ``"package.module:function"`` with the signature
        ``f(estimator, X, y, *, sensitive_features) -> matplotlib.figure.Figure``,
        called with a fitted estimator and test rows.
    title : str
        The heading.
    methods : tuple of str
        The methods whose runs it shows; empty means every method.
    """

    name: str
    target: str
    title: str
    methods: tuple[str, ...] = ()


Descriptor = Method | Metric | Dataset | ReportSection
