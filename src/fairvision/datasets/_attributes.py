"""Random attributes with given probabilities and correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairvision.exceptions import DatasetError

__all__ = ["draw_attributes"]

Levels = Mapping[str, Sequence[Any]]
Correlation = Mapping[tuple[str, ...], "float | ArrayLike"]


def _check_name(levels: Levels, name: str, argument: str) -> None:
    if name not in levels:
        raise DatasetError(f"{argument} names {name!r}; the attributes are {', '.join(levels)}.")


def _marginal(levels: Sequence[Any], given: Any, name: str) -> NDArray[np.float64]:
    """Probability of each level: from a mapping, or of the last of two levels."""
    if given is None:
        return np.full(len(levels), 1 / len(levels))
    if isinstance(given, Mapping):
        unknown = [level for level in given if level not in levels]
        if unknown:
            raise DatasetError(f"probabilities[{name!r}] names {unknown}; levels: {list(levels)}.")
        weights = np.array([float(given.get(level, 0)) for level in levels])
    elif len(levels) == 2:
        weights = np.array([1 - float(given), float(given)])
    else:
        raise DatasetError(
            f"probabilities[{name!r}] is {given!r}; {name!r} has the levels {list(levels)}: "
            "pass a mapping of level to probability."
        )
    return _normalised(weights, f"probabilities[{name!r}]")


def _normalised(weights: NDArray[np.float64], argument: str) -> NDArray[np.float64]:
    if not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
        raise DatasetError(
            f"{argument} must hold probabilities, not all zero; got {weights.tolist()}."
        )
    return weights / weights.sum()


def _table(
    names: tuple[str, ...], given: Any, levels: Levels, marginals: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """The joint probabilities of `names`, shape (levels of each)."""
    shape = tuple(len(levels[name]) for name in names)
    what = f"correlation[{names}]"
    array = np.asarray(given, dtype=np.float64)
    if array.ndim:
        if array.shape != shape:
            raise DatasetError(f"{what} has shape {array.shape}; expected {shape}.")
        return _normalised(array, what)
    share = float(array)
    if len(names) != 2 or shape[0] != shape[1] or not 0 <= share <= 1:
        raise DatasetError(
            f"{what} = {given!r}: a number must be a share in 0..1, for two attributes with "
            f"equally many levels (here {shape}). Pass a table of joint probabilities instead."
        )
    n = shape[0]
    equal = np.where(np.eye(n, dtype=bool), share, (1 - share) / (n - 1))
    return equal * marginals[names[1]]


def _draw(p: NDArray[np.float64], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """One level per row by inversion: p (n, k) or (k,), uniform (n,)."""
    edges = np.cumsum(np.broadcast_to(p, (len(uniform), p.shape[-1])), axis=1)
    codes = (uniform[:, None] * edges[:, -1:] >= edges).sum(axis=1)
    return np.minimum(codes, p.shape[-1] - 1)


def _draw_given(
    table: NDArray[np.float64],
    names: tuple[str, ...],
    codes: dict[str, NDArray[np.int64]],
    uniforms: Mapping[str, NDArray[np.float64]],
) -> None:
    """Draw the attributes among `names` that are not drawn yet, given those that are."""
    if all(name in codes for name in names):
        raise DatasetError(
            f"correlation[{names}] has only attributes that earlier entries have fixed already. "
            "Pass one table of joint probabilities for all of them."
        )
    for name in names:
        if name in codes:
            continue
        others = tuple(i for i, other in enumerate(names) if other != name and other not in codes)
        known = [other for other in names if other in codes]
        conditional = np.moveaxis(
            table.sum(axis=others), [n for n in names if n in known or n == name].index(name), -1
        )
        p = conditional[tuple(codes[other] for other in known)]
        if (p.sum(axis=-1) <= 0).any():
            raise DatasetError(
                f"correlation[{names}] gives every level of {name!r} probability 0 in rows that "
                "the other entries allow. Make the tables agree."
            )
        codes[name] = _draw(p, uniforms[name])


def draw_attributes(
    levels: Levels,
    uniforms: Mapping[str, NDArray[np.float64]],
    *,
    probabilities: Mapping[str, Any] | None = None,
    correlation: Correlation | None = None,
) -> dict[str, NDArray[np.int64]]:
    """Draw the level of every attribute in every row.

    Parameters
    ----------
    levels : mapping of str to sequence
        The levels of each attribute.
    uniforms : mapping of str to ndarray of shape (n_samples,)
        Uniform numbers in [0, 1), one array per attribute; the only randomness.
    probabilities : mapping of str to float or mapping
        Of the second level of a two-level attribute, or of each level. Equal for
        attributes that are not named.
    correlation : mapping of tuple of str to float or array
        ``{("hat", "eyeglasses"): 0.9}``: the first attribute equals the second (by
        position of the level) in 90 % of rows, where the second follows its own
        probabilities. An array holds the joint probabilities of the named
        attributes, one axis each. Pairs that share an attribute form a chain.

    Returns
    -------
    dict of str to ndarray of shape (n_samples,), int64
        Index into the levels.
    """
    probabilities = probabilities or {}
    for name in probabilities:
        _check_name(levels, name, "probabilities")
    marginals = {name: _marginal(levels[name], probabilities.get(name), name) for name in levels}
    codes: dict[str, NDArray[np.int64]] = {}
    for names, value in (correlation or {}).items():
        if isinstance(names, str) or len(names) < 2 or len(set(names)) < len(names):
            raise DatasetError(f"correlation has the key {names!r}; expected a tuple of names.")
        for name in names:
            _check_name(levels, name, "correlation")
        _draw_given(_table(names, value, levels, marginals), names, codes, uniforms)
    for name in levels:
        if name not in codes:
            codes[name] = _draw(marginals[name], uniforms[name])
    return {name: codes[name] for name in levels}
